// Names of signals: images write `SIGTERM`, `TERM`, `15` or `SIGRTMIN+3`; CRI writes SIGRTMINPLUS3.
import { signalNumber } from '../runtime/index.js'
import { invalid } from './errors.js'

/** CRI's `RUNTIME_DEFAULT` and absent give way to the image's; SIGTERM is the last resort. */
export function stopSignal(asked: string | undefined, imageSignal: string | undefined): string {
  if (asked && asked !== 'RUNTIME_DEFAULT') {
    const name = asked.replace('PLUS', '+').replace('MINUS', '-')
    if (signalNumber(name) === undefined) throw invalid(`stop signal ${JSON.stringify(asked)} is not known`)
    return name
  }
  return imageSignal && signalNumber(imageSignal) ? imageSignal : 'SIGTERM'
}

const NAMES = [
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGILL',
  'SIGTRAP',
  'SIGABRT',
  'SIGBUS',
  'SIGFPE',
  'SIGKILL',
  'SIGUSR1',
  'SIGSEGV',
  'SIGUSR2',
  'SIGPIPE',
  'SIGALRM',
  'SIGTERM',
  'SIGSTKFLT',
  'SIGCHLD',
  'SIGCONT',
  'SIGSTOP',
  'SIGTSTP',
  'SIGTTIN',
  'SIGTTOU',
  'SIGURG',
  'SIGXCPU',
  'SIGXFSZ',
  'SIGVTALRM',
  'SIGPROF',
  'SIGWINCH',
  'SIGIO',
  'SIGPWR',
  'SIGSYS',
]

/** The name that CRI has for it. */
export function signalToCri(signal: string): string {
  const number = signalNumber(signal) ?? 15
  if (number < 34) return NAMES[number - 1] ?? 'SIGTERM'
  const below = number - 34
  if (below === 0) return 'SIGRTMIN'
  if (below <= 15) return `SIGRTMINPLUS${below}`
  return number === 64 ? 'SIGRTMAX' : `SIGRTMAXMINUS${64 - number}`
}
