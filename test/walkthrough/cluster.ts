// Three machines with a cluster on them, made the way a person makes one.
import { join } from 'node:path'
import { createSwitch, type Machine, type Switch } from '../machines/machine.js'
import type { Result, RunOptions } from '../machines/shell.js'
import type { Tap } from './chapter.js'

const home = join(import.meta.dirname, '../../..')
export const KNARR = join(home, 'knarr')

export interface TestCluster {
  readonly network: Switch
  readonly machines: readonly [Machine, Machine, Machine]
  /** kubectl on the first machine, with the administrator's rights. */
  kubectl(...args: readonly string[]): Promise<Result>
  /** As `kubectl`, but an exit code other than 0 is an error. Resolves with standard output. */
  kube(...args: readonly string[]): Promise<string>
  /** As `kubectl`, with something to read. */
  kubectlWith(input: string, ...args: readonly string[]): Promise<Result>
  /** `kubectl apply -f -`. */
  apply(manifest: string): Promise<string>
  destroy(): Promise<void>
}

/** The words of the join command that `init` and `token create --print-join-command` print. */
export function joinWords(said: string): readonly string[] {
  const words = /knarr (join .*)$/m.exec(said)?.[1]?.trim().split(' ')
  if (!words) throw new Error(`no word of how to join:\n${said}`)
  return words
}

/** Nothing of ours is left on a machine: processes, files, mounts, links, routes, rules, cgroups. */
export async function expectClean(t: Tap, machine: Machine): Promise<void> {
  const look = [
    "pgrep -af '[s]upervise-|[m]ain.js (server|agent)'",
    'find /etc/knarr /var/lib/knarr /run/knarr /var/lib/kubelet /var/log/knarr /var/log/pods -mindepth 1 2>/dev/null',
    'grep -E "kubelet/pods|/run/knarr|/var/lib/knarr/" /proc/self/mounts',
    'ip -br link | grep -E "knarr|veth"',
    'ip route | grep -E "10\\.(244|96)\\."',
    'nft list tables | grep knarr',
    'find /sys/fs/cgroup -maxdepth 2 -name kubepods -o -maxdepth 2 -name knarr',
  ]
  t.equal((await machine.exec(['sh', '-c', `${look.join('; ')}; true`])).stdout.trim(), '', `${machine.name} is clean`)
}

/** The ends of all logs, for whoever looks into a failure. */
export async function tellLogs(t: Tap, { machines }: TestCluster): Promise<void> {
  for (const machine of machines) t.comment((await machine.exec(['sh', '-c', 'tail -n 15 /var/log/knarr/*.log | cut -c1-400'])).stdout)
}

/** `init` on the first machine, `join` on the others; no pod network yet. `prefix` is the second byte of their addresses. */
export async function createCluster(prefix: number): Promise<TestCluster> {
  const network = await createSwitch(prefix)
  try {
    const machines = [
      await network.add('one', `10.${prefix}.0.11`),
      await network.add('two', `10.${prefix}.0.12`),
      await network.add('three', `10.${prefix}.0.13`),
    ] as const
    const [one, two, three] = machines
    const said = await one.must([KNARR, 'init'], { timeoutMs: 180_000 })
    const words = joinWords(said)
    await Promise.all([two, three].map((machine) => machine.must([KNARR, ...words], { timeoutMs: 180_000 })))
    const env = { KUBECONFIG: '/etc/knarr/admin.conf', HOME: '/root' }
    const run = (args: readonly string[], options: RunOptions = {}): Promise<Result> => one.exec(['kubectl', ...args], { ...options, env })
    const must = (args: readonly string[], options: RunOptions = {}): Promise<string> => one.must(['kubectl', ...args], { ...options, env })
    return {
      network,
      machines,
      kubectl: (...args) => run(args),
      kube: (...args) => must(args),
      kubectlWith: (input, ...args) => run(args, { input }),
      apply: (manifest) => must(['apply', '-f', '-'], { input: manifest }),
      destroy: () => network.destroy(),
    }
  } catch (error) {
    await network.destroy()
    throw error
  }
}
