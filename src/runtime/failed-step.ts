// Why a step failed, in the words that podman, containerd, the kubelet and scripts look for.
import type { StepError } from '../sys/index.js'
import { RuntimeError } from './types.js'

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  EACCES: 'permission denied',
  ENOEXEC: 'exec format error',
  ENOTDIR: 'not a directory',
  EISDIR: 'is a directory',
  ELOOP: 'too many levels of symbolic links',
}

/** Turns a failed step into the error that callers branch on; `what` failed by it. */
export function failedStep(error: StepError, what: string): RuntimeError {
  const { step, code } = error
  const reason = reasons[code] ?? code
  if (step.startsWith('exec ')) return new RuntimeError('NotExecutable', `${step}: ${reason}`, { cause: error })
  if (step.startsWith('exec: ')) {
    // Without a slash the program was looked for in PATH.
    const missing = code === 'ENOENT' && !step.includes('/') ? 'executable file not found in $PATH' : reason
    return new RuntimeError('NotExecutable', `${step}: ${missing}`, { cause: error })
  }
  const [, group] = /^cgroup: (?:open|join) (.*)$/.exec(step) ?? []
  if (group && code === 'ENOENT') return new RuntimeError('Failed', `${what}: adding pid to cgroups ${group}: ${reason}`, { cause: error })
  // With v2 nobody is born into a group that gives controllers to groups of its own.
  if (step === 'clone the process' && code === 'EBUSY')
    return new RuntimeError('Failed', `${what}: adding pid of the new process to cgroups: device or resource busy`, { cause: error })
  return new RuntimeError('Failed', `${what}: ${error.message}${hint(step, code)}`, { cause: error })
}

/** What the errno alone does not tell. */
function hint(step: string, code: string): string {
  if (/^mount \/(proc|sys)\b/.test(step) && code === 'ELOOP') return ': it must be mounted on ordinary directory'
  if (/^mount .* attributes$/.test(step) && code === 'EPERM')
    return ": a user namespace cannot change the host's flags of a mount: operation not permitted"
  if (code === 'ENOSYS') return ': the kernel is too old, 5.12 or newer is needed'
  // The kernel lets nobody promise time on some processors only (sched_setattr(2)).
  if (step === 'scheduler SCHED_DEADLINE' && code === 'EPERM') return ": process scheduler can't be used together with AllowedCPUs"
  return ''
}
