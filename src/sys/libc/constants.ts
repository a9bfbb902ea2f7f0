// Constants of the kernel's interface (uapi headers) that more than one file needs.

export const AT_FDCWD = -100
export const AT_EMPTY_PATH = 0x1000
export const AT_SYMLINK_NOFOLLOW = 0x100
export const AT_RECURSIVE = 0x8000
export const AT_REMOVEDIR = 0x200

const arm = process.arch === 'arm64'
export const O_RDONLY = 0
export const O_WRONLY = 1
export const O_RDWR = 2
export const O_CREAT = 0o100
export const O_EXCL = 0o200
export const O_NOCTTY = 0o400
export const O_TRUNC = 0o1000
export const O_APPEND = 0o2000
export const O_NONBLOCK = 0o4000
export const O_DIRECTORY = arm ? 0o40000 : 0o200000
export const O_NOFOLLOW = arm ? 0o100000 : 0o400000
export const O_CLOEXEC = 0o2000000
export const O_PATH = 0o10000000

export const CLONE_VM = 0x100
export const CLONE_FS = 0x200
export const CLONE_FILES = 0x400
export const CLONE_PIDFD = 0x1000
export const CLONE_VFORK = 0x4000
export const CLONE_PARENT = 0x8000
export const CLONE_NEWTIME = 0x80
export const CLONE_NEWNS = 0x20000
export const CLONE_NEWCGROUP = 0x2000000
export const CLONE_NEWUTS = 0x4000000
export const CLONE_NEWIPC = 0x8000000
export const CLONE_NEWUSER = 0x10000000
export const CLONE_NEWPID = 0x20000000
export const CLONE_NEWNET = 0x40000000
export const CLONE_INTO_CGROUP = 0x200000000n

export const RESOLVE_NO_XDEV = 1
export const RESOLVE_NO_MAGICLINKS = 2
export const RESOLVE_NO_SYMLINKS = 4
export const RESOLVE_BENEATH = 8
export const RESOLVE_IN_ROOT = 16

/** Numbers of the signals that both architectures share (signal(7)). */
export const SIGNALS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGIOT: 6,
  SIGBUS: 7,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGSEGV: 11,
  SIGUSR2: 12,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
  SIGSTKFLT: 16,
  SIGCHLD: 17,
  SIGCLD: 17,
  SIGCONT: 18,
  SIGSTOP: 19,
  SIGTSTP: 20,
  SIGTTIN: 21,
  SIGTTOU: 22,
  SIGURG: 23,
  SIGXCPU: 24,
  SIGXFSZ: 25,
  SIGVTALRM: 26,
  SIGPROF: 27,
  SIGWINCH: 28,
  SIGIO: 29,
  SIGPOLL: 29,
  SIGPWR: 30,
  SIGSYS: 31,
}

/** `TERM`, `SIGTERM`, `15`, `RTMIN+3`: the number, or undefined. */
export function signalNumber(text: string | number): number | undefined {
  if (typeof text === 'number' || /^\d+$/.test(text)) {
    const number = Number(text)
    return number >= 0 && number <= 64 ? number : undefined
  }
  const name = text.toUpperCase().replace(/^SIG/, '')
  const realTime = /^RT(MIN|MAX)(?:([+-])(\d+))?$/.exec(name)
  if (realTime) {
    const [, end, sign, distance = '0'] = realTime
    const number = (end === 'MIN' ? 34 : 64) + (sign === '-' ? -Number(distance) : Number(distance))
    return number >= 34 && number <= 64 ? number : undefined
  }
  return SIGNALS[`SIG${name}`]
}
