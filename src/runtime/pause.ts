// The program of a pod's pause process: keeps the pod's namespaces, and reaps what is left to it as process 1.
import { elfProgram, ProgramWriter, program, thisArchitecture } from '../sys/index.js'

const { address, bytes } = program

const SIGCHLD = 17

/** struct sigaction of the kernel: handler 1 is SIG_IGN, and children of one who ignores SIGCHLD leave nothing to reap. */
const IGNORE = Buffer.from([1, ...new Array<number>(31).fill(0)])

/** The executable: static, a few pages. Its first process needs nothing but itself. */
export function pauseProgram(): Buffer {
  const w = new ProgramWriter()
  w.region('forever', [2n ** 40n, 0])
  w.block('pause')
  w.step('let children go', 'rt_sigaction', [SIGCHLD, bytes(IGNORE), 0, 8])
  w.block('wait')
  w.step('wait', 'nanosleep', [address('forever'), 0], { onError: 'ignore' })
  w.goto('wait')
  w.block('fail')
  w.step('exit', 'exit_group', [1], { onError: 'ignore' })
  return elfProgram(w.program('pause'), thisArchitecture).file
}
