// A control plane in virtual time: what takes days takes moments, and happens at the second it should.
import { setMaxListeners } from 'node:events'
import type { Test } from 'tap'
import { Event, Namespace } from '../../src/api/index.js'
import { type Client, createClient } from '../../src/client/index.js'
import { createApiServer } from '../../src/controlplane/apiserver/index.js'
import { type ControllerOptions, controllers, runControllers } from '../../src/controlplane/controllers/index.js'
import { type Profile, runScheduler } from '../../src/controlplane/scheduler/index.js'
import { type Clock, type Random, seededRandom, silentLog } from '../../src/lib/index.js'
import { signingKey } from '../apiserver/harness.js'
import { type HollowNodes, type HollowOptions, hollowNodes } from '../hollow/hollow-nodes.js'
import { memoryStore } from '../simulation/memory-store.js'
import { type SimClock, simClock } from '../simulation/sim-clock.js'
import { as } from './plane.js'

export interface VirtualPlane {
  readonly client: Client
  /** A client of someone else than the administrator. */
  clientOf(name: string, groups: readonly string[]): Client
  readonly clock: SimClock
  readonly nodes: HollowNodes
  /** Lets time pass. */
  pass(seconds: number): Promise<void>
  /** Lets time pass until the check holds, and says how many seconds that took. */
  until(what: string, check: () => Promise<unknown>, seconds?: number): Promise<number>
  /** Messages of the events about an object, `Reason: message`. */
  told(name: string): Promise<string[]>
}

export interface VirtualPlaneOptions {
  readonly start: number
  readonly hollow?: Partial<HollowOptions>
  /** Names of the controllers that run; default all. */
  readonly only?: readonly string[]
  /** Default one, `default-scheduler`. */
  readonly profiles?: readonly Profile[]
  /** Beside the root CA `CA`. */
  readonly options?: (clock: Clock, random: Random) => ControllerOptions | Promise<ControllerOptions>
}

export async function virtualPlane(
  t: Pick<Test, 'teardown'>,
  { start, hollow, only, profiles, options }: VirtualPlaneOptions,
): Promise<VirtualPlane> {
  const clock = simClock(start)
  const random = seededRandom(5)
  const store = memoryStore()
  const common = { clock, random, log: silentLog }
  const api = await createApiServer({ ...common, store, serviceAccounts: { issuer: 'https://virtual', signingKey: signingKey() } })
  const client = createClient(as(api.handler, 'admin'))
  const stop = new AbortController()
  const { signal } = stop
  setMaxListeners(0, signal)
  for (const name of ['default', 'kube-system', 'kube-node-lease']) {
    if (await client.find(Namespace, { name })) continue
    await client.create(Namespace, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
  }
  const names = ['node-1', 'node-2', 'node-3']
  const nodes = hollowNodes({ ...common, client, signal, nodes: names, startMs: [100, 200], stopMs: [100, 200], ...hollow })
  const chosen = controllers().filter(({ name }) => !only || only.includes(name))
  const running = [
    runControllers({
      ...common,
      client: createClient(as(api.handler, 'kcm')),
      signal,
      options: { rootCa: 'CA', ...(await options?.(clock, random)) },
      controllers: chosen,
    }),
    runScheduler({ ...common, client: createClient(as(api.handler, 'ks')), signal, ...(profiles ? { profiles } : {}) }),
    nodes.stopped,
  ]
  t.teardown(async () => {
    stop.abort(new Error('end'))
    await clock.runUntil(2000)
    await Promise.race([Promise.allSettled(running), clock.runUntil(5000)])
    await Promise.race([api.close(), clock.runUntil(5000)])
    await store.close()
  })
  const plane: VirtualPlane = {
    client,
    clientOf: (name, groups) => createClient(as(api.handler, name, groups)),
    clock,
    nodes,
    pass: async (seconds) => void (await clock.runUntil(seconds * 1000)),
    async until(what, check, seconds = 120) {
      const begin = clock.monotonic()
      while (clock.monotonic() - begin < seconds * 1000) {
        if (await check()) return (clock.monotonic() - begin) / 1000
        await clock.runUntil(500)
      }
      throw new Error(`waited ${seconds} s of virtual time for: ${what}`)
    },
    async told(name) {
      await clock.runUntil(1000)
      const { items } = await client.list(Event)
      return items.filter((each) => each.involvedObject.name === name).map(({ reason, message }) => `${reason}: ${message}`)
    },
  }
  await clock.runUntil(5000)
  return plane
}
