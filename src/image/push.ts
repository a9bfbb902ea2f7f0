// Pushes an image: blobs that the registry has are skipped, those it has elsewhere are mounted, the rest is uploaded; manifests last.
import { limiter } from '../lib/index.js'
import { shortDigest, wrap } from './core.js'
import type { RegistryHost } from './hosts.js'
import { type Descriptor, type Index, isForeign, isLayerMedia, type Manifest, readManifest } from './manifest.js'
import type { PullCore } from './pull.js'
import { formatReference, parseReference, type Reference, repositoryOf } from './reference.js'
import { type Registry, RegistryFailure } from './registry.js'
import type { Image, ImageStore, LayerPhase, PushOptions } from './types.js'
import { type BegunUpload, begunUpload, upload } from './upload.js'

interface Context {
  readonly core: PullCore
  readonly registry: Registry
  readonly host: RegistryHost
  readonly reference: Reference
  readonly scopes: readonly string[]
  readonly signal: AbortSignal | undefined
  readonly tell: (blob: Descriptor, phase: LayerPhase, done: number) => void
}

const withSignal = (signal: AbortSignal | undefined) => (signal ? { signal } : {})

/** Repositories of the same registry that have the blob, as far as names here tell. */
function siblingsWith(core: PullCore, reference: Reference, blob: Descriptor): readonly string[] {
  const found = new Set<string>()
  for (const { name, target } of core.names.list()) {
    const other = parseReference(name)
    if (other.domain !== reference.domain || other.path === reference.path) continue
    if (core.images.reach(target).has(blob.digest)) found.add(other.path)
  }
  return [...found].slice(0, 3)
}

/** Asks for an upload, from another repository if possible. Undefined: it is there now, nothing is to be sent. */
async function beginUpload(context: Context, blob: Descriptor): Promise<BegunUpload | undefined> {
  const { core, registry, host, reference, scopes, signal } = context
  for (const from of siblingsWith(core, reference, blob)) {
    try {
      const response = await registry.call(host, {
        method: 'POST',
        path: `/${reference.path}/blobs/uploads/?mount=${encodeURIComponent(blob.digest)}&from=${encodeURIComponent(from)}`,
        expect: [201, 202],
        scopes: [...scopes, `repository:${from}:pull`],
        ...withSignal(signal),
      })
      await response.discard()
      if (response.status === 201) return undefined
      return begunUpload(host, response)
    } catch (error) {
      // Not allowed to read there: upload it then.
      if (!(error instanceof RegistryFailure)) throw error
    }
  }
  const response = await registry.call(host, {
    method: 'POST',
    path: `/${reference.path}/blobs/uploads/`,
    expect: [202],
    scopes,
    ...withSignal(signal),
  })
  await response.discard()
  return begunUpload(host, response)
}

/** Returns the bytes that were sent. */
async function pushBlob(context: Context, blob: Descriptor): Promise<number> {
  const { core, registry, host, reference, scopes, signal, tell } = context
  const head = await registry.call(host, {
    method: 'HEAD',
    path: `/${reference.path}/blobs/${blob.digest}`,
    expect: [200, 404],
    scopes,
    ...withSignal(signal),
  })
  await head.discard()
  if (head.status === 200) {
    tell(blob, 'exists', blob.size)
    return 0
  }
  return registry.retrying(async () => {
    const begun = await beginUpload(context, blob)
    if (!begun) {
      tell(blob, 'exists', blob.size)
      return 0
    }
    const { size, digest } = blob
    const progress = (done: number): void => tell(blob, 'uploading', done)
    await upload({
      registry,
      host,
      scopes,
      begun,
      chunk: core.uploadChunk,
      file: core.content.path(digest),
      digest,
      size,
      progress,
      signal,
    })
    tell(blob, 'done', size)
    return size
  }, signal)
}

async function pushManifest(context: Context, document: { readonly descriptor: Descriptor }, as: string): Promise<void> {
  const { core, registry, host, reference, scopes, signal } = context
  const bytes = core.content.read(document.descriptor.digest)
  const response = await registry.call(host, {
    method: 'PUT',
    path: `/${reference.path}/manifests/${as}`,
    headers: { 'content-type': document.descriptor.mediaType, 'content-length': String(bytes.length) },
    body: () => bytes,
    expect: [200, 201, 202],
    scopes,
    ...withSignal(signal),
  })
  await response.discard()
}

interface Plan {
  /** Children before the index that names them. */
  readonly manifests: readonly Descriptor[]
  readonly blobs: readonly Descriptor[]
}

/** What to send for a target: all of an index if all of it is here, else the manifest for our platform alone. */
export function planPush(core: Pick<PullCore, 'content'>, image: Pick<Image, 'target' | 'manifest'>): Plan {
  const read = (descriptor: Descriptor): Manifest | Index => readManifest(core.content.read(descriptor.digest), descriptor.mediaType)
  const blobs = new Map<string, Descriptor>()
  const visit = (descriptor: Descriptor): readonly Descriptor[] | undefined => {
    if (!core.content.has(descriptor.digest)) return undefined
    const document = read(descriptor)
    if (document.kind === 'index') {
      const children = document.manifests.map(visit)
      return children.every((child) => child !== undefined) ? [...children.flat(), descriptor] : undefined
    }
    for (const blob of [...document.layers, document.config]) {
      // It may not be distributed: whoever pulls the image gets it from where we got it.
      if (isForeign(blob)) continue
      if (!core.content.has(blob.digest)) return undefined
      blobs.set(blob.digest, blob)
    }
    return [descriptor]
  }
  const manifests = visit(image.target)
  if (manifests) return { manifests, blobs: [...blobs.values()] }
  blobs.clear()
  return { manifests: visit(image.manifest) ?? [], blobs: [...blobs.values()] }
}

export function pusher(core: PullCore, inspect: (name: string) => Image): ImageStore['push'] {
  return async (name: string, options: PushOptions = {}) => {
    const reference = parseReference(name)
    const shown = formatReference(reference)
    const lease = core.leases.begin()
    try {
      if (reference.digest !== undefined) throw new Error('push to a tag, not to a digest')
      const image = inspect(options.source ?? name)
      const plan = planPush(core, image)
      const top = plan.manifests.at(-1)
      if (!top) throw new Error('parts of it are missing here: pull it again')
      await lease.hold([...plan.blobs, ...plan.manifests].map(({ digest }) => digest))
      const registry = core.connect(reference, options.auth)
      const uploaded = await registry.anyHost('push', async (host) => {
        const context: Context = {
          core,
          registry,
          host,
          reference,
          scopes: [`repository:${reference.path}:pull,push`],
          signal: options.signal,
          tell: (blob, phase, done) =>
            isLayerMedia(blob.mediaType) && options.progress?.({ digest: blob.digest, phase, done, total: blob.size }),
        }
        const turn = limiter(core.downloads)
        const sent = await Promise.all(
          plan.blobs.map((blob) =>
            turn(() =>
              pushBlob(context, blob).catch((error) => {
                if (error instanceof RegistryFailure && error.wrongScheme) throw error
                throw wrap(`${isLayerMedia(blob.mediaType) ? 'layer' : 'config'} ${shortDigest(blob.digest)}`, error)
              }),
            ),
          ),
        )
        for (const manifest of plan.manifests)
          await pushManifest(context, { descriptor: manifest }, manifest === top ? (reference.tag ?? 'latest') : manifest.digest)
        return sent.reduce((sum, bytes) => sum + bytes, 0)
      })
      const repoDigest = `${repositoryOf(reference)}@${top.digest}`
      return { repoDigest, uploaded }
    } catch (error) {
      throw wrap(`push of ${shown}`, error)
    } finally {
      lease.end()
    }
  }
}
