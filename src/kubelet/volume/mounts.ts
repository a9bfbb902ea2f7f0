// Mounts of the machine below a folder, from /proc/self/mountinfo.
import { promises as fs } from 'node:fs'
import type { VolumeHost } from '../options.js'

// proc(5): blanks and backslashes in paths are octal escapes.
const withoutEscapes = (path: string): string =>
  path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))

/** Mount points at or below `folder`, deepest first. */
export async function mountsBelow(folder: string): Promise<readonly string[]> {
  const info = await fs.readFile('/proc/self/mountinfo', 'utf8')
  return info
    .split('\n')
    .map((line) => withoutEscapes(line.split(' ')[4] ?? ''))
    .filter((point) => point === folder || point.startsWith(`${folder}/`))
    .reverse()
}

/** Unmounts everything below the folder and removes it. Never deletes through a mount. */
export async function removeFolder(host: VolumeHost, folder: string): Promise<void> {
  for (const point of await mountsBelow(folder)) await host.unmount(point)
  const left = await mountsBelow(folder)
  if (left.length > 0) throw new Error(`${left[0]} is still mounted`)
  await fs.rm(folder, { recursive: true, force: true })
}
