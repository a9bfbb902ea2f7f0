// One of several processes works at a time: whoever holds the Lease (coordination.k8s.io/v1).
import { Lease } from '../api/index.js'
import { type Clock, isStatus, type Logger, rfc3339Micro, sleep } from '../lib/index.js'
import type { Client } from './client.js'

export interface LeaderElectionOptions {
  readonly client: Client
  readonly clock: Clock
  readonly log: Logger
  readonly lease: { readonly namespace: string; readonly name: string }
  /** Different for each candidate. */
  readonly identity: string
  /** How long others wait after the last renewal. Default 15 s. */
  readonly leaseMs?: number
  /** How long the holder tries to renew before it gives up. Default 10 s. */
  readonly renewDeadlineMs?: number
  /** Between tries. Default 2 s. */
  readonly retryMs?: number
}

/**
 * Runs `lead` whenever this candidate holds the lease, until `signal` is aborted. The signal that `lead` gets is aborted when the
 * lease is lost; the lease is given up at the end, so that another candidate need not wait.
 */
export async function leaderElection(
  options: LeaderElectionOptions,
  signal: AbortSignal,
  lead: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const { client, clock, log, lease: key, identity, leaseMs = 15_000, renewDeadlineMs = 10_000, retryMs = 2_000 } = options
  /** Leases are judged by when we saw them change, not by the holder's clock. */
  let seen: { readonly version: string; readonly at: number } | undefined

  const spec = (transitions: number, acquireTime: string): Lease['spec'] => ({
    holderIdentity: identity,
    leaseDurationSeconds: Math.ceil(leaseMs / 1000),
    acquireTime,
    renewTime: rfc3339Micro(clock.now()),
    leaseTransitions: transitions,
  })

  /** One try to take or renew the lease: true when we hold it. */
  async function attempt(): Promise<boolean> {
    const current = await client.find(Lease, key)
    const now = rfc3339Micro(clock.now())
    try {
      if (!current) {
        await client.create(Lease, { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: key, spec: spec(0, now) })
        return true
      }
      const version = current.metadata.resourceVersion ?? ''
      if (seen?.version !== version) seen = { version, at: clock.monotonic() }
      const holder = current.spec?.holderIdentity
      const mine = holder === identity
      if (!mine && holder && clock.monotonic() - seen.at < (current.spec?.leaseDurationSeconds ?? 15) * 1000) return false
      const transitions = (current.spec?.leaseTransitions ?? 0) + (mine ? 0 : 1)
      await client.update(Lease, { ...current, spec: spec(transitions, mine ? (current.spec?.acquireTime ?? now) : now) })
      return true
    } catch (error) {
      if (isStatus(error, 'Conflict', 'AlreadyExists')) return false
      throw error
    }
  }

  const tryOnce = async (): Promise<boolean> => {
    try {
      return await attempt()
    } catch (error) {
      log.warn('lease could not be written', { lease: key.name, err: error })
      return false
    }
  }

  async function hold(): Promise<void> {
    const lost = new AbortController()
    const stop = (): void => lost.abort(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    const work = lead(lost.signal).finally(() => lost.abort(new Error('leader stopped')))
    let renewedAt = clock.monotonic()
    while (!lost.signal.aborted) {
      await sleep(clock, retryMs, lost.signal).catch(() => {})
      if (lost.signal.aborted) break
      if (await tryOnce()) renewedAt = clock.monotonic()
      else if (clock.monotonic() - renewedAt >= renewDeadlineMs) lost.abort(new Error(`lease ${key.name} was lost`))
    }
    signal.removeEventListener('abort', stop)
    await work
  }

  async function release(): Promise<void> {
    const current = await client.find(Lease, key)
    if (current?.spec?.holderIdentity !== identity) return
    await client.update(Lease, { ...current, spec: { ...current.spec, holderIdentity: '', leaseDurationSeconds: 1 } })
  }

  while (!signal.aborted) {
    if (await tryOnce()) {
      log.info('became leader', { lease: key.name })
      try {
        await hold()
      } finally {
        await release().catch((error: unknown) => log.debug('lease not released', { lease: key.name, err: error }))
      }
    } else await sleep(clock, retryMs, signal).catch(() => {})
  }
}
