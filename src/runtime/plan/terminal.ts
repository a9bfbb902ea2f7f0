// A terminal in the container's own devpts: its slave becomes the standard streams, its master goes through a socket.
import {
  AT_FDCWD,
  mountSteps,
  O_CLOEXEC,
  O_NOCTTY,
  O_RDWR,
  type ProgramWriter,
  program,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_SYMLINKS,
} from '../../sys/index.js'
import type { Process } from '../spec.js'

const { address, bytes, text, value, words } = program

const TIOCSCTTY = 0x540e
const TIOCSWINSZ = 0x5414
const TIOCGPTPEER = 0x5441
const TIOCSPTLCK = 0x40045431
const SOL_SOCKET = 1
const SCM_RIGHTS = 1
const MSG_NOSIGNAL = 0x4000

/** Opens the pair. `root`: region of the root's descriptor, or none when the root is already ours. */
export function openTerminal(w: ProgramWriter, root: string | undefined): void {
  // No symlink and nothing but a terminal answers the calls below: a prepared /dev/pts cannot hand us another file.
  const how = mountSteps.openHow(O_RDWR | O_NOCTTY | O_CLOEXEC, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS)
  w.step('terminal: open /dev/pts/ptmx', 'openat2', [root ? value(root) : AT_FDCWD, text('dev/pts/ptmx'), how, 24], {
    into: 'terminal',
    retry: true,
  })
  w.step('terminal: unlock', 'ioctl', [value('terminal'), TIOCSPTLCK, words(0)])
  w.step('terminal: open the other end', 'ioctl', [value('terminal'), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC], {
    into: 'terminal-slave',
  })
}

/** Shows the terminal as /dev/console too. */
export function mountConsole(w: ProgramWriter): void {
  const { attach, cloneDescriptor, openTarget } = mountSteps
  const target = openTarget(w, { root: 'root', path: '/dev/console', make: 'file', noSymlinks: true, what: 'mount /dev/console' })
  cloneDescriptor(w, { what: 'mount /dev/console', fd: 'terminal-slave', recursive: false, into: 'console' })
  attach(w, 'mount /dev/console', 'console', target)
}

/** Sends the master away, then makes the slave this session's terminal and its standard streams. */
export function useTerminal(w: ProgramWriter, process: Process): void {
  const { consoleSize, user } = process
  if (consoleSize) {
    const size = Buffer.alloc(8)
    size.writeUInt16LE(consoleSize.height, 0)
    size.writeUInt16LE(consoleSize.width, 2)
    w.step('terminal: size', 'ioctl', [value('terminal'), TIOCSWINSZ, bytes(size)])
  }
  // struct cmsghdr with one descriptor; the store of the descriptor fills its word.
  w.region('terminal-rights', [20, BigInt(SOL_SOCKET) | (BigInt(SCM_RIGHTS) << 32n), 0])
  w.step('terminal: note the master', 'value', [value('terminal')], { into: 'terminal-rights[2]' })
  const name = '/dev/ptmx'
  w.region('terminal-message', [0, 0, words(text(name), name.length), 1, address('terminal-rights'), 24, 0])
  w.step('terminal: send the master', 'sendmsg', [value('console-socket'), address('terminal-message'), MSG_NOSIGNAL])
  w.step('terminal: owner', 'fchown', [value('terminal-slave'), user?.uid ?? 0, -1])
  w.step('terminal: control this session', 'ioctl', [value('terminal-slave'), TIOCSCTTY, 0])
  for (const fd of [0, 1, 2]) w.step(`terminal: descriptor ${fd}`, 'dup3', [value('terminal-slave'), fd, 0])
}
