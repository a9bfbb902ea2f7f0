// Two hundred lives of a cluster. `KNARR_SEED=n` replays one, `KNARR_SEEDS=n` runs more.
import t from 'tap'
import { signingKey } from '../apiserver/harness.js'
import { simulate } from './world.js'

const only = process.env.KNARR_SEED
const seeds = only === undefined ? Array.from({ length: Number(process.env.KNARR_SEEDS ?? 200) }, (_, index) => index + 1) : [Number(only)]

t.setTimeout(580_000)

t.test('the cluster converges, whatever the network and the processes do', { timeout: 1_100_000 }, async (t) => {
  const key = signingKey()
  let crashes = 0
  let serverCrashes = 0
  let silences = 0
  for (const seed of seeds) {
    const life = await simulate(seed, { signingKey: key })
    crashes += life.crashes
    serverCrashes += life.serverCrashes
    silences += life.silences
    if (life.violations.length > 0) {
      t.fail(`seed ${seed}: ${life.violations.slice(0, 3).join('; ')}`, {
        replay: `KNARR_SEED=${seed} node --test dist/test/simulation/simulation.test.js`,
      })
    }
  }
  t.pass(`${seeds.length} seeds, ${crashes} crashes of processes, ${serverCrashes} of the API server, ${silences} silent nodes`)
  if (only !== undefined) return
  t.ok(crashes > seeds.length / 2, 'processes were killed')
  t.ok(serverCrashes > seeds.length / 4, 'API servers were killed')
  t.ok(silences > seeds.length / 10, 'nodes fell silent')
})

t.test('a seed replays exactly', async (t) => {
  const key = signingKey()
  const seed = seeds[0] ?? 1
  const first = await simulate(seed, { signingKey: key })
  t.same(await simulate(seed, { signingKey: key }), first)
})
