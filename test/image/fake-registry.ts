// A registry that does what a test tells it to: every misbehaviour in one place.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { hostPlatform } from '../../src/image/index.js'
import { makeTar } from './fixture.js'

export const sha = (bytes: Uint8Array): `sha256:${string}` => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

export const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))

export interface Served {
  readonly bytes: Buffer
  readonly type: string
}

export interface FakeImage {
  readonly layer: Buffer
  readonly config: Buffer
  readonly manifest: Buffer
  /** By path below /v2/app/: `manifests/v1`, `blobs/sha256:…`. */
  readonly files: Map<string, Served>
}

/** A small image; `layer` are the bytes served, `diffId` what the config claims. */
export function fakeImage(options: { readonly layer?: Buffer; readonly diffId?: string; readonly mediaType?: string } = {}): FakeImage {
  const tar = makeTar([
    { path: 'hello', data: 'hello\n'.repeat(5000) },
    { path: 'noise', data: createHash('sha512').update('x').digest().toString('hex').repeat(2000) },
  ])
  const layer = options.layer ?? gzipSync(tar, { level: 0 })
  const config = json({ ...hostPlatform(), config: {}, rootfs: { type: 'layers', diff_ids: [options.diffId ?? sha(tar)] } })
  const manifest = json({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha(config), size: config.length },
    layers: [{ mediaType: options.mediaType ?? 'application/vnd.oci.image.layer.v1.tar+gzip', digest: sha(layer), size: layer.length }],
  })
  const files = new Map<string, Served>()
  const type = 'application/vnd.oci.image.manifest.v1+json'
  files.set('manifests/v1', { bytes: manifest, type })
  files.set(`manifests/${sha(manifest)}`, { bytes: manifest, type })
  for (const bytes of [config, layer]) files.set(`blobs/${sha(bytes)}`, { bytes, type: 'application/octet-stream' })
  return { layer, config, manifest, files }
}

export interface FakeRegistry {
  readonly host: string
  readonly requests: { readonly method: string; readonly url: string; readonly headers: IncomingMessage['headers'] }[]
  close(): Promise<void>
}

/** Answers from `files`, after `intercept` had its chance: it returns true when it has answered. */
export async function fakeRegistry(
  t: { teardown(run: () => unknown): void },
  files: Map<string, Served>,
  intercept: (request: IncomingMessage, response: ServerResponse, path: string) => boolean | undefined = () => false,
): Promise<FakeRegistry> {
  const requests: FakeRegistry['requests'] = []
  const server = createServer((request, response) => {
    const url = request.url ?? ''
    requests.push({ method: request.method ?? '', url, headers: request.headers })
    const path = decodeURIComponent(url.split('?')[0] ?? '').replace(/^\/v2\/app\//, '')
    if (intercept(request, response, path)) return
    const file = files.get(path)
    if (!file) {
      response
        .writeHead(404, { 'content-type': 'application/json' })
        .end(json({ errors: [{ code: 'MANIFEST_UNKNOWN', message: 'manifest unknown' }] }))
      return
    }
    const begin = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
    const headers = { 'content-type': file.type, 'content-length': file.bytes.length - begin, 'docker-content-digest': sha(file.bytes) }
    if (begin > 0) response.writeHead(206, { ...headers, 'content-range': `bytes ${begin}-${file.bytes.length - 1}/${file.bytes.length}` })
    else response.writeHead(200, headers)
    response.end(request.method === 'HEAD' ? undefined : file.bytes.subarray(begin))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const close = async (): Promise<void> => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  t.teardown(close)
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, requests, close }
}
