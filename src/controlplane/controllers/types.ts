// What a controller is, and what it is given.
import type { Kind, ObjectReference, OwnerReference, Resource } from '../../api/index.js'
import type { Clock, Logger, Random } from '../../lib/index.js'

/** `namespace/name`, or `name` for cluster-wide kinds. */
export type ObjectKey = string

export interface ObjectName {
  readonly name: string
  readonly namespace?: string | undefined
}

export interface DeleteCall {
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan'
  readonly gracePeriodSeconds?: number
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string }
}

export interface PatchCall {
  readonly type: 'json' | 'merge' | 'strategic' | 'apply'
  readonly subresource?: string
  readonly fieldManager?: string
  readonly force?: boolean
}

/** A number of pods; undefined when there is no such object; the reason why its kind cannot say. */
export type ScaleAnswer = number | { readonly error: string } | undefined

/** Changes to the cluster. Each answer is in the cache before the promise resolves: a controller never forgets what it just did. */
export interface Writer {
  create<T extends Resource>(kind: Kind<T>, object: T): Promise<T>
  update<T extends Resource>(kind: Kind<T>, object: T, options?: { readonly subresource?: string }): Promise<T>
  updateStatus<T extends Resource>(kind: Kind<T>, object: T): Promise<T>
  patch<T extends Resource>(kind: Kind<T>, name: ObjectName, patch: unknown, options: PatchCall): Promise<T>
  /** Resolves also when the object is already gone. */
  delete<T extends Resource>(kind: Kind<T>, name: ObjectName, options?: DeleteCall): Promise<void>
  /** Reads past the cache; undefined when there is none. */
  find<T extends Resource>(kind: Kind<T>, name: ObjectName): Promise<T | undefined>
  /** Deletes every object of a kind in a namespace. */
  clear(kind: Kind, namespace: string): Promise<void>
  /** Reads past the cache. */
  listNow<T extends Resource>(kind: Kind<T>, namespace?: string): Promise<readonly T[]>
  /** The kinds that the server serves now and that can be listed, watched and deleted. */
  discover(): Promise<readonly Kind[]>
  /** Reads the /scale of an object's owner, whatever kind that is. */
  scaleOf(owner: OwnerReference, namespace: string): Promise<ScaleAnswer>
  /** A subresource that is not the object itself (`eviction`, `token`, `finalize`), with its answer. */
  subresource<T extends Resource>(
    kind: Kind<T>,
    name: ObjectName,
    subresource: string,
    body: unknown,
    method?: 'POST' | 'PUT',
  ): Promise<unknown>
}

/** A copy of the cluster's objects, fed by watches and by our own writes. Objects are shared: never change one. */
export interface Cache {
  get<T extends Resource>(kind: Kind<T>, key: ObjectKey): T | undefined
  list<T extends Resource>(kind: Kind<T>, namespace?: string): readonly T[]
  /** Objects whose controlling owner has this uid. */
  ownedBy<T extends Resource>(kind: Kind<T>, ownerUid: string): readonly T[]
  /** Objects of a namespace without a controlling owner. */
  orphans<T extends Resource>(kind: Kind<T>, namespace: string): readonly T[]
  /** Objects of any held kind with this owner, in charge or not. */
  dependents(ownerUid: string): readonly { readonly kind: Kind; readonly object: Resource }[]
  /** Starts to hold another kind; resolves when its first list is in. */
  add(kind: Kind, signal: AbortSignal): Promise<void>
  /** Calls `listener` after every change of a kind. Returns how to stop. */
  subscribe(kind: Kind, listener: (object: Resource, gone: boolean) => void): () => void
  /** Every kind this cache holds. */
  kinds(): readonly Kind[]
}

/** Writes Kubernetes events; equal ones are counted instead of repeated. */
export interface Events {
  normal(about: Resource | ObjectReference, reason: string, message: string): void
  warning(about: Resource | ObjectReference, reason: string, message: string): void
}

export interface Context {
  readonly cache: Cache
  readonly client: Writer
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly events: Events
  /** Puts a key into this controller's own queue, at once or later. */
  readonly wake: (key: ObjectKey, afterMs?: number) => void
  /** The options of the whole set, for those controllers that have some. */
  readonly options: ControllerOptions
}

/** When to look again although nothing changed, if at all. Throwing means again after a back-off. */
export interface Outcome {
  readonly requeueAfterMs?: number
}

export const done: Outcome = {}

/** A kind whose changes concern objects of another kind. */
export interface Watch<T extends Resource = Resource> {
  readonly kind: Kind<T>
  /** Keys of the controller's objects to look at after `object` changed (`previous` is what the cache held before). */
  readonly wakes: (object: T, cache: Cache, previous: T | undefined) => readonly ObjectKey[]
}

/** Makes a Watch without losing the object's type on the way into a list. */
export const watch = <T extends Resource>(kind: Kind<T>, wakes: Watch<T>['wakes']): Watch => ({ kind, wakes }) as unknown as Watch

export interface Controller {
  readonly name: string
  /** Who events are from; default `<name>-controller`. */
  readonly component?: string
  readonly for: Kind
  /** Kinds whose objects are owned by `for`: a change of one wakes its controlling owner. */
  readonly owns?: readonly Kind[]
  readonly watches?: readonly Watch[]
  /** Kinds that reconcile reads and that wake nobody. */
  readonly reads?: readonly Kind[]
  /** Reconciles at once; default 4. Never two of one key. */
  readonly workers?: number
  /** Work that belongs to no object. Ends with the signal. */
  readonly background?: (context: Context, signal: AbortSignal) => Promise<void>
  readonly reconcile: (key: ObjectKey, context: Context) => Promise<Outcome | undefined>
}

/** Signs a certificate request for one of the built-in signers. The composition root brings the CA's key. */
export interface CertificateSigner {
  /** PEM chain; throws Error with a user's sentence when the request is not one this signer signs. */
  sign(request: {
    readonly pem: string
    readonly signerName: string
    readonly usages: readonly string[]
    readonly notAfter: number
  }): Promise<string>
  /** What the PEM request asks for; undefined when it cannot be read. */
  inspect(pem: string): RequestedIdentity | undefined
}

export interface RequestedIdentity {
  readonly commonName: string
  readonly organizations: readonly string[]
  readonly dnsNames: readonly string[]
  readonly ipAddresses: readonly string[]
  readonly emailAddresses?: readonly string[]
  readonly uris?: readonly string[]
}

export interface ControllerOptions {
  /** PEM bundle that pods find in `kube-root-ca.crt`; undefined turns the publisher off. */
  readonly rootCa?: string
  /** Turns on approving and signing of CertificateSigningRequests. */
  readonly signer?: CertificateSigner
  /** Longest life of a signed certificate in seconds; default one year. */
  readonly certificateSeconds?: number
  /** Ranges that nodes get their pod ranges from (`10.244.0.0/16`); none turns node IPAM off. */
  readonly clusterCidrs?: readonly string[]
  /** Prefix length of a node's range; default 24 (IPv4) and 64 (IPv6). */
  readonly nodeMaskSizes?: { readonly ipv4?: number; readonly ipv6?: number }
  /** Silence of a node's lease after which it is NotReady; default 40 s. */
  readonly nodeGraceMs?: number
  /** Folder on the nodes under which the `standard` StorageClass makes volumes; default `/var/lib/knarr/volumes`. */
  readonly localPath?: string
  /** Finished and unscheduled-terminating pods to keep before pod garbage collection; default 12500. */
  readonly terminatedPods?: number
}
