// Tells the API the status of pods: the newest only, one write at a time for each pod, again until it is through.
import { Pod, type PodStatus } from '../../api/index.js'
import type { Client } from '../../client/index.js'
import { type Clock, deferred, exponentialBackoff, isStatus, type Logger, limiter, sleep } from '../../lib/index.js'

export interface StatusWriter {
  /** `soon`: may wait a moment for something better to say. */
  set(pod: Pod, status: PodStatus, options?: { readonly soon?: boolean }): void
  /** The API shows the pod like this: what others have written over the kubelet's own words is put right. */
  seen(pod: Pod): void
  /** Resolves when the newest status is written, or cannot be because the pod is gone. */
  flush(uid: string): Promise<void>
  forget(uid: string): void
}

interface Entry {
  pod: Pod
  wanted: PodStatus
  /** As JSON, without what is only time. */
  written: string
  /** Version of the pod that our last write made. */
  version: bigint
  busy: Promise<void> | undefined
  /** Ends the wait of a status that is not urgent. */
  hurry: (() => void) | undefined
}

/** A first status says little; shortly after it the containers run. */
const PATIENCE_MS = 40

/** With a hundred pods at once each write would have a connection of its own, and be old news before it is answered. */
const AT_ONCE = 8

/** Lists that strategic merge would join with what is there are replaced. */
function patchOf(pod: Pod, status: PodStatus): unknown {
  const replaced = (list: readonly unknown[] | undefined): unknown => (list ? [{ $patch: 'replace' }, ...list] : undefined)
  const cleared = {
    reason: null,
    message: null,
    ...(status.initContainerStatuses ? {} : { initContainerStatuses: null }),
    ...(status.ephemeralContainerStatuses ? {} : { ephemeralContainerStatuses: null }),
  }
  const conditions = (status.conditions ?? []).map((condition) => ({ reason: null, message: null, ...withoutUndefined(condition) }))
  return {
    metadata: { uid: pod.metadata.uid },
    status: { ...cleared, ...withoutUndefined(status), conditions, ...(status.podIPs ? { podIPs: replaced(status.podIPs) } : {}) },
  }
}

const withoutUndefined = (object: object): object => Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined))

const versionOf = (text: string | undefined): bigint => (/^\d+$/.test(text ?? '') ? BigInt(text as string) : 0n)

/** The kubelet's own words in a status, as far as others are known to write over them. */
const substance = ({ phase, conditions, containerStatuses }: PodStatus, types: ReadonlySet<string>): string =>
  JSON.stringify([
    phase,
    (conditions ?? [])
      .filter(({ type }) => types.has(type))
      .map(({ type, status }) => `${type}=${status}`)
      .sort(),
    (containerStatuses ?? []).map(({ name, ready, restartCount }) => [name, ready, restartCount]),
  ])

export function statusWriter({
  client,
  clock,
  log,
  signal,
}: {
  client: Client
  clock: Clock
  log: Logger
  signal: AbortSignal
}): StatusWriter {
  const entries = new Map<string, Entry>()
  const slots = limiter(AT_ONCE)

  /** The pod is gone, or another one has its name. A server that lost too many races says Conflict too, and may be asked again. */
  async function isGone({ metadata }: Pod, error: unknown): Promise<boolean> {
    if (isStatus(error, 'NotFound')) return true
    if (!isStatus(error, 'Conflict')) return false
    const { name, namespace, uid } = metadata
    return client.get(Pod, { name, namespace }).then(
      (now) => now.metadata.uid !== uid,
      (failure: unknown) => isStatus(failure, 'NotFound'),
    )
  }

  async function write(entry: Entry): Promise<void> {
    const backOff = exponentialBackoff({ initialMs: 200, maxMs: 10_000 })
    while (!signal.aborted) {
      const { pod } = entry
      const { name, namespace, uid = '' } = pod.metadata
      let text = ''
      try {
        const done = await slots(async () => {
          // What has become of it while it waited for its turn.
          const { wanted } = entry
          text = JSON.stringify(wanted)
          if (text === entry.written) return true
          const { metadata } = await client.patch(Pod, { name, namespace }, patchOf(pod, wanted), {
            type: 'strategic',
            subresource: 'status',
          })
          entry.written = text
          entry.version = versionOf(metadata.resourceVersion)
          return false
        })
        if (done) return
        backOff.reset()
      } catch (error) {
        if (await isGone(pod, error)) {
          entries.delete(uid)
          entry.written = text
          continue
        }
        log.warn('pod status not written, trying again', { pod: `${namespace}/${name}`, err: error })
        if (isStatus(error, 'Invalid', 'BadRequest')) {
          entry.written = text
          continue
        }
        await sleep(clock, backOff.next(), signal).catch(() => {})
      }
    }
  }

  async function later(entry: Entry): Promise<void> {
    const ready = deferred()
    entry.hurry = ready.resolve
    const timer = clock.after(PATIENCE_MS, ready.resolve)
    await ready.promise
    timer.cancel()
    entry.hurry = undefined
    await write(entry)
  }

  function begin(entry: Entry, soon: boolean): void {
    if (entry.busy) return
    entry.busy = (soon ? later(entry) : write(entry)).finally(() => {
      entry.busy = undefined
      // Something newer may have come between the last look and now.
      if (!signal.aborted && JSON.stringify(entry.wanted) !== entry.written) begin(entry, false)
    })
  }

  return {
    set(pod, status, { soon = false } = {}) {
      const uid = pod.metadata.uid ?? ''
      const entry = entries.get(uid) ?? { pod, wanted: status, written: '', version: 0n, busy: undefined, hurry: undefined }
      entries.set(uid, entry)
      entry.pod = pod
      entry.wanted = status
      if (!soon) entry.hurry?.()
      begin(entry, soon)
    },
    seen(pod) {
      const entry = entries.get(pod.metadata.uid ?? '')
      // Only what is newer than our own last word can have been written over it.
      if (!entry || entry.busy || entry.written === '' || versionOf(pod.metadata.resourceVersion) <= entry.version) return
      const types = new Set((entry.wanted.conditions ?? []).map(({ type }) => type))
      if (!pod.status || substance(pod.status, types) === substance(entry.wanted, types)) return
      entry.version = versionOf(pod.metadata.resourceVersion)
      entry.written = ''
      begin(entry, false)
    },
    async flush(uid) {
      const entry = entries.get(uid)
      entry?.hurry?.()
      await entry?.busy
    },
    forget: (uid) => void entries.delete(uid),
  }
}
