// watch: the events of a resource that concern one client, as a body that is pushed.
import { encodeJson, type ResourceType, statusOf } from '../../../api/index.js'
import { ApiError } from '../../../lib/index.js'
import { CompactedError } from '../../../store/index.js'
import { PushBody } from '../http/push-body.js'
import type { RequestInfo } from '../http/request-info.js'
import { checkListOptions, flagOf, integerOf } from '../http/request-options.js'
import type { Backend } from './backend.js'
import { type CacheEvent, type ResourceCache, toCacheEvent } from './cache.js'
import { atRevision, type Entry } from './entry.js'
import { parseRevision, waitForRevision } from './list.js'
import { type Selection, selectionOf } from './selection.js'

/** How an object looks to this client: the object, its metadata, or a table of one row. Must depend on `form` alone. */
export interface Presentation {
  /** Names the form: events encoded once are shared by all who ask for the same. */
  readonly form: string
  render(entry: Entry): Uint8Array
  /** The bookmark's object. */
  bookmark(revision: number, initialEventsEnd: boolean): Uint8Array
}

const BOOKMARK_EVERY_MS = 60_000
const LONGEST_WATCH_MS = 60 * 60_000

const frame = (type: string, object: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from(`{"type":"${type}","object":`), object, Buffer.from('}\n')])

/** The event as it concerns a selection: objects enter it and leave it. */
export function eventFor(event: CacheEvent, selection: Selection): CacheEvent['type'] | undefined {
  const now = event.type !== 'DELETED' && selection.matches(event.entry)
  const before = event.previous !== undefined && selection.matches(event.previous)
  if (now) return before ? 'MODIFIED' : 'ADDED'
  return before ? 'DELETED' : undefined
}

function encodeEvent(event: CacheEvent, type: CacheEvent['type'], { form, render }: Presentation): Buffer {
  const key = `${type} ${form}`
  const known = event.frames.get(key)
  if (known) return known
  // What leaves a selection is shown as it was when it was still inside.
  const leaves = type === 'DELETED' && event.type !== 'DELETED' && event.previous
  const bytes = frame(type, render(leaves ? atRevision(leaves, event.revision) : event.entry))
  event.frames.set(key, bytes)
  return bytes
}

/** All events behind `revision` up to where the cache is, from the store, when the cache has forgotten them. */
async function replay(backend: Backend, cache: ResourceCache, revision: number): Promise<readonly CacheEvent[]> {
  const upTo = cache.changed
  const events: CacheEvent[] = []
  if (upTo <= revision) return events
  try {
    for await (const batch of backend.store.watch(cache.prefix, { fromRevision: revision + 1 })) {
      for (const change of batch.events) {
        if (change.kv.modRevision > upTo) return events
        const event = toCacheEvent(cache.prefix, change)
        if (event) events.push(event)
      }
      if (batch.revision >= upTo) return events
    }
  } catch (error) {
    if (error instanceof CompactedError) throw tooOld(revision, error.compactRevision)
    throw error
  }
  return events
}

export const tooOld = (revision: number, oldest: number): ApiError =>
  new ApiError('Expired', `too old resource version: ${revision} (${oldest})`)

interface WatchQuery {
  readonly revision: number | undefined
  readonly bookmarks: boolean
  readonly initialEvents: boolean
  readonly timeoutMs: number
}

function watchQuery({ query }: RequestInfo, random: Backend['random']): WatchQuery {
  checkListOptions(query, { watch: true })
  const seconds = integerOf(query, 'timeoutSeconds') ?? 0
  // Without a wish of the client, watches end after 30 to 60 minutes, not all at once.
  const timeoutMs = seconds > 0 ? seconds * 1000 : LONGEST_WATCH_MS * (0.5 + random.next() / 2)
  return {
    revision: parseRevision(query.get('resourceVersion')),
    bookmarks: flagOf(query, 'allowWatchBookmarks') ?? false,
    initialEvents: flagOf(query, 'sendInitialEvents') ?? false,
    timeoutMs,
  }
}

/** `onReset` registers what ends the watch when caches are made anew; it returns how to unregister. */
export async function openWatch(
  backend: Backend,
  type: ResourceType,
  info: RequestInfo,
  presentation: Presentation,
  options: {
    readonly signal?: AbortSignal | undefined
    readonly onReset: (end: () => void) => () => void
    /** Told the length of each event that is sent. */
    readonly sent: { observe(bytes: number): void }
  },
): Promise<PushBody> {
  const { clock, feed } = backend
  const selection = selectionOf(type, info)
  const query = watchQuery(info, backend.random)
  const revision = query.revision
  const cache = await (revision === 0 || (revision !== undefined && !query.initialEvents)
    ? feed.cache(type.storagePrefix)
    : feed.fresh(type.storagePrefix))
  if (revision) {
    await waitForRevision(backend, cache, revision)
  }

  const cleanups: (() => void)[] = []
  const body = new PushBody(() => {
    for (const cleanup of cleanups.splice(0)) cleanup()
  })
  const push = (bytes: Uint8Array): void => {
    body.push(bytes)
    options.sent.observe(bytes.length)
  }
  const send = (events: readonly CacheEvent[]): void => {
    for (const event of events) {
      const kind = eventFor(event, selection)
      if (kind) push(encodeEvent(event, kind, presentation))
    }
  }
  const bookmark = (at: number, end = false): void => body.push(frame('BOOKMARK', presentation.bookmark(at, end)))

  // Live events wait until what came before them is sent.
  let held: (readonly CacheEvent[])[] | undefined = []
  cleanups.push(
    cache.subscribe((events) => {
      if (held) held.push(events)
      else send(events)
    }),
  )
  try {
    const from = cache.revision
    if (query.initialEvents || revision === undefined || revision === 0) {
      for (const entry of cache.slice(selection.prefix)) {
        if (selection.everything || selection.matches(entry)) push(frame('ADDED', presentation.render(entry)))
      }
      if (query.initialEvents && query.bookmarks) bookmark(from, true)
    } else send(cache.since(revision) ?? (await replay(backend, cache, revision)).filter((event) => event.revision <= from))
    for (const events of held) send(events)
    held = undefined
  } catch (error) {
    // Clients that resume a watch look for this inside of it: a refusal they would try again for ever.
    const expired = error instanceof ApiError && error.reason === 'Expired'
    if (expired) body.push(frame('ERROR', encodeJson(statusOf(error))))
    body.end()
    if (expired) return body
    throw error
  }

  const timer = clock.after(query.timeoutMs, () => body.end())
  cleanups.push(() => timer.cancel())
  if (query.bookmarks) {
    const again = (): void => {
      bookmark(cache.revision)
      beat = clock.after(BOOKMARK_EVERY_MS, again)
    }
    let beat = clock.after(BOOKMARK_EVERY_MS * (0.9 + backend.random.next() / 10), again)
    cleanups.push(() => beat.cancel())
  }
  cleanups.push(options.onReset(() => body.end()))
  const { signal } = options
  if (signal) {
    const onAbort = (): void => body.end()
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    cleanups.push(() => signal.removeEventListener('abort', onAbort))
  }
  return body
}
