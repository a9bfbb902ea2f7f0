// Compiled seccomp filters, kept: a node runs many containers with few profiles.
import { compileSeccomp, type SeccompFilter, thisArchitecture } from '../sys/index.js'
import type { Seccomp } from './spec.js'
import { RuntimeError } from './types.js'

const KEPT = 32
const byProfile = new Map<string, SeccompFilter>()

/** The filter of a profile; undefined without one. */
export function filterOf(seccomp: Seccomp | undefined): SeccompFilter | undefined {
  if (!seccomp) return undefined
  const key = JSON.stringify([seccomp.defaultAction, seccomp.defaultErrnoRet, seccomp.architectures, seccomp.flags, seccomp.syscalls])
  const known = byProfile.get(key)
  if (known) return known
  let filter: SeccompFilter
  try {
    filter = compileSeccomp(seccomp, thisArchitecture)
  } catch (error) {
    throw new RuntimeError('InvalidSpec', `linux.seccomp: ${(error as Error).message}`)
  }
  const [oldest] = byProfile.keys()
  if (byProfile.size >= KEPT && oldest !== undefined) byProfile.delete(oldest)
  byProfile.set(key, filter)
  return filter
}
