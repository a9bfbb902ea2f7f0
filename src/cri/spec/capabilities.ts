// Which capabilities a container has: the default set, plus and minus what its configuration says.
import { invalid } from '../errors.js'
import type { Capability } from '../types.js'

/** Every capability of Linux (capabilities(7)), by number. */
export const ALL_CAPABILITIES: readonly string[] = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_DAC_READ_SEARCH',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_LINUX_IMMUTABLE',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_BROADCAST',
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
  'CAP_IPC_LOCK',
  'CAP_IPC_OWNER',
  'CAP_SYS_MODULE',
  'CAP_SYS_RAWIO',
  'CAP_SYS_CHROOT',
  'CAP_SYS_PTRACE',
  'CAP_SYS_PACCT',
  'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT',
  'CAP_SYS_NICE',
  'CAP_SYS_RESOURCE',
  'CAP_SYS_TIME',
  'CAP_SYS_TTY_CONFIG',
  'CAP_MKNOD',
  'CAP_LEASE',
  'CAP_AUDIT_WRITE',
  'CAP_AUDIT_CONTROL',
  'CAP_SETFCAP',
  'CAP_MAC_OVERRIDE',
  'CAP_MAC_ADMIN',
  'CAP_SYSLOG',
  'CAP_WAKE_ALARM',
  'CAP_BLOCK_SUSPEND',
  'CAP_AUDIT_READ',
  'CAP_PERFMON',
  'CAP_BPF',
  'CAP_CHECKPOINT_RESTORE',
]

/** What containers have got since Docker, and images count on. */
export const DEFAULT_CAPABILITIES: readonly string[] = [
  'CAP_AUDIT_WRITE',
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_MKNOD',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
]

function normalise(name: string): string {
  const upper = name.toUpperCase()
  const full = upper.startsWith('CAP_') ? upper : `CAP_${upper}`
  if (!ALL_CAPABILITIES.includes(full)) throw invalid(`capability ${JSON.stringify(name)} is not known: see capabilities(7)`)
  return full
}

const isAll = (name: string): boolean => name.toUpperCase() === 'ALL'

export interface CapabilityPlan {
  readonly permitted: readonly string[]
  readonly ambient: readonly string[]
}

/** `ALL` may stand in both lists: dropping it and adding a few leaves these few. `known` are those that the kernel has. */
export function planCapabilities(want: Capability | undefined, options: { privileged: boolean; known: readonly string[] }): CapabilityPlan {
  const add = want?.addCapabilities ?? []
  const drop = want?.dropCapabilities ?? []
  const ambient = (want?.addAmbientCapabilities ?? []).map(normalise)
  const base = options.privileged || add.some(isAll) ? options.known : DEFAULT_CAPABILITIES
  const set = new Set(drop.some(isAll) && !options.privileged ? [] : base)
  if (add.some(isAll) && drop.some(isAll)) for (const name of options.known) set.add(name)
  for (const name of drop) if (!isAll(name)) set.delete(normalise(name))
  for (const name of add) if (!isAll(name)) set.add(normalise(name))
  for (const name of ambient) set.add(name)
  return { permitted: ALL_CAPABILITIES.filter((name) => set.has(name) && options.known.includes(name)), ambient }
}
