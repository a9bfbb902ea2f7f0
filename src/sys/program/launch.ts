// Starts an executable without copying this process: vfork semantics, so neither page tables nor the JavaScript heap cost anything.
import { ERRNO, SysError } from '../../lib/index.js'
import { AT_EMPTY_PATH, CLONE_PIDFD, CLONE_VFORK, CLONE_VM } from '../libc/constants.js'
import { rawSyscall } from '../libc/libc.js'
import { sysNumber } from '../libc/syscalls.js'
import { stepAt } from './assemble.js'
import { address, bytes, type Program, step, strings, text, value } from './program.js'
import { runProgram } from './run.js'

const SIG_BLOCK = 0
const SIG_SETMASK = 2
const SIGCHLD = 17
const F_SETFD = 2
const F_DUPFD_CLOEXEC = 1030

export interface LaunchOptions {
  /** Descriptor of the executable, a sealed memory file as a rule. */
  readonly executable: number
  readonly argv: readonly string[]
  readonly env?: readonly string[]
  /** What becomes 0, 1 and 2. */
  readonly stdio: readonly [stdin: number, stdout: number, stderr: number]
  /** Descriptors that keep their number; everything else closes at exec. */
  readonly keep?: readonly number[]
}

export interface Launched {
  readonly pid: number
  /** Readable when the process has ended. */
  readonly pidfd: number
}

function launchProgram({ executable, argv, env = [], stdio, keep = [] }: LaunchOptions): Program {
  const all = bytes(Buffer.alloc(8, 0xff))
  return {
    entry: 'parent',
    blocks: [
      {
        label: 'parent',
        steps: [
          // No handler of ours may run in the child: it shares our memory.
          step('block signals', 'rt_sigprocmask', [SIG_BLOCK, all, address('mask'), 8]),
          step('clone', 'clone', [CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, 0, address('pidfd'), 0, 0], {
            into: 'pid',
            onZero: 'child',
            onError: 'after',
          }),
        ],
      },
      {
        label: 'after',
        steps: [
          step('restore signals', 'rt_sigprocmask', [SIG_SETMASK, address('mask'), 0, 8], { onError: 'ignore' }),
          step('return', 'end', [value('pid')]),
        ],
      },
      {
        label: 'child',
        steps: [
          ...stdio.map((fd, i) => step(`keep descriptor ${fd}`, 'fcntl', [fd, F_DUPFD_CLOEXEC, 10], { into: `stdio[${i}]` })),
          ...stdio.map((_, i) => step(`set descriptor ${i}`, 'dup3', [value('stdio', i), i, 0])),
          ...keep.map((fd) => step(`pass descriptor ${fd}`, 'fcntl', [fd, F_SETFD, 0])),
          step('execute', 'execveat', [executable, text(''), strings(argv), strings(env), AT_EMPTY_PATH]),
        ],
      },
      {
        label: 'fail',
        steps: [step('note the failure', 'value', [1], { into: 'failed' }), step('exit', 'exit_group', [127])],
      },
    ],
    regions: { stdio: [0, 0, 0] },
  }
}

/** Returns when the executable runs in a child of ours. The caller reaps it. */
export function launch(options: LaunchOptions): Launched {
  const { result, word, image } = runProgram(launchProgram(options))
  if (result < 0) throw new SysError('clone', -result, options.argv[0])
  const pidfd = word('pidfd') & 0xffffffff
  if (word('failed') !== 0) {
    const failed = stepAt(image, word('failure'))
    const errno = -word('failure', 1)
    reap(result)
    throw new SysError(failed?.call ?? 'launch', errno, `${options.argv[0]} (${failed?.name})`)
  }
  return { pid: result, pidfd }
}

/** Waits for a child of ours and returns its wait status. Blocks: call it when the child has ended, or cannot but end. */
export function reap(pid: number): number | undefined {
  const status = Buffer.alloc(4)
  for (;;) {
    const result = rawSyscall(sysNumber('wait4'), pid, status, 0, 0)
    if (result !== -ERRNO.EINTR) return result === pid ? status.readUInt32LE(0) : undefined
  }
}
