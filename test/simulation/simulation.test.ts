// Two hundred lives of a cluster. `KNARR_SEED=n` replays one, `KNARR_SEEDS=count[:from]` runs others.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { PodDisruptionBudget } from '../../src/api/index.js'
import { type Controller, controllers } from '../../src/controlplane/controllers/index.js'
import { signingKey } from '../apiserver/harness.js'
import { replayCommand, runSeeds, seedsOf } from './seeds.js'
import { simulate } from './world.js'

const seeds = seedsOf(process.env)
const single = process.env.KNARR_SEED !== undefined
/** So many lives have some of every kind of fault. */
const ENOUGH = 50
const timeout = 120_000 + seeds.length * 5_000

t.setTimeout(timeout + 300_000)

t.test('the cluster converges, whatever the network and the processes do', { timeout }, async (t) => {
  const { failures, faults, fingerprints } = await runSeeds(seeds, { signingKey: signingKey() })
  for (const { seed, violations, replay } of failures) t.fail(`seed ${seed}: ${violations.slice(0, 3).join('; ')}`, { replay })
  const counted = Object.entries(faults)
  t.pass(`${seeds.length} seeds with ${counted.map(([name, count]) => `${name}: ${count}`).join(', ')}`)
  if (single) t.pass(`fingerprint of seed ${seeds[0]}: ${fingerprints[0]}`)
  if (seeds.length < ENOUGH) return
  for (const [name, count] of counted) t.ok(count > 0, `${name} happened`)
})

if (!single) {
  t.test('which seeds are lived', async (t) => {
    t.equal(seedsOf({}).length, 200)
    t.same(seedsOf({ KNARR_SEEDS: '3' }), [1, 2, 3])
    t.same(seedsOf({ KNARR_SEEDS: '3:40' }), [40, 41, 42])
    t.same(seedsOf({ KNARR_SEED: '7', KNARR_SEEDS: '3' }), [7])
    for (const wrong of ['0', 'x', '3:', '-1', '3:y']) t.throws(() => seedsOf({ KNARR_SEEDS: wrong }), /KNARR_SEEDS is COUNT\[:FROM\]/)
  })

  /** Says of every budget that all its pods may go. */
  const lyingBudgets: Controller = {
    name: 'disruption',
    for: PodDisruptionBudget,
    async reconcile(key, { cache, client }) {
      const budget = cache.get(PodDisruptionBudget, key)
      if (!budget || budget.status?.disruptionsAllowed === 9) return undefined
      const status = { disruptionsAllowed: 9, currentHealthy: 9, desiredHealthy: 0, expectedPods: 9, observedGeneration: 1 }
      await client.updateStatus(PodDisruptionBudget, { ...budget, status })
      return undefined
    },
  }

  t.test('a seed that fails says how it is replayed, and fails in the same way then', async (t) => {
    const options = {
      signingKey: signingKey(),
      controllers: () => controllers().map((each) => (each.name === 'disruption' ? lyingBudgets : each)),
    }
    const [failure] = (await runSeeds(seedsOf({ KNARR_SEEDS: '200' }), { ...options, most: 1 })).failures
    if (!failure) throw new Error('no seed has found out that the budgets lie')
    t.match(failure.violations[0], /^budget of guarded: an eviction left \d healthy pods, at least \d are wanted$/)
    t.equal(failure.replay, replayCommand(failure.seed))
    const seed = Number(/KNARR_SEED=(\d+) /.exec(failure.replay)?.[1])
    const again = await simulate(seed, { ...options, signingKey: signingKey() })
    t.same(again.violations, failure.violations)
    t.equal(again.fingerprint, failure.fingerprint, 'every change of every object is the same')
  })

  t.test('another process lives a seed in the same way', { timeout: 120_000 }, async (t) => {
    const seed = seeds[0] ?? 1
    const { fingerprint } = await simulate(seed, { signingKey: signingKey() })
    const { NODE_OPTIONS: _, NODE_TEST_CONTEXT: __, ...env } = process.env
    const { stdout } = await promisify(execFile)('sh', ['-c', replayCommand(seed)], { env })
    t.match(stdout, new RegExp(`fingerprint of seed ${seed}: ${fingerprint}`))
  })
}
