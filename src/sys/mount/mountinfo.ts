// The mounts of this namespace as /proc/self/mountinfo lists them (proc(5)). Pure but for `readMountinfo`.
import { readFileSync } from 'node:fs'

export interface MountLine {
  readonly id: string
  readonly parent: string
  /** The folder of its file system that is mounted. */
  readonly root: string
  readonly point: string
  readonly type: string
  readonly superOptions: string
}

/** Space, tab, newline and backslash are written as octal escapes. */
const plain = (text: string): string => text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))

/** Lower mounts of a place come first. */
export function parseMountinfo(text: string): readonly MountLine[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [left = '', right = ''] = line.split(' - ')
      const [id = '', parent = '', , root = '', point = ''] = left.split(' ')
      const [type = '', , superOptions = ''] = right.split(' ')
      return { id, parent, root: plain(root), point: plain(point), type, superOptions }
    })
}

export const readMountinfo = (): readonly MountLine[] => parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'))
