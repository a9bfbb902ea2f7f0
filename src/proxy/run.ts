// The service proxy of a node: watches, plans, applies what changed, repairs what somebody else removed.
import type { EndpointSlice, Service } from '../api/index.js'
import type { Informer } from '../client/index.js'
import { abortable, asError, type Clock, type Logger, sleep, type Timer } from '../lib/index.js'
import type { Applier } from './applier.js'
import { healthChecks } from './health-checks.js'
import type { PlanInput } from './plan.js'
import { Planner } from './planner.js'
import { disturbedUdp, type Frontend } from './ruleset.js'
import type { ProxyStatus } from './status.js'

type Watched<T extends Service | EndpointSlice> = Pick<Informer<T>, 'synced' | 'subscribe' | 'get' | 'byIndex'>

export interface ProxyOptions {
  /** Run by the caller. */
  readonly services: Watched<Service>
  /** With an index `service` by `namespace/name`. */
  readonly slices: Watched<EndpointSlice>
  readonly nodeName: string
  readonly applier: Applier
  readonly clock: Clock
  readonly log: Logger
  readonly answeredHere?: ReadonlySet<string>
  /** The node's `topology.kubernetes.io/zone`, and a call when it changes. */
  readonly zone?: { read(): string | undefined; subscribe(changed: () => void): () => void }
  /** Deletes connection tracking entries of these UDP frontends that lead elsewhere than to their endpoints. */
  readonly forgetUdp?: (frontends: readonly Frontend[]) => void
  readonly status?: ProxyStatus
  /** Changes that come together are applied together: how long to wait for more. Default 2 ms. */
  readonly settleMs?: number
  /** How often to look whether our rules are still there. Default 30 s. */
  readonly repairMs?: number
  /** Called when everything known so far is in force. */
  readonly onApplied?: () => void
}

/** Between a change of rules by anybody and the look at ours. */
const LOOK_MS = 100

const serviceOf = ({ metadata }: EndpointSlice): string => `${metadata.namespace}/${metadata.labels?.['kubernetes.io/service-name'] ?? ''}`

/** Works until aborted. The rules stay: connections must not break because the agent is upgraded. */
export async function runProxy(options: ProxyOptions, signal: AbortSignal): Promise<void> {
  const { services, slices, nodeName, applier, clock, log, answeredHere, zone, status, settleMs = 2, repairMs = 30_000 } = options
  const checks = healthChecks(log, () => status?.isHealthy ?? true)
  const planner = new Planner()
  /** Services to plan anew. */
  const dirty = new Set<string>()
  /** Everything that was ever planned: what a change of the zone concerns. */
  const planned = new Set<string>()
  let inForce = false
  /** Somebody changed rules: ours may be gone. */
  let suspicious = false
  let looking: Timer | undefined
  let thoroughAt = clock.monotonic()
  let wake: (() => void) | undefined

  const mark =
    (what: 'service' | 'endpoint') =>
    (...keys: readonly string[]): void => {
      for (const key of keys) dirty.add(key)
      status?.queued(what)
      wake?.()
    }
  await abortable(Promise.all([services.synced, slices.synced]), signal).catch(() => {})
  if (signal.aborted) {
    applier.close?.()
    return
  }
  const keyOf = ({ metadata }: Service): string => `${metadata.namespace}/${metadata.name}`
  const [service, endpoint] = [mark('service'), mark('endpoint')]
  const onService = (object: Service): void => service(keyOf(object))
  const onSlice = (object: EndpointSlice): void => endpoint(serviceOf(object))
  const unsubscribe = [
    services.subscribe({ added: onService, updated: onService, deleted: onService }),
    slices.subscribe({ added: onSlice, updated: (object, old) => endpoint(serviceOf(object), serviceOf(old)), deleted: onSlice }),
    zone?.subscribe(() => endpoint(...planned)),
    applier.watch?.(() => {
      // Others change rules in bursts: one look is enough.
      looking ??= clock.after(LOOK_MS, () => {
        looking = undefined
        suspicious = true
        wake?.()
      })
    }),
  ]

  async function sync(): Promise<void> {
    const startedAt = clock.monotonic()
    const input: PlanInput = {
      slicesOf: ({ metadata }) => slices.byIndex('service', `${metadata.namespace}/${metadata.name}`),
      nodeName,
      zone: zone?.read(),
      ...(answeredHere ? { answeredHere } : {}),
    }
    const keys = [...dirty]
    dirty.clear()
    for (const key of keys) planned.add(key)
    const change = planner.update(
      keys.map((key) => [key, services.get(key)] as const),
      input,
    )
    for (const key of keys) if (!services.get(key)) planned.delete(key)
    const unchanged = change.added.length + change.removed.length + change.changed.length === 0
    if (!inForce) await applier.apply(planner)
    else if (!unchanged) await applier.apply(planner, change)
    checks.update(planner.healthChecks)
    // After the rules: a packet in between would make the old entry again.
    const disturbed = inForce ? disturbedUdp(change) : planner.frontends.filter(({ protocol }) => protocol === 'UDP')
    inForce = true
    if (disturbed.length > 0) options.forgetUdp?.(disturbed)
    status?.applied(clock.monotonic() - startedAt)
    options.onApplied?.()
  }

  /** Resolves at the next change, or after `repairMs`. */
  const idle = (): Promise<void> =>
    new Promise((resolve) => {
      if (dirty.size > 0 || suspicious || !inForce || signal.aborted) return resolve()
      const finish = (): void => {
        timer.cancel()
        wake = undefined
        signal.removeEventListener('abort', finish)
        resolve()
      }
      const timer = clock.after(repairMs, finish)
      wake = finish
      signal.addEventListener('abort', finish, { once: true })
    })

  /** Has everything applied again when somebody took something of ours away. */
  async function repair(): Promise<void> {
    const thorough = clock.monotonic() - thoroughAt >= repairMs
    if (!inForce || !(thorough || suspicious)) return
    suspicious = false
    if (thorough) thoroughAt = clock.monotonic()
    if (await applier.intact(thorough)) return
    log.warn('service rules were removed by somebody else; applying them again')
    inForce = false
  }

  let failures = 0
  while (!signal.aborted) {
    await idle()
    if (signal.aborted) break
    if (dirty.size > 0 && inForce) await sleep(clock, settleMs, signal).catch(() => {})
    try {
      await repair()
      if (dirty.size > 0 || !inForce) await sync()
      failures = 0
    } catch (error) {
      log.error('service rules could not be applied', { applier: applier.name, err: asError(error) })
      status?.failed()
      inForce = false
      await sleep(clock, Math.min(30_000, 100 * 2 ** failures++), signal).catch(() => {})
    }
  }
  for (const stop of unsubscribe) stop?.()
  looking?.cancel()
  checks.close()
  applier.close?.()
}
