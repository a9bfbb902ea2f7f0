// Single files of an image, read from its layers without mounting them.
import { lstatSync, readFileSync, readlinkSync } from 'node:fs'
import { join, posix } from 'node:path'
import type { Mount } from '../image/index.js'

/** The folders that a snapshot's mounts put over each other, highest first. */
export function layerFolders(mounts: readonly Mount[]): readonly string[] {
  return mounts.flatMap(({ type, source, options = [] }) => {
    if (type !== 'overlay') return [source]
    const value = (name: string): string[] =>
      options.filter((option) => option.startsWith(`${name}=`)).map((option) => option.slice(name.length + 1))
    // `:` divides, `\:` is part of a name.
    const lower = value('lowerdir').flatMap((text) => text.split(/(?<!\\):/).map((path) => path.replace(/\\:/g, ':')))
    return [...value('upperdir'), ...lower]
  })
}

const isWhiteout = (path: string): boolean => {
  const stat = lstatSync(path, { throwIfNoEntry: false })
  return stat?.isCharacterDevice() === true && stat.rdev === 0
}

/** What stands at one path, links not followed: where it is, or undefined when it is in no layer or was deleted. */
function lookUp(layers: readonly string[], path: string): string | undefined {
  for (const layer of layers) {
    let folder = layer
    for (const part of path.split('/').filter(Boolean)) {
      folder = join(folder, part)
      if (isWhiteout(folder)) return undefined
    }
    if (lstatSync(folder, { throwIfNoEntry: false })) return folder
  }
  return undefined
}

const MOST_LINKS = 40
const LARGEST = 4 * 1024 * 1024

/** The text of a file as the container would see it; links are followed within the image. `''` when there is none. */
export function readImageFile(layers: readonly string[], path: string): string {
  let wanted = path.split('/').filter(Boolean)
  let done: string[] = []
  for (let links = 0; wanted.length > 0; ) {
    const [part = '', ...rest] = wanted
    const here = [...done, part].join('/')
    const found = lookUp(layers, here)
    if (found === undefined) return ''
    const stat = lstatSync(found, { throwIfNoEntry: false })
    if (stat?.isSymbolicLink()) {
      if (++links > MOST_LINKS) return ''
      const target = posix.resolve('/', done.join('/'), readlinkSync(found))
      wanted = [...target.split('/').filter(Boolean), ...rest]
      done = []
    } else if (rest.length === 0) {
      return stat?.isFile() && stat.size <= LARGEST ? readFileSync(found, 'utf8') : ''
    } else {
      done = [...done, part]
      wanted = rest
    }
  }
  return ''
}
