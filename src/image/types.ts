// What the floors above see of images: plain values, and the two stores as interfaces.
import type { Readable, Writable } from 'node:stream'
import type { Mount } from '../sys/index.js'
import type { Config, Descriptor, Digest, Platform } from './manifest.js'

export type { Mount }

/** An image that is wholly here: manifest, config and every layer. */
export interface Image {
  /** Digest of the config: what CRI and docker call the image's id. */
  readonly id: Digest
  /** What its names point at: a manifest, or the index that it was chosen from. */
  readonly target: Descriptor
  /** The manifest for our platform. */
  readonly manifest: Descriptor
  /** Names with a tag, normalised: `docker.io/library/nginx:latest`. */
  readonly repoTags: readonly string[]
  /** Names with a digest: `docker.io/library/nginx@sha256:…`. */
  readonly repoDigests: readonly string[]
  readonly platform: Platform
  readonly config: Config
  readonly layers: readonly Descriptor[]
  /** Digests of the uncompressed layers, lowest first. */
  readonly diffIds: readonly Digest[]
  /** Names the whole stack of layers (OCI image spec, ChainID); undefined for an image without layers. */
  readonly chainId: Digest | undefined
  /** Bytes of its blobs: manifest, config and compressed layers. */
  readonly size: number
  /** When the image was built, in ms since 1970; 0 if it does not say. */
  readonly createdAt: number
  /** When its oldest name was last pointed at it here, in ms since 1970. */
  readonly updatedAt: number
}

/** Credentials in the shape of CRI's AuthConfig. */
export interface RegistryAuth {
  readonly username?: string
  readonly password?: string
  /** base64 of `username:password`. */
  readonly auth?: string
  /** A refresh token to exchange at the registry's token server. */
  readonly identityToken?: string
  /** A bearer token to send as it is. */
  readonly registryToken?: string
}

export type LayerPhase = 'waiting' | 'downloading' | 'unpacking' | 'uploading' | 'done' | 'exists'

/** How far one blob is. */
export interface Progress {
  readonly digest: Digest
  readonly phase: LayerPhase
  /** Compressed bytes done and to be done. */
  readonly done: number
  readonly total: number
}

export interface PullOptions {
  readonly auth?: RegistryAuth
  readonly platform?: Platform
  readonly progress?: (progress: Progress) => void
  readonly signal?: AbortSignal
  /** Pull also when the name with its digest is already here (`always`), or only then (`missing`). Default `always`: ask the registry. */
  readonly policy?: 'always' | 'missing'
}

export interface PushOptions {
  readonly auth?: RegistryAuth
  readonly progress?: (progress: Progress) => void
  readonly signal?: AbortSignal
  /** The name here, when it is not the name there. */
  readonly source?: string
}

export interface PulledImage {
  readonly image: Image
  /** The normalised name that was asked for. */
  readonly reference: string
  /** What the registry's answer resolved to: `docker.io/library/nginx@sha256:…`. */
  readonly repoDigest: string
  /** Bytes that came over the network; 0 when everything was present. */
  readonly downloaded: number
}

export interface ImportOptions {
  /** Name for an archive that carries none, or for a root file system. */
  readonly name?: string
  readonly platform?: Platform
  readonly signal?: AbortSignal
  /** For a root file system: what the image runs. */
  readonly config?: Partial<NonNullable<Config['config']>>
  /** For a folder: how its layer is kept. Default gzip; `none` is quicker and larger. */
  readonly compression?: 'gzip' | 'none'
}

export type ArchiveFormat = 'docker' | 'oci'

export interface GcOptions {
  /** Remove images, oldest first, until the file system is at most this full (percent). Without it only unreachable data goes. */
  readonly untilPercent?: number
  /** Start removing images only when the file system is fuller than this (percent). */
  readonly abovePercent?: number
  /** Image ids that must stay though nothing here names them as used. */
  readonly inUse?: ReadonlySet<string>
}

export interface GcResult {
  readonly removedImages: readonly string[]
  readonly removedBlobs: number
  readonly removedLayers: number
  readonly freedBytes: number
}

export interface Usage {
  readonly bytes: number
  readonly inodes: number
}

export interface StoreUsage extends Usage {
  /** Where the store is, for CRI's ImageFsInfo. */
  readonly mountpoint: string
}

export interface Snapshot {
  readonly id: string
  readonly kind: 'active' | 'view'
  readonly chainId: Digest | undefined
  readonly mounts: readonly Mount[]
}

/** Writable and read-only stacks of layers. Nothing is mounted here: mounts are returned as values. */
export interface SnapshotStore {
  /** A writable stack over the image's layers. The mount's target is an empty folder made for it. Preparing the same id twice gives the same mounts. */
  prepare(id: string, image: Image | Digest | undefined): Promise<readonly Mount[]>
  /** The same without a writable layer. */
  view(id: string, image: Image | Digest | undefined): Promise<readonly Mount[]>
  get(id: string): Snapshot | undefined
  list(): readonly Snapshot[]
  /** Forgets the snapshot and deletes what was written into it. It must not be mounted any more. Unknown ids are no error. */
  remove(id: string): Promise<void>
  /** What the snapshot's own writable layer holds. */
  usage(id: string): Promise<Usage>
}

export interface ImageStore {
  readonly root: string
  readonly snapshot: SnapshotStore
  /** Fetches and unpacks. Throws one sentence naming image, layer and cause; nothing half-done stays visible. */
  pull(reference: string, options?: PullOptions): Promise<PulledImage>
  push(reference: string, options?: PushOptions): Promise<{ readonly repoDigest: string; readonly uploaded: number }>
  /** By name, `name@digest`, id or unambiguous beginning of an id. */
  resolve(reference: string): Image | undefined
  list(): readonly Image[]
  /** As `resolve`, but throws a sentence when it is not here. */
  inspect(reference: string): Image
  /** Points another name at the same image. */
  tag(reference: string, name: string): Promise<void>
  /** Removes a name, or with an id all names of that image. Returns the names removed; data goes with the next gc. */
  remove(reference: string): Promise<readonly string[]>
  /** A root folder or its tar, a `docker save` archive, an OCI layout (folder or tar): recognised by content. */
  import(source: string | Readable, options?: ImportOptions): Promise<readonly Image[]>
  export(references: readonly string[], target: string | Writable, options?: { readonly format?: ArchiveFormat }): Promise<void>
  gc(options?: GcOptions): Promise<GcResult>
  usage(): Promise<StoreUsage>
  /** Bytes and inodes of an image's unpacked layers. */
  unpackedUsage(image: Image): Usage
  /** Ends workers and connections. */
  close(): Promise<void>
}
