// The service proxy of a node: watches, plans, applies what changed, repairs what somebody else removed.
import type { EndpointSlice, Service } from '../api/index.js'
import type { Informer } from '../client/index.js'
import { asError, type Clock, type Logger, sleep } from '../lib/index.js'
import type { Applier } from './applier.js'
import { healthChecks } from './health-checks.js'
import { planRuleset } from './plan.js'
import { compareRulesets, type Endpoint, type Frontend, type Ruleset, staleUdp } from './ruleset.js'

export interface ProxyOptions {
  /** Run by the caller. */
  readonly services: Informer<Service>
  /** With an index `service` by `namespace/name`. */
  readonly slices: Informer<EndpointSlice>
  readonly nodeName: string
  readonly applier: Applier
  readonly clock: Clock
  readonly log: Logger
  readonly answeredHere?: ReadonlySet<string>
  /** Deletes the connection tracking entries of a UDP endpoint that is gone. */
  readonly forgetUdp?: (frontend: Frontend, endpoint: Endpoint) => void
  /** Changes that come together are applied together: how long to wait for more. Default 5 ms. */
  readonly settleMs?: number
  /** How often to look whether our rules are still there. Default 30 s. */
  readonly repairMs?: number
  /** Called after each application, with how long it took. */
  readonly onApplied?: (ms: number) => void
}

const nothing: Ruleset = { frontends: [], healthChecks: [] }

/** Works until aborted. The rules stay: connections must not break because the agent is upgraded. */
export async function runProxy(options: ProxyOptions, signal: AbortSignal): Promise<void> {
  const { services, slices, nodeName, applier, clock, log, answeredHere, settleMs = 5, repairMs = 30_000 } = options
  const checks = healthChecks(log)
  let applied: Ruleset | undefined
  let wanted = false
  let wake: (() => void) | undefined
  const poke = (): void => {
    wanted = true
    wake?.()
  }

  await Promise.all([services.synced, slices.synced])
  if (signal.aborted) return
  const listener = { added: poke, updated: poke, deleted: poke }
  const unsubscribe = [services.subscribe(listener), slices.subscribe(listener)]

  async function sync(): Promise<void> {
    const startedAt = clock.monotonic()
    const next = planRuleset({
      services: services.list(),
      slicesOf: ({ metadata }) => slices.byIndex('service', `${metadata.namespace}/${metadata.name}`),
      nodeName,
      ...(answeredHere ? { answeredHere } : {}),
    })
    const change = compareRulesets(applied ?? nothing, next)
    const unchanged = applied && change.added.length + change.removed.length + change.changed.length === 0
    if (!unchanged) await applier.apply(next, applied ? change : undefined)
    checks.update(next.healthChecks)
    // After the rules: a packet in between would make the old entry again.
    for (const { frontend, endpoint } of staleUdp(change)) options.forgetUdp?.(frontend, endpoint)
    applied = next
    if (!unchanged) options.onApplied?.(clock.monotonic() - startedAt)
  }

  /** Resolves at the next change, or after `repairMs`. */
  const change = (): Promise<void> =>
    new Promise((resolve) => {
      if (wanted || signal.aborted) return resolve()
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

  let failures = 0
  while (!signal.aborted) {
    await change()
    if (signal.aborted) break
    if (wanted && applied) await sleep(clock, settleMs, signal).catch(() => {})
    const hadChange = wanted
    wanted = false
    try {
      if (!hadChange && !(await applier.intact())) {
        log.warn('service rules were removed by somebody else; applying them again')
        applied = undefined
      }
      await sync()
      failures = 0
    } catch (error) {
      log.error('service rules could not be applied', { applier: applier.name, err: asError(error) })
      applied = undefined
      wanted = true
      await sleep(clock, Math.min(30_000, 100 * 2 ** failures++), signal).catch(() => {})
    }
  }
  for (const stop of unsubscribe) stop()
  checks.close()
}
