// Manifests and small blobs from a registry, checked against their digests.
import { createHash } from 'node:crypto'
import { digestOf, splitDigest } from './content.js'
import { WrongContent } from './core.js'
import type { Capability } from './hosts.js'
import {
  type Descriptor,
  type Digest,
  type Index,
  isDigest,
  MAX_MANIFEST_BYTES,
  type Manifest,
  MEDIA,
  type Platform,
  readManifest,
} from './manifest.js'
import { choosePlatform, formatPlatform } from './platform.js'
import { networkFailure, type Registry, RegistryFailure } from './registry.js'

const ACCEPT = [MEDIA.ociIndex, MEDIA.ociManifest, MEDIA.dockerList, MEDIA.dockerManifest, '*/*;q=0.1'].join(', ')

export interface Document {
  readonly descriptor: Descriptor
  readonly bytes: Buffer
  readonly parsed: Manifest | Index
}

export interface Remote {
  readonly registry: Registry
  /** `library/nginx` */
  readonly repository: string
  readonly scopes: readonly string[]
  readonly signal: AbortSignal
}

export function checkDigest(bytes: Uint8Array, digest: Digest, what: string): void {
  const [algorithm, hex] = splitDigest(digest)
  const got = createHash(algorithm).update(bytes).digest('hex')
  if (got !== hex) throw new WrongContent(`${what} has the digest ${algorithm}:${got}, not ${digest}`)
}

/** A body of at most `limit` bytes. */
async function readAll(body: AsyncIterable<Buffer>, limit: number, what: string): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of body) {
    length += chunk.length
    if (length > limit) throw new WrongContent(`${what} is larger than ${limit} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

async function get(
  remote: Remote,
  path: string,
  options: { readonly capability: Capability; readonly limit: number; readonly what: string },
) {
  const { registry, scopes, signal } = remote
  return registry.anyHost(options.capability, (host) =>
    registry.retrying(async () => {
      const response = await registry.call(host, { method: 'GET', path, headers: { accept: ACCEPT }, expect: [200], scopes, signal })
      try {
        return { bytes: await readAll(response.body, options.limit, options.what), headers: response.headers }
      } catch (error) {
        if (error instanceof WrongContent) throw error
        const failure = networkFailure(new URL(host.base).host, error)
        throw failure instanceof RegistryFailure ? new RegistryFailure(failure.message, { retry: true }) : failure
      }
    }, signal),
  )
}

/** The digest that a tag has there now, without fetching the manifest; undefined when the registry does not say. */
export async function headDigest(
  remote: Remote,
  tag: string,
): Promise<{ readonly digest: Digest; readonly mediaType: string } | undefined> {
  const { registry, repository, scopes, signal } = remote
  const response = await registry.anyHost('resolve', (host) =>
    registry.call(host, {
      method: 'HEAD',
      path: `/${repository}/manifests/${tag}`,
      headers: { accept: ACCEPT },
      expect: [200, 405],
      scopes,
      signal,
    }),
  )
  await response.discard()
  const digest = response.headers['docker-content-digest']
  const mediaType = response.headers['content-type']?.split(';')[0]
  return response.status === 200 && digest !== undefined && isDigest(digest) && mediaType !== undefined ? { digest, mediaType } : undefined
}

/** A manifest or index by tag or digest. */
export async function fetchManifest(remote: Remote, tagOrDigest: string): Promise<Document> {
  const { bytes, headers } = await get(remote, `/${remote.repository}/manifests/${tagOrDigest}`, {
    capability: isDigest(tagOrDigest) ? 'pull' : 'resolve',
    limit: MAX_MANIFEST_BYTES,
    what: 'the manifest',
  })
  if (isDigest(tagOrDigest)) checkDigest(bytes, tagOrDigest, 'the manifest')
  const mediaType = headers['content-type']?.split(';')[0]?.trim()
  const parsed = readManifest(bytes, mediaType !== undefined && /manifest|index/.test(mediaType) ? mediaType : undefined)
  const digest = isDigest(tagOrDigest) ? tagOrDigest : digestOf(bytes)
  return { descriptor: { mediaType: parsed.mediaType, digest, size: bytes.length }, bytes, parsed }
}

export async function fetchBlob(remote: Remote, blob: Descriptor, what: string): Promise<Buffer> {
  if (blob.size > MAX_MANIFEST_BYTES) throw new WrongContent(`${what} is larger than ${MAX_MANIFEST_BYTES} bytes`)
  const { bytes } = await get(remote, `/${remote.repository}/blobs/${blob.digest}`, { capability: 'pull', limit: blob.size, what })
  checkDigest(bytes, blob.digest, what)
  return bytes
}

const MAX_DEPTH = 4

/** Follows indexes to the manifest for `platform`. The documents on the way come first. */
export async function followToManifest(
  first: Document,
  platform: Platform,
  fetch: (descriptor: Descriptor) => Promise<Document>,
): Promise<{ readonly documents: readonly Document[]; readonly manifest: Manifest; readonly descriptor: Descriptor }> {
  const documents = [first]
  for (let at = first; ; ) {
    if (at.parsed.kind === 'manifest') return { documents, manifest: at.parsed, descriptor: at.descriptor }
    const chosen = choosePlatform(at.parsed.manifests, platform)
    if (!chosen) {
      const have = at.parsed.manifests.map((entry) => (entry.platform ? formatPlatform(entry.platform) : 'unknown')).join(', ')
      throw new WrongContent(`it has no image for ${formatPlatform(platform)}, only for ${have.slice(0, 300) || 'nothing'}`)
    }
    if (documents.some(({ descriptor }) => descriptor.digest === chosen.digest)) throw new WrongContent('its manifests point in circles')
    if (documents.length >= MAX_DEPTH) throw new WrongContent(`its indexes are nested deeper than ${MAX_DEPTH}`)
    at = await fetch(chosen)
    documents.push(at)
  }
}
