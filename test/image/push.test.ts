// Uploads in chunks, layers that lie elsewhere, images for several platforms, client certificates: Debian's docker-registry and skopeo
// where they can, a registry of our own making where it must misbehave. Needs root.
import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import type { ImageStore, Progress } from '../../src/image/index.js'
import { explain } from '../../src/lib/index.js'
import { fakeImage, fakeRegistry, json, sha } from './fake-registry.js'
import { folder, isRoot, makeTar, needs, openStore, startRegistry } from './fixture.js'

const skip = isRoot ? false : 'needs root'
t.setTimeout(300_000)
const quick = { initialMs: 1, maxMs: 2 }
const CHUNK = 100_000

/** One layer of bytes that do not compress. */
async function largeImage(store: ImageStore, home: string, name: string): Promise<void> {
  const file = join(home, 'large.tar.gz')
  writeFileSync(file, gzipSync(makeTar([{ path: 'noise', data: randomBytes(5 * CHUNK) }]), { level: 1 }))
  await store.import(file, { name })
}

interface Uploads {
  /** Bodies by the number of the upload. */
  readonly bodies: Map<number, Buffer>
  readonly blobs: Map<string, Buffer>
  readonly ranges: string[]
  handle(request: IncomingMessage, response: ServerResponse, breakAt?: (range: string) => number | undefined): boolean
}

/** Takes blobs the way the specification says, and breaks a connection in the middle of a chunk when told to. */
function uploads(headers: Readonly<Record<string, string>> = {}): Uploads {
  const bodies = new Map<number, Buffer>()
  const blobs = new Map<string, Buffer>()
  const ranges: string[] = []
  const place = (id: number): Record<string, string> => {
    const length = bodies.get(id)?.length ?? 0
    return { location: `/v2/app/blobs/uploads/${id}`, range: `0-${Math.max(0, length - 1)}`, ...headers }
  }
  return {
    bodies,
    blobs,
    ranges,
    handle(request, response, breakAt = () => undefined) {
      const url = new URL(request.url ?? '', 'http://x')
      const id = Number(/uploads\/(\d+)$/.exec(url.pathname)?.[1] ?? 0)
      if (url.pathname.endsWith('/blobs/uploads/')) {
        bodies.set(bodies.size + 1, Buffer.alloc(0))
        response.writeHead(202, place(bodies.size)).end()
      } else if (request.method === 'GET' && id > 0) response.writeHead(204, place(id)).end()
      else if (request.method === 'PATCH' || (request.method === 'PUT' && id > 0)) {
        const range = String(request.headers['content-range'] ?? '')
        if (range) ranges.push(range)
        const stop = breakAt(range || 'whole')
        let before = bodies.get(id) ?? Buffer.alloc(0)
        let got = 0
        request.on('data', (piece: Buffer) => {
          const part = stop === undefined ? piece : piece.subarray(0, Math.max(0, stop - got))
          got += piece.length
          before = Buffer.concat([before, part])
          bodies.set(id, before)
          if (stop !== undefined && got >= stop) request.socket.destroy()
        })
        request.on('end', () => {
          if (request.method === 'PATCH') response.writeHead(202, place(id)).end()
          else {
            const digest = url.searchParams.get('digest') ?? ''
            const right = digest === `sha256:${createHash('sha256').update(before).digest('hex')}`
            if (right) blobs.set(digest, before)
            response.writeHead(right ? 201 : 400).end(right ? '' : json({ errors: [{ code: 'DIGEST_INVALID', message: 'wrong' }] }))
          }
        })
      } else if (request.method === 'PUT') request.resume().on('end', () => response.writeHead(201).end())
      else response.writeHead(404).end()
      return true
    },
  }
}

t.test('a large layer goes in chunks, and a break costs one chunk', { skip, timeout: 300_000 }, async (t) => {
  const home = folder(t)
  const taken = uploads()
  let breaks = 2
  const { host } = await fakeRegistry(t, new Map(), (request, response) =>
    taken.handle(request, response, (range) => (range.startsWith('200000-') && breaks-- > 0 ? 30_000 : undefined)),
  )
  const store = openStore(t, join(home, 'store'), { registries: { plainHttp: true, retry: quick, uploadChunk: CHUNK } })
  await largeImage(store, home, `${host}/app:v1`)
  const seen: Progress[] = []
  await store.push(`${host}/app:v1`, { progress: (progress) => seen.push(progress) })
  const [layer] = store.inspect(`${host}/app:v1`).layers
  t.equal(taken.blobs.get(layer?.digest ?? '')?.length, layer?.size)
  t.same(taken.ranges.slice(0, 3), ['0-99999', '100000-199999', '200000-299999'])
  t.match(taken.ranges[3], /^230000-/, 'it goes on behind what had arrived')
  t.match(seen.at(-1), { phase: 'done', digest: layer?.digest })

  const strict = uploads({ 'oci-chunk-min-length': '300000' })
  const other = await fakeRegistry(t, new Map(), (request, response) => strict.handle(request, response))
  await store.tag(`${host}/app:v1`, `${other.host}/app:v1`)
  await store.push(`${other.host}/app:v1`)
  t.same(strict.ranges.slice(0, 1), ['0-299999'], 'the registry says how small chunks may be')
})

t.test('an upload in one piece that breaks begins anew; one that breaks for ever is said so', { skip, timeout: 300_000 }, async (t) => {
  const home = folder(t)
  const taken = uploads()
  let breaks = 1
  const { host } = await fakeRegistry(t, new Map(), (request, response) =>
    taken.handle(request, response, (range) => (range === 'whole' && breaks-- > 0 ? 20_000 : undefined)),
  )
  const store = openStore(t, join(home, 'store'), { registries: { plainHttp: true, retry: quick } })
  await largeImage(store, home, `${host}/app:v1`)
  await store.push(`${host}/app:v1`)
  const [layer] = store.inspect(`${host}/app:v1`).layers
  t.equal(taken.blobs.get(layer?.digest ?? '')?.length, layer?.size)

  const never = await fakeRegistry(t, new Map(), (request, response) => uploads().handle(request, response, () => 1))
  await store.tag(`${host}/app:v1`, `${never.host}/app:v1`)
  await t.rejects(store.push(`${never.host}/app:v1`), { message: new RegExp(`push of ${never.host}/app:v1`) })
})

t.test("Debian's docker-registry takes chunks, and what it then has is whole", { skip: needs('docker-registry') }, async (t) => {
  const home = folder(t)
  const { host } = await startRegistry(t)
  const store = openStore(t, join(home, 'store'), { registries: { uploadChunk: CHUNK } })
  await largeImage(store, home, `${host}/app:v1`)
  const { repoDigest } = await store.push(`${host}/app:v1`)
  const two = openStore(t, join(home, 'two'))
  t.equal((await two.pull(`${host}/app:v1`)).repoDigest, repoDigest)
})

t.test('layers that the registry may not have come from where the manifest says', { skip, timeout: 300_000 }, async (t) => {
  const home = folder(t)
  const foreign = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip'
  const inner = fakeImage({ mediaType: foreign })
  const [layerPath = ''] = [...inner.files.keys()].filter((path) => path === `blobs/${sha(inner.layer)}`)
  let refused = 0
  const vendor = await fakeRegistry(t, new Map(), (request, response, path) => {
    if (request.headers.authorization !== undefined) refused++
    if (path === '/gone') response.writeHead(404).end()
    else response.writeHead(200, { 'content-length': inner.layer.length }).end(inner.layer)
    return true
  })
  const described = (urls: readonly string[]): Map<string, { bytes: Buffer; type: string }> => {
    const parsed = JSON.parse(inner.manifest.toString()) as { layers: object[] }
    const manifest = json({ ...parsed, layers: [{ ...parsed.layers[0], urls }] })
    const type = 'application/vnd.oci.image.manifest.v1+json'
    const files = new Map(inner.files)
    files.delete(layerPath)
    return files.set('manifests/v1', { bytes: manifest, type }).set(`manifests/${sha(manifest)}`, { bytes: manifest, type })
  }
  const whole = await fakeRegistry(t, described([`http://${vendor.host}/gone`, `http://${vendor.host}/layer`]), (request, response) => {
    if (request.headers.authorization) return false
    response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
    return true
  })
  const auth = { username: 'ada', password: 'lovelace' }
  const store = openStore(t, join(home, 'store'), { registries: { plainHttp: true, retry: quick } })
  const { image } = await store.pull(`${whole.host}/app:v1`, { auth })
  t.equal(image.layers[0]?.mediaType, foreign)
  t.equal(refused, 0, 'the credentials are for the registry alone')

  const taken = uploads()
  const target = await fakeRegistry(t, new Map(), (request, response) => taken.handle(request, response))
  await store.tag(`${whole.host}/app:v1`, `${target.host}/app:v1`)
  await store.push(`${target.host}/app:v1`)
  t.notOk(taken.blobs.has(sha(inner.layer)), 'it is not distributed by us')

  const lost = await fakeRegistry(t, described([`http://${vendor.host}/gone`, 'file:///etc/passwd']))
  const empty = openStore(t, join(home, 'empty'), { registries: { plainHttp: true, retry: quick } })
  await t.rejects(empty.pull(`${lost.host}/app:v1`), { message: /pull of .*app:v1/, cause: { message: /^layer sha256:[0-9a-f]{12}$/ } })
  t.same(readdirSync(join(home, 'empty', 'ingest')), [], 'nothing is left over')
})

t.test('one name for several platforms', { skip: needs('docker-registry', 'skopeo'), timeout: 300_000 }, async (t) => {
  const home = folder(t)
  const { host } = await startRegistry(t)
  const maker = openStore(t, join(home, 'maker'))
  const platforms = [
    { os: 'linux', architecture: 'amd64' },
    { os: 'linux', architecture: 'arm64', variant: 'v8' },
  ]
  const manifests = []
  for (const platform of platforms) {
    const tar = join(home, `${platform.architecture}.tar`)
    writeFileSync(tar, makeTar([{ path: 'machine', data: platform.architecture }]))
    const name = `${host}/multi:${platform.architecture}`
    const [image] = await maker.import(tar, { name, platform })
    await maker.push(name)
    if (image) manifests.push({ ...image.manifest, platform })
  }
  const type = 'application/vnd.oci.image.index.v1+json'
  const index = json({ schemaVersion: 2, mediaType: type, manifests })
  const put = await fetch(`http://${host}/v2/multi/manifests/v1`, { method: 'PUT', headers: { 'content-type': type }, body: index })
  t.equal(put.status, 201)

  const name = `${host}/multi:v1`
  for (const platform of platforms) {
    const store = openStore(t, join(home, platform.architecture))
    const { image, repoDigest } = await store.pull(name, { platform })
    t.equal(image.platform.architecture, platform.architecture)
    t.equal(repoDigest, `${host}/multi@${sha(index)}`, 'the name stands for the index')
    t.equal(image.target.mediaType, type)
    t.equal((await store.pull(name, { platform })).downloaded, 0)
  }
  const s390 = { os: 'linux', architecture: 's390x' }
  await t.rejects(openStore(t, join(home, 'none')).pull(name, { platform: s390 }), {
    cause: { message: 'it has no image for linux/s390x, only for linux/amd64, linux/arm64/v8' },
  })

  const both = openStore(t, join(home, 'both'))
  for (const platform of platforms) await both.pull(name, { platform })
  await both.tag(name, `${host}/again:v1`)
  t.equal((await both.push(`${host}/again:v1`)).repoDigest, `${host}/again@${sha(index)}`, 'with both here, the index itself is pushed')
  execFileSync('skopeo', ['--insecure-policy', 'copy', '--all', '--src-tls-verify=false', `docker://${host}/again:v1`, `dir:${home}/out`], {
    stdio: 'pipe',
    env: { ...process.env, TMPDIR: home },
  })
})

t.test('a registry that wants a certificate of its clients', { skip: needs('docker-registry', 'openssl'), timeout: 300_000 }, async (t) => {
  const home = folder(t)
  const { host, ca } = await startRegistry(t, { tls: true, clients: true })
  const [cert, key] = ['cert', 'key'].map((what) => join(home, `client.${what}`))
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=client']
  const signed = ['-CA', ca, '-CAkey', ca.replace('ca.pem', 'key.pem'), '-keyout', key ?? '', '-out', cert ?? '']
  execFileSync('openssl', ['req', '-x509', ...curve, ...signed], { stdio: 'ignore' })
  const name = `${host}/app:v1`
  const toml = join(home, 'toml')
  mkdirSync(join(toml, host), { recursive: true })
  writeFileSync(join(toml, host, 'hosts.toml'), `server = "https://${host}"\nca = "${ca}"\nclient = [["${cert}", "${key}"]]\n`)
  const known = openStore(t, join(home, 'known'), { registries: { hostFolders: [toml] } })
  await largeImage(known, home, name)
  const { repoDigest } = await known.push(name)

  const docker = join(home, 'docker')
  mkdirSync(join(docker, host), { recursive: true })
  execFileSync('cp', [ca, join(docker, host, 'ca.crt')])
  for (const what of ['cert', 'key']) execFileSync('cp', [join(home, `client.${what}`), join(docker, host, `client.${what}`)])
  const alike = openStore(t, join(home, 'alike'), { registries: { hostFolders: [docker] } })
  t.equal((await alike.pull(name)).repoDigest, repoDigest, "docker's folders do the same")

  const stranger = openStore(t, join(home, 'stranger'), { registries: { caFiles: [ca], retry: quick } })
  await t.rejects(stranger.pull(name), { message: new RegExp(`pull of ${name}`), cause: { message: /registry at/ } })
})

t.test('an identity token is exchanged at the token server', { skip, timeout: 300_000 }, async (t) => {
  const home = folder(t)
  const good = fakeImage()
  let exchanged = 0
  const { host } = await fakeRegistry(t, good.files, (request, response) => {
    const url = new URL(request.url ?? '', 'http://x')
    if (url.pathname === '/token') {
      let body = ''
      request.on('data', (piece) => {
        body += piece
      })
      request.on('end', () => {
        exchanged++
        const form = new URLSearchParams(body)
        const right =
          form.get('grant_type') === 'refresh_token' && form.get('refresh_token') === 'refresh-me' && form.get('service') === 'reg'
        const scoped = request.method === 'POST' && form.get('scope') === 'repository:app:pull'
        response.writeHead(right && scoped ? 200 : 401).end(json({ access_token: 'fresh', expires_in: 300 }))
      })
      return true
    }
    if (request.headers.authorization === 'Bearer fresh') return false
    response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${request.headers.host}/token",service="reg"` }).end()
    return true
  })
  const plain = { plainHttp: true, retry: quick }
  await openStore(t, join(home, 'one'), { registries: plain }).pull(`${host}/app:v1`, { auth: { identityToken: 'refresh-me' } })
  t.equal(exchanged, 1)
  const docker = join(home, 'docker')
  mkdirSync(docker)
  writeFileSync(join(docker, 'config.json'), JSON.stringify({ auths: { [host]: { auth: '', identitytoken: 'refresh-me' } } }))
  await openStore(t, join(home, 'two'), { registries: { ...plain, env: { DOCKER_CONFIG: docker } } }).pull(`${host}/app:v1`)
  t.equal(exchanged, 2, 'from config.json too')
  const wrong = openStore(t, join(home, 'three'), { registries: plain })
  await t.rejects(wrong.pull(`${host}/app:v1`, { auth: { identityToken: 'old' } }), { cause: { message: /refused the credentials/ } })
})

t.test('a registry that refuses a push, or hangs, is said so, with the layer', { skip, timeout: 300_000 }, async (t) => {
  const home = folder(t)
  const registries = { plainHttp: true, retry: quick, timeoutMs: 300 }
  const store = openStore(t, join(home, 'store'), { registries })
  await largeImage(store, home, 'knarr-test/large:v1')
  const layer = store.inspect('knarr-test/large:v1').layers[0]?.digest ?? ''
  const refusals: Record<number, RegExp> = {
    401: /the registry refused access \(401\)/,
    403: /answered 403 \(forbidden: the credentials do not allow it\): DENIED: no/,
    404: /answered 404 \(not found\): DENIED: no/,
    413: /answered 413 \(too large for it\)/,
    429: /answered 429 \(too many requests: try again later\)/,
    500: /answered 500 \(internal error\)/,
  }
  const failing = async (
    name: string,
    message: string,
    answer: (request: IncomingMessage, response: ServerResponse) => boolean,
  ): Promise<void> => {
    const taken = uploads()
    const { host, close } = await fakeRegistry(
      t,
      new Map(),
      (request, response) => answer(request, response) || taken.handle(request, response),
    )
    const error = await store.push(`${host}/app:v1`, { source: 'knarr-test/large:v1' }).catch((thrown: unknown) => thrown)
    t.match(explain(error), new RegExp(`^push of ${host}/app:v1: ${message}`), name)
    t.same(readdirSync(join(home, 'store/leases')), [], `${name}: no lease is left`)
    await close()
  }
  const said = `layer ${layer.slice(0, 19)}: `
  for (const [status, message] of Object.entries(refusals)) {
    const refuse = (method: string, path: RegExp) => (request: IncomingMessage, response: ServerResponse) => {
      if (request.method !== method || !path.test(request.url ?? '')) return false
      response.writeHead(Number(status), { 'retry-after': '0' }).end(json({ errors: [{ code: 'DENIED', message: 'no' }] }))
      return true
    }
    await failing(`${status} for a layer`, `(config \\S+|${said}).*${message.source}`, refuse('POST', /uploads/))
    await failing(`${status} for the manifest`, `.*${message.source}`, refuse('PUT', /manifests/))
  }
  await failing('no answer', `${said}the registry at [\\d.:]+ does not answer`, (request) => request.url?.includes(layer) === true)
  await failing('nowhere to upload to', `(config \\S+|${said}).*the registry does not say where to upload to`, (request, response) => {
    if (request.method !== 'POST') return false
    response.writeHead(202).end()
    return true
  })
})
