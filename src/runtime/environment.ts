// What a process finds in its environment: every name once, and HOME as the container's own list of users has it.
import { closeSync, constants, fstatSync, readFileSync } from 'node:fs'
import { openBeneath } from '../sys/index.js'
import type { MountSpec, Process } from './spec.js'

/** Where /etc/passwd is read: in the folder of a root, and what the spec mounts over it. */
export interface UserList {
  readonly root: string
  readonly mounts?: readonly MountSpec[]
}

const MOST_BYTES = 1 << 20

/** A later value of a name wins and stands where the first one stood. HOME is looked up when it is not given, or empty. */
export function environmentOf({ env = [], user }: Process, users: UserList): readonly string[] {
  const values = new Map<string, string>()
  for (const word of env) values.set(word.slice(0, word.indexOf('=')), word)
  if ((values.get('HOME') ?? 'HOME=') === 'HOME=') {
    values.delete('HOME')
    values.set('HOME', `HOME=${homeOf(readUsers(users), user?.uid ?? 0)}`)
  }
  return [...values.values()]
}

/** The home of a user id in passwd(5); / for one without an entry. */
export function homeOf(passwd: string, uid: number): string {
  for (const line of passwd.split('\n')) {
    const [, , id, , , home] = line.split(':')
    if (id === String(uid) && home) return home
  }
  return '/'
}

/** The container's file, never one of the host's that a link in the image leads to. */
function readUsers({ root, mounts = [] }: UserList): string {
  const over = mounts.findLast(({ destination }) => destination === '/etc/passwd' || destination === '/etc')
  if (over?.destination === '/etc/passwd') return readSmall(over.source ?? '', '/')
  return over ? readSmall('passwd', over.source ?? '/') : readSmall('etc/passwd', root)
}

function readSmall(path: string, root: string): string {
  // Not waiting: a FIFO in the image's place of the file must not hold us up.
  const fd = openBeneath(root, path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  if (fd === undefined) return ''
  try {
    const file = fstatSync(fd)
    return file.isFile() && file.size <= MOST_BYTES ? readFileSync(fd, 'utf8') : ''
  } finally {
    closeSync(fd)
  }
}
