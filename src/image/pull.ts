// Pulls an image: manifest, config, then all layers side by side, each downloaded, checked and unpacked in one pass.
import { closeSync, openSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { abortable, limiter } from '../lib/index.js'
import { digestName } from './content.js'
import { type Core, shortDigest, takeIn, wrap } from './core.js'
import { download } from './download.js'
import { hold, type Lease } from './leases.js'
import {
  type Config,
  type Descriptor,
  type Digest,
  isLayerMedia,
  type Manifest,
  type Platform,
  readConfig,
  readManifest,
} from './manifest.js'
import { formatReference, parseReference, type Reference, repositoryOf, storedName } from './reference.js'
import type { Registry } from './registry.js'
import { type Document, fetchBlob, fetchManifest, followToManifest, headDigest, type Remote } from './remote.js'
import type { Image, LayerPhase, Progress, PulledImage, PullOptions, RegistryAuth } from './types.js'

export interface PullCore extends Core {
  readonly connect: (reference: Reference, auth: RegistryAuth | undefined) => Registry
  /** Blobs downloaded at once by one pull. */
  readonly downloads: number
  /** Bytes uploaded with one request. */
  readonly uploadChunk: number
}

interface Context {
  readonly core: PullCore
  readonly remote: Remote
  readonly lease: Lease
  readonly report: (progress: Progress) => void
  readonly signal: AbortSignal
  /** The caller's own: when it is aborted, what was downloaded stays for the next time. */
  readonly userSignal: AbortSignal
}

/** A manifest from the store if it is there, else from the registry. */
async function documentFor({ core, remote }: Context, descriptor: Descriptor): Promise<Document> {
  if (core.content.size(descriptor.digest) !== descriptor.size) return fetchManifest(remote, descriptor.digest)
  const bytes = core.content.read(descriptor.digest)
  return { descriptor, bytes, parsed: readManifest(bytes, descriptor.mediaType) }
}

/** Brings one layer into the store, blob and folder both. Returns the bytes that were downloaded. */
async function fetchLayer(context: Context, layer: Descriptor, diffId: Digest, turn: ReturnType<typeof limiter>): Promise<number> {
  const { core, remote, lease, report, signal } = context
  const { content, layers, paths } = core
  const raw = layers.rawName(diffId)
  const tell = (phase: LayerPhase, done: number): void => report({ digest: layer.digest, phase, done, total: layer.size })
  const inPlace = (): boolean => content.has(layer.digest) && layers.has(raw)
  if (inPlace()) {
    tell('exists', layer.size)
    return 0
  }
  tell('waiting', 0)
  // Another process may be at the same blob: the second waits, and finds it done.
  const lock = await hold(join(paths.ingest, `${digestName(layer.digest)}.lock`), core.clock, signal)
  const file = content.partial(layer.digest)
  try {
    if (inPlace()) {
      tell('exists', layer.size)
      return 0
    }
    const unpack = !layers.has(raw)
    if (content.has(layer.digest)) {
      const intake = takeIn(core, lease, content.path(layer.digest), { digest: layer.digest, diffId, unpack }, (read) =>
        tell('unpacking', read),
      )
      intake.end(layer.size)
      await intake.done
      tell('done', layer.size)
      return 0
    }
    return await turn(async () => {
      signal.throwIfAborted()
      let arrived = false
      // The unpacker opens it before the first byte is there.
      closeSync(openSync(file, 'a', 0o600))
      const intake = takeIn(core, lease, file, { digest: layer.digest, diffId, unpack }, (read) => arrived && tell('unpacking', read))
      const failed = new AbortController()
      // When unpacking fails there is no point in downloading the rest.
      intake.done.catch((error) => failed.abort(error))
      try {
        const { registry, repository, scopes } = remote
        const grown = (bytes: number): void => {
          arrived = bytes === layer.size
          intake.grow(bytes)
          if (!arrived) tell('downloading', bytes)
        }
        const both = AbortSignal.any([signal, failed.signal])
        const received = await download({ registry, repository, scopes, blob: layer, file, grown, signal: both })
        intake.end(layer.size)
        await intake.done
        tell('done', layer.size)
        return received
      } catch (error) {
        const cause = failed.signal.aborted ? failed.signal.reason : error
        intake.fail(cause)
        await intake.done.catch(() => {})
        // An interrupted download may be continued by the next pull; what is wrong or refused leaves nothing.
        if (!context.userSignal.aborted) rmSync(file, { force: true })
        throw cause
      }
    })
  } finally {
    lock.release()
  }
}

async function fetchLayers(context: Context, manifest: Manifest, config: Config): Promise<number> {
  const abort = new AbortController()
  const inner = { ...context, signal: AbortSignal.any([context.signal, abort.signal]) }
  const turn = limiter(context.core.downloads)
  const unique = new Map(manifest.layers.map((layer, i) => [layer.digest, { layer, diffId: config.rootfs.diff_ids[i] as Digest }]))
  const jobs = [...unique.values()].map(async ({ layer, diffId }) => {
    try {
      return await fetchLayer(inner, layer, diffId, turn)
    } catch (error) {
      const named = wrap(`layer ${shortDigest(layer.digest)}`, error)
      abort.abort(named)
      throw named
    }
  })
  const results = await Promise.allSettled(jobs)
  context.signal.throwIfAborted()
  if (abort.signal.aborted) throw abort.signal.reason
  return results.reduce((sum, result) => sum + (result.status === 'fulfilled' ? result.value : 0), 0)
}

/** The image when the registry's answer is what we have already, whole and unpacked. */
function presentImage(core: Core, target: { readonly digest: Digest; readonly mediaType: string }, platform: Platform): Image | undefined {
  const size = core.content.size(target.digest)
  const image = size === undefined ? undefined : core.images.at({ ...target, size }, platform)
  return image && core.layers.stack(image.diffIds) ? image : undefined
}

function nameIt(core: Core, reference: Reference, target: Descriptor): string {
  const repoDigest = `${repositoryOf(reference)}@${target.digest}`
  const names = [...new Set([storedName(reference), repoDigest])]
  core.names.setAll(
    names.filter((name) => core.names.get(name)?.target.digest !== target.digest),
    target,
  )
  return repoDigest
}

async function run(
  core: PullCore,
  reference: Reference,
  options: PullOptions,
  report: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<PulledImage> {
  const platform = options.platform ?? core.platform
  const asked = formatReference(reference)
  const lease = core.leases.begin()
  const remote: Remote = {
    registry: core.connect(reference, options.auth),
    repository: reference.path,
    scopes: [`repository:${reference.path}:pull`],
    signal,
  }
  const context: Context = { core, remote, lease, report, signal, userSignal: signal }
  const finish = (image: Image | undefined, target: Descriptor, downloaded: number): PulledImage => {
    const repoDigest = nameIt(core, reference, target)
    const whole = image && core.images.at(target, platform)
    if (!whole) throw new Error('it was removed while it was pulled')
    return { image: whole, reference: asked, repoDigest, downloaded }
  }
  try {
    const here = core.names.get(storedName(reference))?.target
    if (here && (options.policy === 'missing' || reference.digest !== undefined)) {
      await lease.hold([here.digest])
      const image = presentImage(core, here, platform)
      if (image) return finish(image, here, 0)
    }
    const digest = reference.digest ?? (here && (await headDigest(remote, reference.tag ?? 'latest'))?.digest)
    if (here && digest === here.digest) {
      await lease.hold([here.digest, ...core.images.reach(here)])
      const image = presentImage(core, here, platform)
      if (image) return finish(image, here, 0)
    }
    core.pool.warm()
    const first = await fetchManifest(remote, reference.digest ?? reference.tag ?? 'latest')
    const { documents, manifest } = await followToManifest(first, platform, (next) => documentFor(context, next))
    const odd = manifest.layers.find(({ mediaType }) => !isLayerMedia(mediaType))
    if (odd) throw new Error(`it is not a container image: layer ${shortDigest(odd.digest)} has the media type ${odd.mediaType}`)
    await lease.hold([
      ...documents.map((document) => document.descriptor.digest),
      manifest.config.digest,
      ...manifest.layers.map((layer) => layer.digest),
    ])
    const configBytes =
      core.content.size(manifest.config.digest) === manifest.config.size
        ? core.content.read(manifest.config.digest)
        : await fetchBlob(remote, manifest.config, 'the config')
    const config = readConfig(configBytes, manifest.layers.length)
    await lease.hold(config.rootfs.diff_ids.map(core.layers.rawName))
    const downloaded = await fetchLayers(context, manifest, config)
    if (!core.layers.stack(config.rootfs.diff_ids)) throw new Error('its layers were removed while it was pulled')
    core.content.put(configBytes, manifest.config.digest)
    for (const document of documents) core.content.put(document.bytes, document.descriptor.digest)
    return finish(core.images.at(first.descriptor, platform), first.descriptor, downloaded)
  } finally {
    core.pool.rest()
    lease.end()
  }
}

interface Flight {
  readonly result: Promise<PulledImage>
  readonly listeners: Set<(progress: Progress) => void>
  readonly abort: AbortController
  waiting: number
}

/** Pulls; whoever asks for what is being pulled already joins that pull, and it ends early only when nobody waits any more. */
export function puller(core: PullCore): (name: string, options?: PullOptions) => Promise<PulledImage> {
  const flights = new Map<string, Flight>()
  const start = (key: string, reference: Reference, options: PullOptions): Flight => {
    const listeners: Flight['listeners'] = new Set()
    const abort = new AbortController()
    const report = (progress: Progress): void => {
      for (const listener of listeners) listener(progress)
    }
    const result = run(core, reference, options, report, abort.signal).finally(() => flights.delete(key))
    result.catch(() => {})
    const flight = { result, listeners, abort, waiting: 0 }
    flights.set(key, flight)
    return flight
  }
  return async (name, options = {}) => {
    const reference = parseReference(name)
    const { progress, signal } = options
    // Whether somebody may have an image is decided by his own credentials.
    const key = JSON.stringify([formatReference(reference), options.platform ?? null, options.auth ?? null, options.policy ?? null])
    const flight = flights.get(key) ?? start(key, reference, options)
    if (progress) flight.listeners.add(progress)
    flight.waiting++
    try {
      return await (signal ? abortable(flight.result, signal) : flight.result)
    } catch (error) {
      throw wrap(`pull of ${formatReference(reference)}`, error)
    } finally {
      if (progress) flight.listeners.delete(progress)
      if (--flight.waiting === 0 && signal?.aborted) {
        flight.abort.abort(signal.reason)
        await flight.result.catch(() => {})
      }
    }
  }
}
