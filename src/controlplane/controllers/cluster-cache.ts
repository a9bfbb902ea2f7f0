// The copies of the cluster that all controllers share: one informer a kind, and a client whose answers go into them at once.
import type { Kind, Resource } from '../../api/index.js'
import { type Client, type Informer, informer } from '../../client/index.js'
import { ApiError, type Clock, isStatus, type Logger } from '../../lib/index.js'
import { discoverKinds, readScale } from './discovery.js'
import { controllerOf, isDeleting, uidOf } from './objects.js'
import type { Cache, ObjectKey, ObjectName, Writer } from './types.js'

export const kindId = (kind: { readonly group: string; readonly kind: string }): string => `${kind.group}/${kind.kind}`

const indexes = {
  /** By the uid of the controlling owner. */
  owner: (object: Resource) => {
    const owner = controllerOf(object)
    return owner ? [owner.uid] : []
  },
  /** By namespace, those without a controlling owner. */
  orphan: (object: Resource) => (controllerOf(object) ? [] : [object.metadata.namespace ?? '']),
  /** By the uid of any owner. */
  owners: (object: Resource) => (object.metadata.ownerReferences ?? []).map((owner) => owner.uid),
}

export interface ClusterCache extends Cache {
  informer(kind: Kind): Informer<Resource>
  /** Lists again, after a write of which we do not know whether it happened. */
  refresh(kind: Kind): Promise<void>
}

export function clusterCache({ client, clock, log }: { client: Client; clock: Clock; log: Logger }): ClusterCache {
  const informers = new Map<string, { readonly kind: Kind; readonly informer: Informer<Resource> }>()
  const of = (kind: Kind): Informer<Resource> => {
    const found = informers.get(kindId(kind))
    if (!found) throw new Error(`no cache of ${kind.plural}: list the kind in the controller's for, owns, watches or reads`)
    return found.informer
  }
  return {
    informer: of,
    async add(kind, signal) {
      if (!informers.has(kindId(kind))) {
        const added = informer(client, kind, { clock, log, indexes })
        informers.set(kindId(kind), { kind, informer: added })
        void added.run(signal)
        signal.addEventListener('abort', () => informers.delete(kindId(kind)), { once: true })
      }
      await of(kind).synced
    },
    async refresh(kind) {
      const { items } = await client.list(kind)
      for (const item of items) of(kind).observe(item)
    },
    dependents: (uid) =>
      [...informers.values()].flatMap(({ kind, informer: from }) => from.byIndex('owners', uid).map((object) => ({ kind, object }))),
    get: <T extends Resource>(kind: Kind<T>, key: ObjectKey) => of(kind).get(key) as T | undefined,
    list: <T extends Resource>(kind: Kind<T>, namespace?: string) => of(kind).list(namespace) as T[],
    ownedBy: <T extends Resource>(kind: Kind<T>, uid: string) => of(kind).byIndex('owner', uid) as T[],
    orphans: <T extends Resource>(kind: Kind<T>, namespace: string) => of(kind).byIndex('orphan', namespace) as T[],
    subscribe: (kind, listener) =>
      of(kind).subscribe({
        added: (object) => listener(object, false),
        updated: (object) => listener(object, false),
        deleted: (object) => listener(object, true),
      }),
    kinds: () => [...informers.values()].map((entry) => entry.kind),
  }
}

/** The server has answered, so we know what happened; anything else leaves us in doubt. */
const isCertain = (error: unknown): boolean =>
  error instanceof ApiError && !isStatus(error, 'InternalError', 'ServerTimeout', 'Timeout', 'ServiceUnavailable', 'Unknown')

export interface CachedClient extends Writer {
  /** Brings the cache up to date with writes whose answer got lost. Throws while the server cannot be reached. */
  settle(): Promise<void>
}

export function cachedClient(client: Client, cache: ClusterCache): CachedClient {
  const doubtful = new Map<string, Kind>()
  let settling: Promise<void> | undefined
  async function resolveDoubts(): Promise<void> {
    for (const [id, kind] of [...doubtful]) {
      doubtful.delete(id)
      try {
        if (known(kind)) await cache.refresh(kind)
      } catch (error) {
        doubtful.set(id, kind)
        throw error
      }
    }
  }
  async function write<T extends Resource, R>(kind: Kind<T>, call: () => Promise<R>): Promise<R> {
    try {
      return await call()
    } catch (error) {
      if (!isCertain(error)) doubtful.set(kindId(kind), kind)
      throw error
    }
  }
  const known = (kind: Kind): Informer<Resource> | undefined =>
    cache.kinds().some((held) => kindId(held) === kindId(kind)) ? cache.informer(kind) : undefined
  const seen = <T extends Resource>(kind: Kind<T>, object: T): T => {
    known(kind)?.observe(object)
    return object
  }
  /** A delete is over for us when nothing holds the object back. */
  const deleted = (kind: Kind, name: ObjectName, answer: unknown): void => {
    const held = known(kind)
    if (!held) return
    const object = answer as Partial<Resource> | undefined
    if (object?.metadata?.uid && object.kind !== 'Status' && isDeleting(object as Resource)) {
      const { finalizers = [], deletionGracePeriodSeconds = 0 } = object.metadata
      if (finalizers.length > 0 || deletionGracePeriodSeconds > 0) {
        held.observe(object as Resource)
        return
      }
    }
    const current = held.get(name.namespace ? `${name.namespace}/${name.name}` : name.name)
    const uid = object?.metadata?.uid ?? (object as { details?: { uid?: string } } | undefined)?.details?.uid
    if (current && (uid === undefined || uid === uidOf(current))) held.forget(current)
  }
  return {
    create: (kind, object) => write(kind, async () => seen(kind, await client.create(kind, object))),
    update: (kind, object, options) => write(kind, async () => seen(kind, await client.update(kind, object, options))),
    updateStatus: (kind, object) => write(kind, async () => seen(kind, await client.updateStatus(kind, object))),
    patch: (kind, name, patch, options) => write(kind, async () => seen(kind, await client.patch(kind, name, patch, options))),
    delete: (kind, name, options) =>
      write(kind, async () => {
        try {
          deleted(kind, name, await client.delete(kind, name, options))
        } catch (error) {
          if (!isStatus(error, 'NotFound')) throw error
          deleted(kind, name, undefined)
        }
      }),
    find: (kind, name) => client.find(kind, name),
    clear: (kind, namespace) => client.deleteCollection(kind, { namespace }),
    listNow: async (kind, namespace) => (await client.list(kind, { namespace })).items,
    discover: () => discoverKinds(client),
    scaleOf: (owner, namespace) => readScale(client, owner, namespace),
    subresource: (kind, name, subresource, body, method = 'POST') =>
      write(kind, async () => {
        if (method === 'POST') return client.createSubresource<unknown, unknown>(kind, name, subresource, body)
        return seen(kind, (await client.update(kind, body as Resource, { subresource })) as never)
      }),
    async settle() {
      // Who comes while another is asking waits for the answer too.
      while (settling || doubtful.size > 0) {
        settling ??= resolveDoubts().finally(() => {
          settling = undefined
        })
        await settling
      }
    },
  }
}
