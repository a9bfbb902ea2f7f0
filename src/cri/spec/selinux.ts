// SELinux labels of pods and containers: `user:role:type:level`. A pod's level has two categories that no other pod has, so that
// pods cannot reach each other's files though all are of one type.
import { invalid } from '../errors.js'
import type { Mount, NamespaceOption, SELinuxOption } from '../types.js'

/** The contexts that the machine's policy has for containers and their files. */
export interface SELinuxPolicy {
  readonly process: string
  readonly file: string
}

export interface SELinuxLabels {
  readonly process: string
  /** Of everything that is mounted for the container. */
  readonly mount: string
}

const DEFAULT: SELinuxPolicy = { process: 'system_u:system_r:container_t:s0', file: 'system_u:object_r:container_file_t:s0' }

/** `lxc_contexts` of the policy: lines of `process = "…"` and `file = "…"`. */
export function parseContexts(text: string): SELinuxPolicy {
  const found = new Map(
    text.split('\n').flatMap((line) => [...line.matchAll(/^\s*(\w+)\s*=\s*"([^"]+)"/g)].map(([, key, value]) => [key, value] as const)),
  )
  return { process: found.get('process') ?? DEFAULT.process, file: found.get('file') ?? DEFAULT.file }
}

const CATEGORIES = 1024

/** A level of two categories that is not among `taken`. `random` gives integers below its argument. */
export function newLevel(random: (below: number) => number, taken: ReadonlySet<string>): string {
  for (;;) {
    const one = random(CATEGORIES)
    const other = random(CATEGORIES)
    const level = `s0:c${Math.min(one, other)},c${Math.max(one, other)}`
    if (one !== other && !taken.has(level)) return level
  }
}

/** Whose processes are not labelled: the privileged, and pods that are to see the host's. */
export const isUnlabelled = (privileged: boolean, namespaces: NamespaceOption | undefined): boolean =>
  privileged || namespaces?.pid === 'NODE' || namespaces?.ipc === 'NODE'

/** What is not said is the policy's; the level is the pod's. */
export function labelsOf(want: SELinuxOption | undefined, policy: SELinuxPolicy, podLevel: string): SELinuxLabels {
  for (const [name, value] of Object.entries(want ?? {}))
    if (value !== '' && !(name === 'level' ? /^[\w:,.-]+$/ : /^\w+$/).test(value))
      throw invalid(`SELinux ${name} ${JSON.stringify(value)} is not understood`)
  const level = want?.level || podLevel
  const [user, role, type] = policy.process.split(':')
  const [, fileRole, fileType] = policy.file.split(':')
  const owner = want?.user || user
  return {
    process: [owner, want?.role || role, want?.type || type, level].join(':'),
    mount: [owner, fileRole, fileType, level].join(':'),
  }
}

/** For mount(2), whose options are separated by commas: a level has one, too. */
export const contextOption = (label: string): readonly string[] => [`context="${label}"`]

/** Folders whose label the machine itself lives on. */
const SYSTEM = new Set(
  [
    '',
    'bin',
    'boot',
    'dev',
    'etc',
    'home',
    'lib',
    'lib32',
    'lib64',
    'media',
    'mnt',
    'opt',
    'proc',
    'root',
    'run',
    'sbin',
    'srv',
    'sys',
    'tmp',
    'usr',
    'var',
    'var/lib',
    'var/log',
    'var/run',
  ].map((path) => `/${path}`),
)

/** Host folders that get the container's label with all that is in them. */
export function relabelled(mounts: readonly Mount[]): readonly string[] {
  const paths = mounts.filter(({ selinuxRelabel, hostPath }) => selinuxRelabel && hostPath).map(({ hostPath = '' }) => hostPath)
  for (const path of paths)
    if (SYSTEM.has(path.replace(/(?<=.)\/+$/, '')))
      throw invalid(`SELinux: ${path} cannot be relabelled: the machine itself needs its label`)
  return paths
}
