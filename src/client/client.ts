// The typed REST client: Kubernetes verbs over any HttpHandler, in this process or across TLS.
import type { Kind, Resource } from '../api/index.js'
import { ApiError, type HttpHandler, type HttpRequest, type HttpResponse, isStatus, readBody } from '../lib/index.js'
import { type ObjectKey, type Query, queryString, resourcePath } from './path.js'
import { statusError } from './status.js'
import { readWatch, type WatchEvent } from './watch.js'

export interface Selectors {
  /** Every namespace when left out. */
  readonly namespace?: string | undefined
  readonly labelSelector?: string | undefined
  readonly fieldSelector?: string | undefined
}

export interface ListOptions extends Selectors {
  readonly limit?: number
  readonly continue?: string | undefined
  readonly resourceVersion?: string
  readonly resourceVersionMatch?: 'Exact' | 'NotOlderThan'
  readonly signal?: AbortSignal
}

export interface WatchOptions extends Selectors {
  /** Events after this version; from now on when left out. */
  readonly resourceVersion?: string
  readonly allowWatchBookmarks?: boolean
  readonly sendInitialEvents?: boolean
  readonly timeoutSeconds?: number
  readonly signal: AbortSignal
}

export interface List<T> {
  readonly items: readonly T[]
  readonly resourceVersion: string
  /** Present when there is more: pass it to the next list. */
  readonly continue: string | undefined
  readonly remainingItemCount: number | undefined
}

export interface WriteOptions {
  readonly subresource?: string
  readonly fieldManager?: string
  readonly dryRun?: boolean
  readonly signal?: AbortSignal
}

export interface PatchOptions extends WriteOptions {
  readonly type: 'json' | 'merge' | 'strategic' | 'apply'
  /** For `apply`: take fields over from other managers. */
  readonly force?: boolean
}

export interface DeleteOptions {
  readonly propagationPolicy?: 'Orphan' | 'Background' | 'Foreground'
  readonly gracePeriodSeconds?: number
  readonly preconditions?: { readonly uid?: string | undefined; readonly resourceVersion?: string | undefined }
  readonly dryRun?: boolean
}

/** Every call throws ApiError when the server says no, and Error when it cannot be reached. */
export interface Client {
  get<T extends Resource>(kind: Kind<T>, key: ObjectKey, options?: { resourceVersion?: string; signal?: AbortSignal }): Promise<T>
  /** As `get`; undefined instead of NotFound. */
  find<T extends Resource>(kind: Kind<T>, key: ObjectKey): Promise<T | undefined>
  list<T extends Resource>(kind: Kind<T>, options?: ListOptions): Promise<List<T>>
  create<T extends Resource>(kind: Kind<T>, object: T, options?: WriteOptions): Promise<T>
  update<T extends Resource>(kind: Kind<T>, object: T, options?: WriteOptions): Promise<T>
  updateStatus<T extends Resource>(kind: Kind<T>, object: T): Promise<T>
  patch<T extends Resource>(kind: Kind<T>, key: ObjectKey, patch: unknown, options: PatchOptions): Promise<T>
  /** Resolves with the server's answer: the object while finalizers hold it, else a Status. */
  delete<T extends Resource>(kind: Kind<T>, key: ObjectKey, options?: DeleteOptions): Promise<unknown>
  deleteCollection<T extends Resource>(kind: Kind<T>, selectors: Selectors, options?: DeleteOptions): Promise<void>
  /** POSTs `body` to a subresource that has a shape of its own (binding, eviction, token) and returns the answer. */
  createSubresource<B, A>(kind: Kind<Resource>, key: ObjectKey, subresource: string, body: B): Promise<A>
  watch<T extends Resource>(kind: Kind<T>, options: WatchOptions): AsyncIterable<WatchEvent<T>>
  /** Anything else; the status is not checked. */
  request(request: HttpRequest): Promise<HttpResponse>
}

export interface ClientOptions {
  /** First word of the User-Agent header and the default field manager. */
  readonly userAgent?: string
}

const patchTypes = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
} as const

const parse = (bytes: Uint8Array): unknown => JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'))

/** A client of the API server behind `handler`. */
export function createClient(handler: HttpHandler, { userAgent = 'knarr' }: ClientOptions = {}): Client {
  const common = { accept: 'application/json', 'user-agent': userAgent }

  async function send(
    method: string,
    url: string,
    options: { body?: unknown; contentType?: string; signal?: AbortSignal | undefined } = {},
  ) {
    const response = await handler({
      method,
      url,
      headers: options.body === undefined ? common : { ...common, 'content-type': options.contentType ?? 'application/json' },
      body: options.body === undefined ? undefined : Buffer.from(JSON.stringify(options.body)),
      ...(options.signal ? { signal: options.signal } : {}),
    })
    const bytes = await readBody(response.body)
    if (response.status >= 400) throw statusError(response.status, bytes, response.headers)
    return bytes.length > 0 ? parse(bytes) : undefined
  }

  const writeQuery = (options: WriteOptions): Query => ({
    dryRun: options.dryRun ? 'All' : undefined,
    fieldManager: options.fieldManager,
  })

  const deleteBody = ({ dryRun, ...options }: DeleteOptions): unknown => ({
    kind: 'DeleteOptions',
    apiVersion: 'v1',
    ...options,
    ...(dryRun ? { dryRun: ['All'] } : {}),
  })

  const client: Client = {
    async get<T extends Resource>(kind: Kind<T>, key: ObjectKey, options: { resourceVersion?: string; signal?: AbortSignal } = {}) {
      const query = queryString({ resourceVersion: options.resourceVersion })
      return (await send('GET', resourcePath(kind, key) + query, { signal: options.signal })) as T
    },

    async find(kind, key) {
      try {
        return await client.get(kind, key)
      } catch (error) {
        if (isStatus(error, 'NotFound')) return undefined
        throw error
      }
    },

    async list<T extends Resource>(kind: Kind<T>, options: ListOptions = {}) {
      const { namespace, signal, ...query } = options
      const answer = (await send('GET', resourcePath(kind, { namespace }) + queryString(query), { signal })) as {
        readonly metadata: { readonly resourceVersion: string; readonly continue?: string; readonly remainingItemCount?: number }
        readonly items: readonly T[] | null
      }
      // Items of a typed list carry neither kind nor apiVersion on the wire.
      const items = (answer.items ?? []).map((item) => (item.kind ? item : { ...item, apiVersion: kind.apiVersion, kind: kind.kind }))
      const { resourceVersion, continue: more, remainingItemCount } = answer.metadata
      return { items, resourceVersion, continue: more || undefined, remainingItemCount }
    },

    async create<T extends Resource>(kind: Kind<T>, object: T, options: WriteOptions = {}) {
      const { namespace, name } = object.metadata
      const at = options.subresource ? { namespace, name } : { namespace }
      const url = resourcePath(kind, at, options.subresource) + queryString(writeQuery(options))
      return (await send('POST', url, { body: object, signal: options.signal })) as T
    },

    async update<T extends Resource>(kind: Kind<T>, object: T, options: WriteOptions = {}) {
      const url = resourcePath(kind, object.metadata, options.subresource) + queryString(writeQuery(options))
      return (await send('PUT', url, { body: object, signal: options.signal })) as T
    },

    updateStatus: (kind, object) => client.update(kind, object, { subresource: 'status' }),

    async patch<T extends Resource>(kind: Kind<T>, key: ObjectKey, patch: unknown, options: PatchOptions) {
      const manager = options.fieldManager ?? (options.type === 'apply' ? userAgent : undefined)
      const query = queryString({ ...writeQuery(options), fieldManager: manager, force: options.force })
      const url = resourcePath(kind, key, options.subresource) + query
      return (await send('PATCH', url, { body: patch, contentType: patchTypes[options.type], signal: options.signal })) as T
    },

    delete: (kind, key, options = {}) => send('DELETE', resourcePath(kind, key), { body: deleteBody(options) }),

    async deleteCollection(kind, { namespace, ...query }, options = {}) {
      await send('DELETE', resourcePath(kind, { namespace }) + queryString(query), { body: deleteBody(options) })
    },

    async createSubresource<B, A>(kind: Kind<Resource>, key: ObjectKey, subresource: string, body: B) {
      return (await send('POST', resourcePath(kind, key, subresource), { body })) as A
    },

    async *watch<T extends Resource>(kind: Kind<T>, options: WatchOptions) {
      const { namespace, signal, ...query } = options
      const resourceVersionMatch = options.sendInitialEvents ? 'NotOlderThan' : undefined
      const url = resourcePath(kind, { namespace }) + queryString({ watch: true, resourceVersionMatch, ...query })
      const response = await handler({ method: 'GET', url, headers: common, signal })
      if (response.status >= 400) throw statusError(response.status, await readBody(response.body), response.headers)
      if (response.body instanceof Uint8Array) throw new ApiError('InternalError', `watch of ${kind.plural} was answered without a stream`)
      yield* readWatch<T>(response.body)
    },

    request: (request) => handler({ ...request, headers: { ...common, ...request.headers } }),
  }
  return client
}
