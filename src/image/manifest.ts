// Manifests, indexes and configs of images: the types, and readers that trust nothing. Pure.
// https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md

/** `sha256:…` in lower-case hex; made only by parseDigest and by hashing. */
export type Digest = `sha256:${string}` | `sha512:${string}`

export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
  readonly urls?: readonly string[]
  readonly annotations?: Readonly<Record<string, string>>
  readonly platform?: Platform
}

export interface Platform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string
}

export interface Index {
  readonly kind: 'index'
  readonly mediaType: string
  readonly manifests: readonly Descriptor[]
}

export interface Manifest {
  readonly kind: 'manifest'
  readonly mediaType: string
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
}

export interface HistoryEntry {
  readonly created?: string
  readonly created_by?: string
  readonly comment?: string
  readonly empty_layer?: boolean
}

/** The image config (application/vnd.oci.image.config.v1+json); field names as in the file. */
export interface Config {
  readonly created?: string
  readonly author?: string
  readonly os: string
  readonly architecture: string
  readonly variant?: string
  readonly config?: {
    readonly User?: string
    readonly Env?: readonly string[]
    readonly Entrypoint?: readonly string[]
    readonly Cmd?: readonly string[]
    readonly WorkingDir?: string
    readonly ExposedPorts?: Readonly<Record<string, unknown>>
    readonly Volumes?: Readonly<Record<string, unknown>>
    readonly Labels?: Readonly<Record<string, string>>
    readonly StopSignal?: string
  }
  readonly rootfs: { readonly type: 'layers'; readonly diff_ids: readonly Digest[] }
  readonly history?: readonly HistoryEntry[]
}

export const MEDIA = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
} as const

/** Manifests larger than this are refused, as registries and containerd do. */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024

/** The text as a digest we can check, or an error that says what is wrong with it. */
export function parseDigest(text: unknown): Digest {
  if (typeof text === 'string' && /^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/.test(text)) return text as Digest
  throw new Error(`${JSON.stringify(text)?.slice(0, 100)} is not a digest (want sha256:… or sha512:… in lower-case hex)`)
}

export const isDigest = (text: string): text is Digest => /^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/.test(text)

type Raw = Readonly<Record<string, unknown>>

const isRecord = (value: unknown): value is Raw => typeof value === 'object' && value !== null && !Array.isArray(value)

function parseJson(bytes: Uint8Array, what: string): Raw {
  if (bytes.length > MAX_MANIFEST_BYTES) throw new Error(`${what} is larger than ${MAX_MANIFEST_BYTES} bytes`)
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw new Error(`${what} is not JSON`)
  }
  if (!isRecord(value)) throw new Error(`${what} is not a JSON object`)
  return value
}

const optionalText = (raw: Raw, key: string): string | undefined => (typeof raw[key] === 'string' ? (raw[key] as string) : undefined)

function textMap(value: unknown): Readonly<Record<string, string>> | undefined {
  if (!isRecord(value)) return undefined
  return Object.fromEntries(Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'))
}

function texts(value: unknown): readonly string[] | undefined {
  return Array.isArray(value) && value.every((item) => typeof item === 'string') ? (value as string[]) : undefined
}

function readPlatform(value: unknown): Platform | undefined {
  if (!isRecord(value)) return undefined
  const os = optionalText(value, 'os')
  const architecture = optionalText(value, 'architecture')
  const variant = optionalText(value, 'variant')
  return os === undefined || architecture === undefined ? undefined : { os, architecture, ...(variant ? { variant } : {}) }
}

function readDescriptor(value: unknown, what: string): Descriptor {
  if (!isRecord(value)) throw new Error(`${what} is not a descriptor`)
  const mediaType = optionalText(value, 'mediaType')
  if (!mediaType) throw new Error(`${what} has no mediaType`)
  const size = value.size
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw new Error(`${what} has no valid size`)
  const platform = readPlatform(value.platform)
  const annotations = textMap(value.annotations)
  const urls = texts(value.urls)
  return {
    mediaType,
    digest: parseDigest(value.digest),
    size,
    ...(urls && urls.length > 0 ? { urls } : {}),
    ...(annotations ? { annotations } : {}),
    ...(platform ? { platform } : {}),
  }
}

function list(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new Error(`${what} is not a list`)
  if (value.length > 10_000) throw new Error(`${what} has more than 10000 entries`)
  return value
}

/** Reads a manifest or an index; `mediaType` is what the server said, used when the document does not. */
export function readManifest(bytes: Uint8Array, mediaType?: string): Manifest | Index {
  const raw = parseJson(bytes, 'the manifest')
  if (raw.schemaVersion !== 2) {
    throw new Error(
      raw.schemaVersion === 1
        ? 'the manifest has the obsolete schema version 1; push the image again with a newer tool'
        : 'the manifest has no schemaVersion 2',
    )
  }
  const type = optionalText(raw, 'mediaType') ?? mediaType ?? (raw.manifests === undefined ? MEDIA.ociManifest : MEDIA.ociIndex)
  if (type === MEDIA.ociIndex || type === MEDIA.dockerList) {
    // A document that is both at once could mean different things to different readers (CVE-2021-41190).
    if (raw.config !== undefined || raw.layers !== undefined) throw new Error('the manifest is an index and an image at once')
    const manifests = list(raw.manifests, 'manifests').map((entry, i) => readDescriptor(entry, `manifests[${i}]`))
    return { kind: 'index', mediaType: type, manifests }
  }
  if (type !== MEDIA.ociManifest && type !== MEDIA.dockerManifest) throw new Error(`the manifest has the unknown media type ${type}`)
  if (raw.manifests !== undefined) throw new Error('the manifest is an index and an image at once')
  return {
    kind: 'manifest',
    mediaType: type,
    config: readDescriptor(raw.config, 'config'),
    layers: list(raw.layers, 'layers').map((entry, i) => readDescriptor(entry, `layers[${i}]`)),
  }
}

function readProcessConfig(value: unknown): NonNullable<Config['config']> {
  const raw = isRecord(value) ? value : {}
  const config: Record<string, unknown> = {}
  for (const key of ['User', 'WorkingDir', 'StopSignal']) if (optionalText(raw, key) !== undefined) config[key] = raw[key]
  for (const key of ['Env', 'Entrypoint', 'Cmd']) if (texts(raw[key])) config[key] = raw[key]
  for (const key of ['ExposedPorts', 'Volumes']) if (isRecord(raw[key])) config[key] = raw[key]
  const labels = textMap(raw.Labels)
  if (labels) config.Labels = labels
  return config
}

function readHistory(value: unknown): readonly HistoryEntry[] | undefined {
  if (!Array.isArray(value)) return undefined
  return value.filter(isRecord).map((entry) => {
    const created = optionalText(entry, 'created')
    const createdBy = optionalText(entry, 'created_by')
    const comment = optionalText(entry, 'comment')
    return {
      ...(created === undefined ? {} : { created }),
      ...(createdBy === undefined ? {} : { created_by: createdBy }),
      ...(comment === undefined ? {} : { comment }),
      ...(entry.empty_layer === true ? { empty_layer: true } : {}),
    }
  })
}

/** Reads an image config and checks that it speaks of as many layers as the manifest. */
export function readConfig(bytes: Uint8Array, layers: number): Config {
  const raw = parseJson(bytes, 'the config')
  const rootfs = isRecord(raw.rootfs) ? raw.rootfs : {}
  const diffIds = list(rootfs.diff_ids ?? [], "the config's rootfs.diff_ids").map(parseDigest)
  if (diffIds.length !== layers) throw new Error(`the config lists ${diffIds.length} layers, the manifest ${layers}`)
  const created = optionalText(raw, 'created')
  const author = optionalText(raw, 'author')
  const variant = optionalText(raw, 'variant')
  const history = readHistory(raw.history)
  return {
    ...(created === undefined ? {} : { created }),
    ...(author === undefined ? {} : { author }),
    os: optionalText(raw, 'os') ?? 'linux',
    architecture: optionalText(raw, 'architecture') ?? 'unknown',
    ...(variant ? { variant } : {}),
    config: readProcessConfig(raw.config),
    rootfs: { type: 'layers', diff_ids: diffIds },
    ...(history ? { history } : {}),
  }
}

/** How a layer's bytes are packed. */
export type Compression = 'none' | 'gzip' | 'zstd'

/** Told by the first bytes, because media types lie. */
export function compressionOf(head: Uint8Array): Compression {
  if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip'
  if (head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd) return 'zstd'
  return 'none'
}

/** True for the media types of layers that are tar files; the others (signatures, attestations, charts) are not to be unpacked. */
export const isLayerMedia = (mediaType: string): boolean =>
  /^application\/vnd\.(oci\.image\.layer\.(nondistributable\.)?v1\.tar|docker\.image\.rootfs\.(diff|foreign\.diff)\.tar)([.+](gzip|zstd))?$/.test(
    mediaType,
  )

/** A layer that its licence lets nobody else distribute: it is where its `urls` say. */
export const isForeign = ({ mediaType }: Pick<Descriptor, 'mediaType'>): boolean => /nondistributable|foreign/.test(mediaType)
