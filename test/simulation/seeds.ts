// Which lives are lived, and what came of them.
import { type Life, type SimulateOptions, simulate } from './world.js'

/** One seed with `KNARR_SEED=n`, else those of `KNARR_SEEDS=count[:from]`: two hundred from the first. */
export function seedsOf(env: Readonly<Record<string, string | undefined>>): readonly number[] {
  if (env.KNARR_SEED !== undefined) return [Number(env.KNARR_SEED)]
  const match = /^([1-9]\d*)(?::(\d+))?$/.exec(env.KNARR_SEEDS ?? '200')
  if (!match) throw new Error(`KNARR_SEEDS is COUNT[:FROM], not ${env.KNARR_SEEDS}`)
  return Array.from({ length: Number(match[1]) }, (_, index) => index + Number(match[2] ?? 1))
}

export const replayCommand = (seed: number): string => `KNARR_SEED=${seed} node --test dist/test/simulation/simulation.test.js`

export interface Failure extends Life {
  readonly seed: number
  readonly replay: string
}

export interface Lives {
  readonly failures: readonly Failure[]
  readonly faults: Life['faults']
  readonly fingerprints: readonly string[]
}

/** Lives one seed after the other, until `most` have failed. */
export async function runSeeds(
  seeds: readonly number[],
  { most = Number.POSITIVE_INFINITY, ...options }: SimulateOptions & { readonly most?: number },
): Promise<Lives> {
  const failures: Failure[] = []
  const fingerprints: string[] = []
  const faults: Record<string, number> = {}
  for (const seed of seeds) {
    const life = await simulate(seed, options)
    fingerprints.push(life.fingerprint)
    for (const [name, count] of Object.entries(life.faults)) faults[name] = (faults[name] ?? 0) + count
    if (life.violations.length > 0) failures.push({ ...life, seed, replay: replayCommand(seed) })
    if (failures.length >= most) break
  }
  return { failures, faults: faults as Life['faults'], fingerprints }
}
