// Why a program could not be executed, in the words that podman, containerd and the kubelet look for.
import type { StepError } from '../sys/index.js'
import { RuntimeError } from './types.js'

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  EACCES: 'permission denied',
  ENOEXEC: 'exec format error',
  ENOTDIR: 'not a directory',
  EISDIR: 'is a directory',
}

/** Turns a failed step into the error that callers branch on. */
export function notExecutable(error: StepError, what: string): RuntimeError {
  const { step } = error
  if (!step.startsWith('exec: ')) return new RuntimeError('Failed', `${what}: ${error.message}`, { cause: error })
  // Without a slash the program was looked for in PATH.
  const reason = error.code === 'ENOENT' && !step.includes('/') ? 'executable file not found in $PATH' : (reasons[error.code] ?? error.code)
  return new RuntimeError('NotExecutable', `${step}: ${reason}`, { cause: error })
}
