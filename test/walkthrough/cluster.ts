// Three machines with a cluster on them, made the way a person makes one.
import { join } from 'node:path'
import { createSwitch, type Machine, type Switch } from '../machines/machine.js'
import type { Result, RunOptions } from '../machines/shell.js'

const home = join(import.meta.dirname, '../../..')
export const KNARR = join(home, 'knarr')

export interface TestCluster {
  readonly network: Switch
  readonly machines: readonly [Machine, Machine, Machine]
  /** kubectl on the first machine, with the administrator's rights. */
  kubectl(...args: readonly string[]): Promise<Result>
  /** As `kubectl`, but an exit code other than 0 is an error. Resolves with standard output. */
  kube(...args: readonly string[]): Promise<string>
  /** `kubectl apply -f -`. */
  apply(manifest: string): Promise<string>
  /** Tries until it resolves with something other than undefined or false. */
  until<T>(what: string, attempt: () => Promise<T | undefined | false>, seconds?: number): Promise<T>
  destroy(): Promise<void>
}

export async function until<T>(what: string, attempt: () => Promise<T | undefined | false>, seconds = 120): Promise<T> {
  const end = Date.now() + seconds * 1000
  let last: unknown
  for (;;) {
    try {
      const result = await attempt()
      if (result !== undefined && result !== false) return result
    } catch (error) {
      last = error
    }
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s`, last === undefined ? undefined : { cause: last })
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
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
    const words = /knarr (join .*)$/m.exec(said)?.[1]?.trim().split(' ')
    if (!words) throw new Error(`init does not say how to join:\n${said}`)
    await Promise.all([two, three].map((machine) => machine.must([KNARR, ...words], { timeoutMs: 180_000 })))
    const env = { KUBECONFIG: '/etc/knarr/admin.conf', HOME: '/root' }
    const run = (args: readonly string[], options: RunOptions = {}): Promise<Result> => one.exec(['kubectl', ...args], { ...options, env })
    const must = (args: readonly string[], options: RunOptions = {}): Promise<string> => one.must(['kubectl', ...args], { ...options, env })
    return {
      network,
      machines,
      kubectl: (...args) => run(args),
      kube: (...args) => must(args),
      apply: (manifest) => must(['apply', '-f', '-'], { input: manifest }),
      until,
      destroy: () => network.destroy(),
    }
  } catch (error) {
    await network.destroy()
    throw error
  }
}
