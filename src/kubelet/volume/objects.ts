// ConfigMaps and Secrets that pods of this node name: each one watched by itself, as long as a pod needs it.
import { ConfigMap, type Kind, type Resource, Secret } from '../../api/index.js'
import { type Client, type Informer, informer } from '../../client/index.js'
import { type Clock, deferred, type Logger } from '../../lib/index.js'

export interface ReferencedObjects {
  configMap(namespace: string, name: string, podUid: string): Promise<ConfigMap | undefined>
  secret(namespace: string, name: string, podUid: string): Promise<Secret | undefined>
  /** The pod names none of them any more. */
  release(podUid: string): void
  close(): void
}

interface Watched {
  readonly informer: Informer<Resource>
  readonly abort: AbortController
  readonly pods: Set<string>
  readonly done: Promise<void>
}

const PATIENCE_MS = 10_000

export interface ReferencedObjectsOptions {
  readonly client: Client
  readonly clock: Clock
  readonly log: Logger
  /** An object that this pod names has changed. */
  readonly changed: (podUid: string) => void
}

export function referencedObjects({ client, clock, log, changed }: ReferencedObjectsOptions): ReferencedObjects {
  const watched = new Map<string, Watched>()

  function watch(kind: Kind<Resource>, namespace: string, name: string): Watched {
    const abort = new AbortController()
    const pods = new Set<string>()
    const cache = informer(client, kind, { namespace, fieldSelector: `metadata.name=${name}`, clock, log })
    const tell = (): void => {
      if (cache.hasSynced) for (const uid of pods) changed(uid)
    }
    cache.subscribe({ added: tell, updated: tell, deleted: tell })
    return { informer: cache, abort, pods, done: cache.run(abort.signal) }
  }

  async function find(kind: Kind<Resource>, namespace: string, name: string, podUid: string): Promise<Resource | undefined> {
    const key = `${kind.plural}/${namespace}/${name}`
    const entry = watched.get(key) ?? watch(kind, namespace, name)
    watched.set(key, entry)
    entry.pods.add(podUid)
    if (!entry.informer.hasSynced) {
      const late = deferred<never>()
      const timer = clock.after(PATIENCE_MS, () =>
        late.reject(new Error(`failed to sync ${kind.kind.toLowerCase()} cache: timed out waiting for the condition`)),
      )
      await Promise.race([entry.informer.synced, late.promise]).finally(() => timer.cancel())
    }
    return entry.informer.get(`${namespace}/${name}`)
  }

  return {
    configMap: async (namespace, name, podUid) =>
      (await find(ConfigMap as Kind<Resource>, namespace, name, podUid)) as ConfigMap | undefined,
    secret: async (namespace, name, podUid) => (await find(Secret as Kind<Resource>, namespace, name, podUid)) as Secret | undefined,
    release(podUid) {
      for (const [key, entry] of watched) {
        if (!entry.pods.delete(podUid) || entry.pods.size > 0) continue
        entry.abort.abort()
        watched.delete(key)
      }
    },
    close() {
      for (const { abort } of watched.values()) abort.abort()
      watched.clear()
    },
  }
}
