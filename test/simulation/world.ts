// One seeded life of a cluster: API server, controllers, scheduler and hollow nodes in one process, in virtual time, with faults.
import { setMaxListeners } from 'node:events'
import { DaemonSet, Deployment, Job, type Kind, Namespace, type Pod, ReplicaSet, type Resource, StatefulSet } from '../../src/api/index.js'
import { type Client, createClient } from '../../src/client/index.js'
import { type Controller, controllers, runControllers } from '../../src/controlplane/controllers/index.js'
import { runScheduler } from '../../src/controlplane/scheduler/index.js'
import { type HttpHandler, isStatus, type Logger, type Random, randomInt, seededRandom, silentLog } from '../../src/lib/index.js'
import { type HollowNodes, hollowNodes } from '../hollow/hollow-nodes.js'
import { unfinished } from './converged.js'
import { calm, type FaultCounts, type Faults, type Link, link, noFaults } from './faults.js'
import { Invariants } from './invariants.js'
import { memoryStore } from './memory-store.js'
import { mortalServer } from './mortal-server.js'
import { type Deed, NODES, namespace, pick, plot } from './plots.js'
import { type SimClock, simClock } from './sim-clock.js'

export interface Life {
  readonly violations: readonly string[]
  /** Of every change of the store, and virtual time: equal for equal seeds. */
  readonly fingerprint: string
  readonly faults: Readonly<Record<keyof FaultCounts | 'crashes' | 'serverCrashes' | 'clockJumps' | 'silentNodes' | 'failedPods', number>>
}

export interface SimulateOptions {
  readonly log?: Logger
  readonly signingKey: string
  /** Controllers that are not as they should be, for tests of this. */
  readonly controllers?: () => readonly Controller[]
}

interface Actor {
  readonly name: string
  start(client: Client, signal: AbortSignal): Promise<void>
}

/** Controllers of kinds that no life has anything of: they would only list them again and again. */
const IDLE =
  /^(csr|serviceaccount-token|nodeipam|token-cleaner|clusterrole-aggregation|persistentvolume|pv|local-path|ephemeral|cronjob|replication$)/

/** The groups that a life has to do with; the rest would only be listed again and again. */
const GROUPS = ['apps', 'batch', 'policy', 'discovery.k8s.io', 'apiextensions.k8s.io']

const fewerGroups =
  (server: HttpHandler): HttpHandler =>
  async (request) => {
    const response = await server(request)
    if (request.url !== '/apis' || !(response.body instanceof Uint8Array) || response.status !== 200) return response
    const all = JSON.parse(Buffer.from(response.body).toString('utf8')) as { groups: { name: string }[] }
    const groups = all.groups.filter((group) => GROUPS.includes(group.name))
    return { ...response, body: Buffer.from(JSON.stringify({ ...all, groups })) }
  }

/** A process that dies now and then, and comes back. */
function process_(actor: Actor, world: World): { calmDown(): void; crashes(): number; stop(): void } {
  const { clock, random, server, faults, counts } = world
  let crashes = 0
  let settled = false
  let current: { link: Link; abort: AbortController } | undefined
  let stopped = false
  const start = (): void => {
    if (stopped) return
    const abort = new AbortController()
    setMaxListeners(0, abort.signal)
    const mine = link(server, `system:${actor.name}`, { clock, random, faults: settled ? calm : faults, counts })
    current = { link: mine, abort }
    if (!settled && world.crashEvery > 0) {
      mine.killAt(20 + randomInt(random, world.crashEvery), () => {
        crashes++
        clock.after(0, () => abort.abort(new Error('crash')))
        clock.after(200 + randomInt(random, 4000), start)
      })
    }
    void actor.start(createClient(mine.handler, { userAgent: actor.name }), abort.signal).catch(() => {})
  }
  start()
  return {
    crashes: () => crashes,
    calmDown() {
      settled = true
      if (!current) return
      current.link.faults = calm
      current.link.killAt(Number.MAX_SAFE_INTEGER, () => {})
    },
    stop() {
      stopped = true
      current?.link.kill()
      current?.abort.abort(new Error('end'))
    },
  }
}

interface World {
  readonly clock: SimClock
  readonly random: Random
  readonly server: Parameters<typeof link>[0]
  readonly faults: Faults
  readonly counts: FaultCounts
  readonly crashEvery: number
}

/** Lives one seed from its first node to its last pod. */
export async function simulate(
  seed: number,
  { log = silentLog, signingKey, controllers: chosen = controllers }: SimulateOptions,
): Promise<Life> {
  const random = seededRandom(seed)
  const clock = simClock()
  const store = memoryStore()
  const invariants = new Invariants()
  store.onEvent = (event) => invariants.onEvent(event)
  const api = await mortalServer({ store, clock, random, seed, log, signingKey })
  const server: HttpHandler = async (request) => {
    const response = await api.handler(request)
    const wrote = request.method !== 'GET' && response.status < 300 && response.body instanceof Uint8Array
    if (wrote) invariants.onAnswer(JSON.parse(Buffer.from(response.body as Uint8Array).toString('utf8')) as Resource)
    return response
  }
  const end = new AbortController()
  setMaxListeners(0, end.signal)
  const rough = random.next() < 0.8
  const faults: Faults = rough
    ? {
        loss: random.next() * 0.03,
        delayMs: pick(random, [2, 20, 300, 2000]),
        repeat: random.next() * 0.1,
        reorder: random.next() * 0.1,
        cut: random.next() * 0.01,
      }
    : calm
  const crashEvery = random.next() < 0.7 ? pick(random, [100, 300, 1000]) : 0
  const counts = noFaults()
  const world: World = { clock, random, server: fewerGroups(server), faults, counts, crashEvery }
  const user = createClient(link(server, 'user', { clock, random, faults: calm }).handler)
  /** As the clock's, looking only after something has changed in the store. */
  const runUntil = (ms: number, check?: () => boolean): Promise<boolean> => {
    if (!check) return clock.runUntil(ms)
    let seen = -1
    return clock.runUntil(ms, () => {
      if (seen === invariants.changes) return false
      seen = invariants.changes
      return check()
    })
  }

  /** Work that needs virtual time to pass. */
  async function during<T>(work: Promise<T>, ms = 600_000): Promise<T> {
    let over = false
    const done = work.finally(() => {
      over = true
    })
    done.catch(() => {})
    await clock.runUntil(ms, () => over)
    if (!over) throw new Error(`seed ${seed}: the work of a person took longer than ${ms} ms`)
    return done
  }

  for (const name of ['kube-system', 'kube-node-lease']) {
    if (await during(user.find(Namespace, { name }))) continue
    await during(user.create(Namespace, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } }))
  }
  const nodeLink = link(server, 'nodes', { clock, random, faults: { ...faults, cut: 0 }, counts })
  const nodes: HollowNodes = hollowNodes({
    client: createClient(nodeLink.handler),
    clock,
    random,
    log,
    signal: end.signal,
    nodes: NODES,
    startMs: [50, 1500],
    stopMs: [50, 900],
    failureRate: pick(random, [0, 0, 0.03, 0.2]),
    onContainers: (pod, running) => invariants.onContainers(pod, running),
  })
  const common = { clock, random, log }
  const processes = [
    process_(
      {
        name: 'kube-controller-manager',
        start: (client, signal) =>
          runControllers({
            ...common,
            client,
            signal,
            options: { rootCa: 'CA' },
            controllers: chosen().filter(({ name }) => !IDLE.test(name)),
          }),
      },
      world,
    ),
    process_({ name: 'kube-scheduler', start: (client, signal) => runScheduler({ ...common, client, signal }) }, world),
  ]
  await during(nodes.registered)
  const { create, deeds } = plot(random, invariants)
  /** What a server answers that dies, or is not there. A person then looks again, or leaves it. */
  const wasCut = (error: unknown): boolean => error instanceof Error && /connection (lost|refused)/.test(`${error.message} ${error.cause}`)
  const attempt = async (deed: Deed): Promise<boolean> => {
    try {
      await during(deed(user, random))
      return true
    } catch (error) {
      if (wasCut(error)) return false
      if (!isStatus(error, 'NotFound', 'Conflict', 'AlreadyExists', 'Forbidden')) throw error
      return true
    }
  }
  const insist = async (deed: Deed): Promise<void> => {
    while (!(await attempt(deed))) await runUntil(1000)
  }
  // The service account that pods need comes from a controller.
  await runUntil(120_000, () => invariants.kind('ServiceAccount').some((each) => each.metadata.namespace === namespace))
  if (random.next() < 0.4) api.setMortality(pick(random, [50, 200, 600]))
  for (const deed of create) await insist(deed)
  let silentNodes = 0
  let clockJumps = 0
  let silent: string | undefined
  /** A node without power: shorter than anyone notices, until it is NotReady, or until its pods are moved. */
  const fallSilent = async (): Promise<void> => {
    silentNodes++
    silent = pick(random, NODES)
    nodes.silence(silent)
    // Pods now go away by themselves.
    invariants.undisturbed.clear()
    if (invariants.daemons) invariants.daemons.neverBare = false
    await runUntil(pick(random, [20_000, 60_000, 60_000, 360_000]))
  }
  for (let round = 2 + randomInt(random, 5); round > 0; round--) {
    await runUntil(randomInt(random, 8000))
    await attempt(pick(random, deeds))
    if (random.next() < 0.1) {
      clockJumps++
      clock.jump(randomInt(random, 240_000) - 120_000)
    }
    if (!silent && random.next() < 0.08) await fallSilent()
  }

  // The weather clears: what was asked for has to come true.
  for (const each of processes) each.calmDown()
  api.setMortality(0)
  if (silent) nodes.revive(silent)
  nodeLink.faults = calm
  await insist((client) =>
    client.patch(Deployment, { namespace, name: 'web' }, { spec: { paused: false } }, { type: 'merge' }).then(() => {}),
  )
  invariants.onChange('Deployment', 'web', { paused: false })
  const violations = invariants.violations
  if (!(await runUntil(1_800_000, () => unfinished(invariants).length === 0)))
    violations.push(`did not converge: ${unfinished(invariants).join('; ')}`)

  violations.push(...invariants.lost())
  invariants.protectedApps.clear()
  if (invariants.daemons) invariants.daemons.neverBare = false
  // And when it is taken back, nothing of it may stay.
  const kinds: readonly Kind[] = [Deployment, ReplicaSet, StatefulSet, DaemonSet, Job] as never
  for (const kind of kinds) await during(user.deleteCollection(kind, { namespace }, { propagationPolicy: 'Background' }))
  const owned = (): number => invariants.kind<Pod>('Pod').filter((pod) => pod.metadata.ownerReferences?.length).length
  if (!(await runUntil(600_000, () => owned() === 0 && invariants.orphans().length === 0))) {
    violations.push(`left behind: ${owned()} pods; ${invariants.orphans().join('; ')}`)
  }
  const fingerprint = `${invariants.digest.digest('hex').slice(0, 16)} ${await store.revision()} ${clock.monotonic()}`
  for (const each of processes) each.stop()
  nodeLink.kill()
  end.abort(new Error('end'))
  await Promise.race([api.close(), runUntil(1000)])
  await store.close()
  const crashes = processes.reduce((sum, each) => sum + each.crashes(), 0)
  return {
    violations,
    fingerprint,
    faults: { ...counts, crashes, serverCrashes: api.crashes(), clockJumps, silentNodes, failedPods: invariants.failedPods },
  }
}
