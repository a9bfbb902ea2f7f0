// One blob to a registry: in one piece, or when it is large in chunks, so that a break costs one chunk and no proxy finds it too large.
// https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pushing-a-blob-in-chunks
import { createReadStream } from 'node:fs'
import type { RegistryHost } from './hosts.js'
import type { Digest } from './manifest.js'
import { type Registry, RegistryFailure } from './registry.js'
import type { WireResponse } from './transport.js'

export interface BegunUpload {
  readonly url: string
  /** Chunks must not be smaller, but for the last. */
  readonly smallestChunk: number
}

/** Where the registry wants the upload, as its answer says. */
export function begunUpload(host: RegistryHost, { headers }: Pick<WireResponse, 'headers'>): BegunUpload {
  const { location } = headers
  if (location === undefined || !URL.canParse(location, `${host.base}/`))
    throw new RegistryFailure('the registry does not say where to upload to')
  return { url: new URL(location, `${host.base}/`).href, smallestChunk: Number(headers['oci-chunk-min-length']) || 0 }
}

export interface UploadOptions {
  readonly registry: Registry
  readonly host: RegistryHost
  readonly scopes: readonly string[]
  readonly begun: BegunUpload
  /** Bytes sent with one request at most, unless the registry wants more. */
  readonly chunk: number
  readonly file: string
  readonly digest: Digest
  readonly size: number
  readonly progress: (done: number) => void
  readonly signal: AbortSignal | undefined
}

const PIECE = 1024 * 1024
/** Breaks in a row without a byte between them. */
const MOST_BREAKS = 4

/** A failure with `retry` means: begin anew. */
export async function upload(options: UploadOptions): Promise<void> {
  const { registry, host, scopes, begun, size, signal } = options
  const chunk = Math.max(options.chunk, begun.smallestChunk)
  // Not repeated as it is: the registry may have got a part, and would put the whole behind it.
  const common = { scopes, once: true, ...(signal ? { signal } : {}) }
  const whole = size <= chunk
  const url = new URL(whole ? begun.url : await inChunks(options, chunk, common))
  url.searchParams.set('digest', options.digest)
  const response = await registry.call(host, {
    ...common,
    method: 'PUT',
    path: url.href,
    headers: { 'content-type': 'application/octet-stream', 'content-length': String(whole ? size : 0) },
    ...(whole ? { body: () => read(options, 0, size) } : {}),
    expect: [201, 204],
  })
  await response.discard()
}

/** Returns where the end is to be told. */
async function inChunks(
  { registry, host, begun, size, ...options }: UploadOptions,
  chunk: number,
  common: { readonly scopes: readonly string[] },
): Promise<string> {
  let { url } = begun
  let breaks = 0
  for (let at = 0; at < size; ) {
    const end = Math.min(size, at + chunk)
    try {
      const response = await registry.call(host, {
        ...common,
        method: 'PATCH',
        path: url,
        headers: {
          'content-type': 'application/octet-stream',
          'content-length': String(end - at),
          'content-range': `${at}-${end - 1}`,
        },
        body: () => read(options, at, end),
        expect: [202],
      })
      await response.discard()
      url = begunUpload(host, response).url
      at = end
      breaks = 0
    } catch (error) {
      if (!(error instanceof RegistryFailure) || !error.retry || ++breaks > MOST_BREAKS) throw error
      const response = await registry.call(host, { ...common, method: 'GET', path: url, expect: [204] })
      await response.discard()
      url = begunUpload(host, { headers: { location: url, ...response.headers } }).url
      const reached = received(response.headers.range)
      if (reached > at) breaks = 0
      at = reached
    }
  }
  return url
}

/** `0-N`, the last byte that it has; nothing yet is `0-0` or no header. */
function received(range: string | undefined): number {
  const last = Number(/^(?:bytes=)?0-(\d+)$/.exec(range ?? '')?.[1] ?? 0)
  return last === 0 ? 0 : last + 1
}

async function* read({ file, progress }: Pick<UploadOptions, 'file' | 'progress'>, from: number, to: number): AsyncGenerator<Buffer> {
  let done = from
  for await (const piece of createReadStream(file, { start: from, end: to - 1, highWaterMark: PIECE })) {
    yield piece as Buffer
    done += (piece as Buffer).length
    progress(done)
  }
}
