// list: which entries, as of which revision.
import { posix } from 'node:path'
import type { ResourceType } from '../../../api/index.js'
import { ApiError } from '../../../lib/index.js'
import { CompactedError, FutureRevisionError } from '../../../store/index.js'
import type { RequestInfo } from '../http/request-info.js'
import { checkListOptions, integerOf } from '../http/request-options.js'
import type { Backend } from './backend.js'
import type { ResourceCache } from './cache.js'
import { type Entry, makeEntry } from './entry.js'
import { type Selection, selectionOf } from './selection.js'

export interface ListPage {
  readonly entries: readonly Entry[]
  readonly revision: number
  /** Token for the next page. */
  readonly more: string | undefined
  readonly remaining: number | undefined
}

/** An answer that carries list metadata beside its reason. */
export class ExpiredError extends ApiError {
  readonly continueToken: string | undefined

  constructor(message: string, continueToken?: string) {
    super('Expired', message)
    this.continueToken = continueToken
  }
}

interface Position {
  /** -1: whatever is newest, after a token has expired. */
  readonly revision: number
  readonly start: string
}

const encodeToken = ({ revision, start }: Position): string =>
  Buffer.from(JSON.stringify({ v: 'meta.k8s.io/v1', rv: revision, start })).toString('base64url')

function decodeToken(token: string): Position {
  const refuse = (detail: string): never => {
    throw new ApiError('BadRequest', `invalid continue token: continue key is not valid: ${detail}`)
  }
  let read: unknown
  try {
    read = JSON.parse(Buffer.from(token, 'base64url').toString('utf8'))
  } catch {
    return refuse('it is no token of a list')
  }
  const { v, rv, start } = (read ?? {}) as Record<string, unknown>
  if (v !== 'meta.k8s.io/v1') return refuse(`server does not recognize this encoded version ${String(v ?? '')}`)
  if (!Number.isSafeInteger(rv) || rv === 0) return refuse('incorrect encoded start resourceVersion (version meta.k8s.io/v1)')
  if (typeof start !== 'string' || start === '') return refuse('encoded start key empty (version meta.k8s.io/v1)')
  // A start cannot lead out of what is listed.
  if (posix.normalize(`/${start}`) !== `/${start}`) return refuse(start)
  return { revision: rv as number, start }
}

const TOO_OLD =
  'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue ' +
  'parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided ' +
  'token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was ' +
  'returned and now may show up in the list.'

const LARGEST = 2n ** 64n - 1n

/** Throws BadRequest for what is no number; Kubernetes says it in these words, though with another code for get and watch. */
export function parseRevision(text: string | null): number | undefined {
  if (text === null || text === '') return undefined
  const number = /^\d+$/.test(text)
  if (number && BigInt(text) <= LARGEST) return Number(text)
  const said = JSON.stringify(text)
  const problem = number ? 'value out of range' : 'invalid syntax'
  throw new ApiError('BadRequest', `resourceVersion: Invalid value: ${said}: strconv.ParseUint: parsing ${said}: ${problem}`)
}

function revisionOfList(query: URLSearchParams): number | undefined {
  try {
    return parseRevision(query.get('resourceVersion'))
  } catch (error) {
    throw new ApiError('BadRequest', `invalid resource version: ${(error as Error).message}`, { cause: error })
  }
}

/** Waits for a revision that a client has seen elsewhere; 504 when it does not come. */
export async function waitForRevision(backend: Backend, cache: ResourceCache, revision: number): Promise<void> {
  if (cache.revision >= revision) return
  const newest = await backend.store.revision()
  if (revision > newest) {
    throw new ApiError('Timeout', `Timeout: Too large resource version: ${revision}, current: ${newest}`, {
      details: {
        causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
        retryAfterSeconds: 1,
      },
    })
  }
  await cache.reached(revision)
}

interface Source {
  readonly revision: number
  /** Entries behind the start, in order. */
  readonly entries: Iterable<Entry>
  /** How many `entries` yields, if that costs nothing to know. */
  readonly count: (() => number) | undefined
}

function fromCache(cache: ResourceCache, prefix: string, start: string): Source {
  return {
    revision: cache.revision,
    entries: cache.range(prefix, start),
    count: () => {
      let count = 0
      for (const _ of cache.range(prefix, start)) count++
      return count
    },
  }
}

async function fromStore(
  backend: Backend,
  cache: ResourceCache,
  { prefix, start, revision, limit }: { prefix: string; start: string; revision: number; limit: number },
): Promise<Source> {
  const options = { revision, ...(limit > 0 && { limit }), ...(start && { startAfter: start }) }
  const result = await backend.store.range(prefix, options)
  return {
    revision: result.revision,
    entries: result.items.map(({ key, value, modRevision }) => makeEntry(cache.prefix, key, value, modRevision)),
    count: () => result.count,
  }
}

function pageOf(source: Source, selection: Selection, limit: number): ListPage {
  const entries: Entry[] = []
  let last: Entry | undefined
  let cut = false
  for (const entry of source.entries) {
    if (limit > 0 && entries.length >= limit) {
      if (!selection.everything && !selection.matches(entry)) continue
      cut = true
      break
    }
    if (!selection.everything && !selection.matches(entry)) continue
    entries.push(entry)
    last = entry
  }
  // The store may have stopped at the limit by itself.
  const total = selection.everything && limit > 0 ? source.count?.() : undefined
  if (total !== undefined && total > entries.length) cut = true
  if (!cut || !last) return { entries, revision: source.revision, more: undefined, remaining: undefined }
  return {
    entries,
    revision: source.revision,
    more: encodeToken({ revision: source.revision, start: last.key.slice(selection.prefix.length) }),
    remaining: total === undefined ? undefined : total - entries.length,
  }
}

async function sourceFor(backend: Backend, cache: ResourceCache, info: RequestInfo, selection: Selection, limit: number): Promise<Source> {
  const { query } = info
  const { prefix, everything } = selection
  const token = query.get('continue')
  const revision = revisionOfList(query)
  if (token) {
    if (revision !== undefined && revision !== 0) {
      throw new ApiError('BadRequest', 'specifying resource version is not allowed when using continue')
    }
    const position = decodeToken(token)
    const start = prefix + position.start
    if (position.revision === -1 || (cache.changed <= position.revision && cache.revision >= position.revision)) {
      const source = fromCache(cache, prefix, start)
      return position.revision === -1 ? source : { ...source, revision: position.revision }
    }
    try {
      return await fromStore(backend, cache, { prefix, start, revision: position.revision, limit: everything ? limit : 0 })
    } catch (error) {
      if (error instanceof CompactedError) throw new ExpiredError(TOO_OLD, encodeToken({ revision: -1, start: position.start }))
      throw error
    }
  }
  // Pages without a word about the match are of the revision that is named: older than the word.
  const match = query.get('resourceVersionMatch') ?? ''
  if (revision && (match === 'Exact' || (match === '' && limit > 0))) {
    if (cache.changed <= revision && cache.revision >= revision) return { ...fromCache(cache, prefix, ''), revision }
    try {
      return await fromStore(backend, cache, { prefix, start: '', revision, limit: everything ? limit : 0 })
    } catch (error) {
      if (error instanceof CompactedError) throw new ExpiredError(`The resourceVersion for the provided list is too old.`)
      if (error instanceof FutureRevisionError) await waitForRevision(backend, cache, revision)
      throw error
    }
  }
  if (revision) await waitForRevision(backend, cache, revision)
  return fromCache(cache, prefix, '')
}

export async function listEntries(backend: Backend, type: ResourceType, info: RequestInfo): Promise<ListPage> {
  const { query } = info
  checkListOptions(query, { watch: false })
  const selection = selectionOf(type, info)
  const limit = Math.max(0, integerOf(query, 'limit') ?? 0)
  integerOf(query, 'timeoutSeconds')
  const cached = query.get('resourceVersion') === '0' && !query.get('continue')
  const cache = await (cached ? backend.feed.cache(type.storagePrefix) : backend.feed.fresh(type.storagePrefix))
  const source = await sourceFor(backend, cache, info, selection, limit)
  return pageOf(source, selection, limit)
}
