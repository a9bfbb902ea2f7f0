// Which AppArmor profile confines a container, and the text of the default one (apparmor.d(5)).
import { CriError, invalid } from '../errors.js'
import type { SecurityProfile } from '../types.js'

export const DEFAULT_PROFILE = 'knarr-default'

/** Files of the AppArmor package that a profile may lean on; it holds without them. */
export interface ProfileIncludes {
  readonly tunables: boolean
  readonly base: boolean
}

/** Everything a container needs, but no mounting, no writing to the kernel's switches, and signals and traces among its own kind only. */
export function defaultProfile({ tunables, base }: ProfileIncludes, name = DEFAULT_PROFILE): string {
  const rules = [
    ...(base ? ['#include <abstractions/base>'] : []),
    'network,',
    'capability,',
    'file,',
    'umount,',
    'signal (receive) peer=unconfined,',
    `signal (send, receive) peer=${name},`,
    `ptrace (trace, read, tracedby, readby) peer=${name},`,
    'deny mount,',
    // Files straight below /proc; of its folders only those of processes, and of /proc/sys only kernel/shm*.
    'deny @{PROC}/* w,',
    'deny @{PROC}/[^1-9s]*/** w,',
    'deny @{PROC}/s[^y]*/** w,',
    'deny @{PROC}/sys/[^k]** w,',
    'deny @{PROC}/sys/kernel/{?,??,[^s][^h][^m]**} w,',
    'deny @{PROC}/sysrq-trigger rwklx,',
    'deny @{PROC}/kcore rwklx,',
    // Of /sys only fs/cgroup.
    'deny /sys/[^f]*/** wklx,',
    'deny /sys/f[^s]*/** wklx,',
    'deny /sys/fs/[^c]*/** wklx,',
    'deny /sys/fs/c[^g]*/** wklx,',
    'deny /sys/fs/cg[^r]*/** wklx,',
    'deny /sys/firmware/** rwklx,',
    'deny /sys/devices/virtual/powercap/** rwklx,',
    'deny /sys/kernel/security/** rwklx,',
  ]
  const head = tunables ? '#include <tunables/global>' : '@{PROC}=/proc/'
  return `${head}\n\nprofile ${name} flags=(attach_disconnected,mediate_deleted) {\n${rules.map((rule) => `  ${rule}\n`).join('')}}\n`
}

/** Names from `/sys/kernel/security/apparmor/profiles`: `name (enforce)` on each line. */
export const loadedProfiles = (text: string): ReadonlySet<string> =>
  new Set(text.split('\n').flatMap((line) => /^(.*) \(\w+\)$/.exec(line)?.[1] ?? []))

export interface AppArmorFacts {
  readonly enabled: boolean
  readonly privileged: boolean
  readonly loaded: ReadonlySet<string>
}

/** The profile to run under, `''` for none. The default one may have to be loaded first. Other kubelets write `localhost/` before names. */
export function appArmorProfile(want: SecurityProfile | undefined, { enabled, privileged, loaded }: AppArmorFacts): string {
  const kind = want?.profileType ?? 'RuntimeDefault'
  const named = kind === 'Localhost' ? (want?.localhostRef ?? '').replace(/^localhost\//, '') : ''
  if (kind === 'Localhost' && !named) throw invalid('AppArmor: a Localhost profile must have a name')
  if (privileged) return ''
  if (!enabled) {
    if (named) throw new CriError('FAILED_PRECONDITION', `AppArmor profile ${named}: the kernel of this machine has no AppArmor`)
    return ''
  }
  if (kind === 'Unconfined') return 'unconfined'
  if (named && !loaded.has(named)) throw new CriError('FAILED_PRECONDITION', `AppArmor profile ${named} is not loaded on this machine`)
  return named || DEFAULT_PROFILE
}
