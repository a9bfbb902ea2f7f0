// `exec --cgroup`: which group beneath the container's own the process joins, for all controllers or for some.
import { posix } from 'node:path'
import { UsageError } from '../../lib/index.js'

/** `PATH` or `CONTROLLER[,CONTROLLER...]:PATH`; the path by controller, that for all others under `''`. */
export function subCgroups(words: readonly string[]): Readonly<Record<string, string>> {
  const paths: Record<string, string> = {}
  for (const word of words) {
    const colon = word.indexOf(':')
    const path = colon < 0 ? word : word.slice(colon + 1)
    const controllers = colon < 0 ? [''] : word.slice(0, colon).split(',')
    const inside = posix.normalize(`/${path}`)
    if (path === '' || path.split('/').includes('..')) throw new UsageError(`--cgroup ${word}: bad sub cgroup path`)
    for (const controller of controllers) {
      if (colon >= 0 && controller === '') throw new UsageError(`--cgroup ${word}: want CONTROLLER:PATH`)
      if (Object.hasOwn(paths, controller)) throw new UsageError(`--cgroup ${word}: ${controller || 'the path'} was given before`)
      paths[controller] = inside === '/' ? '' : inside
    }
  }
  return paths
}
