// Registries that refuse, lie, break off and hang: one clear sentence each, and nothing is left behind.
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import type { ImageStore } from '../../src/image/index.js'
import { networkFailure } from '../../src/image/registry.js'
import { explain } from '../../src/lib/index.js'
import { fakeImage, fakeRegistry, json, type Served, sha } from './fake-registry.js'
import { folder, isRoot, makeTar, openStore } from './fixture.js'
import { hostileTars } from './hostile-tars.js'

const skip = isRoot ? false : 'needs root'
// A shared machine may be slow; nothing here waits for long by itself.
t.setTimeout(300_000)
const quick = { tries: 3, initialMs: 1, maxMs: 5 }

/** What a store holds besides its empty folders. */
function leftovers(root: string): readonly string[] {
  const inside = ['tmp', 'ingest', 'leases', 'layers', 'names', 'blobs/sha256', 'snapshots'].flatMap((name) =>
    readdirSync(join(root, name)).map((entry) => `${name}/${entry}`),
  )
  return inside
}

/** The pull fails with one sentence that names the image, and the store is as empty as before. */
async function failsCleanly(t: Test, store: ImageStore, host: string, message: RegExp, name: string): Promise<void> {
  const said = explain(await store.pull(`${host}/app:v1`).catch((thrown: unknown) => thrown))
  t.match(said, message, name)
  t.ok(said.startsWith(`pull of ${host}/app:v1: `) && !said.includes('\n'), `${name}: one sentence, and it names the image`)
  t.same(leftovers(store.root), [], `${name}: nothing is left`)
}

t.test('what goes wrong is said in one sentence', { skip, timeout: 300_000 }, async (t) => {
  const home = folder(t)
  const good = fakeImage()
  const other = Buffer.from('something else of another length')
  const with_ = (path: string, served: Partial<Served>): Map<string, Served> => {
    const files = new Map(good.files)
    files.set(path, { bytes: Buffer.alloc(0), type: 'application/octet-stream', ...files.get(path), ...served })
    return files
  }
  const layerPath = `blobs/${sha(good.layer)}`
  const changed = Buffer.from(good.layer)
  changed[changed.length >> 1] = (changed[changed.length >> 1] ?? 0) ^ 1
  const bomb = makeTar([{ path: 'zeros', data: Buffer.alloc(1_000_001) }])
  const notGzip = Buffer.concat([Buffer.from([0x1f, 0x8b]), Buffer.alloc(300, 1)])
  const index = (platform: object): Buffer =>
    json({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [
        { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: sha(good.manifest), size: good.manifest.length, platform },
      ],
    })
  const indexType = 'application/vnd.oci.image.index.v1+json'
  /** Indexes in indexes, deeper than anybody needs. */
  const nested = (): Map<string, Served> => {
    const files = new Map(good.files)
    let inner: { digest: string; size: number } = { digest: sha(good.manifest), size: good.manifest.length }
    let bytes = good.manifest
    for (let i = 0; i < 6; i++) {
      bytes = json({
        schemaVersion: 2,
        mediaType: indexType,
        manifests: [{ mediaType: i === 0 ? 'application/vnd.oci.image.manifest.v1+json' : indexType, ...inner }],
      })
      inner = { digest: sha(bytes), size: bytes.length }
      files.set(`manifests/${sha(bytes)}`, { bytes, type: indexType })
    }
    return files.set('manifests/v1', { bytes, type: indexType })
  }
  /** Indexes of which the last names the first: digests forbid it, so the registry must lie about them. */
  const circle = (length: number): Map<string, Served> => {
    const files = new Map(good.files)
    const first = sha(Buffer.from('whatever'))
    let next: string = first
    let bytes: Buffer = other
    for (let i = 0; i < length; i++) {
      bytes = json({ schemaVersion: 2, mediaType: indexType, manifests: [{ mediaType: indexType, digest: next, size: 300 }] })
      next = sha(bytes)
      files.set(`manifests/${next}`, { bytes, type: indexType })
    }
    return files.set('manifests/v1', { bytes, type: indexType }).set(`manifests/${first}`, { bytes, type: indexType })
  }
  /** With another config, rightly named. */
  const broken = (config: Buffer): Map<string, Served> => {
    const manifest = JSON.parse(good.manifest.toString()) as { config: object }
    const bytes = json({ ...manifest, config: { ...manifest.config, digest: sha(config), size: config.length } })
    const files = with_('manifests/v1', { bytes })
    return files.set(`blobs/${sha(config)}`, { bytes: config, type: 'application/octet-stream' })
  }
  const cases: Record<string, [Map<string, Served>, RegExp]> = {
    'wrong digest of a layer': [
      with_(layerPath, { bytes: changed }),
      /: layer sha256:[0-9a-f]{12}: (its bytes have the digest sha256:[0-9a-f]{64}, not sha256|damaged gzip)/,
    ],
    'a body that ends early': [
      with_(layerPath, { bytes: good.layer.subarray(0, 1000) }),
      /: layer sha256:[0-9a-f]{12}: the registry (sent 1000 bytes of \d+ and ended|at [\d.:]+ has less than the \d+ bytes that the manifest promises)/,
    ],
    'too long a layer': [
      with_(layerPath, { bytes: Buffer.concat([good.layer, other]) }),
      /: layer sha256:[0-9a-f]{12}: the registry sends more than the \d+ bytes/,
    ],
    'wrong digest of the config': [
      with_(`blobs/${sha(good.config)}`, { bytes: Buffer.from(good.config.toString().replace('linux', 'linuy')) }),
      /the config has the digest/,
    ],
    'a config that is no JSON': [broken(other), /the config is not JSON/],
    'a config of other layers': [
      broken(json({ os: 'linux', rootfs: { type: 'layers', diff_ids: [] } })),
      /the config lists 0 layers, the manifest 1/,
    ],
    'a manifest that is no JSON': [with_('manifests/v1', { bytes: other }), /the manifest is not JSON/],
    'a manifest that is a list': [with_('manifests/v1', { bytes: json([]) }), /the manifest is not a JSON object/],
    'a manifest that is both': [
      with_('manifests/v1', { bytes: json({ schemaVersion: 2, mediaType: indexType, manifests: [], layers: [] }), type: indexType }),
      /an index and an image at once/,
    ],
    'an old manifest': [with_('manifests/v1', { bytes: json({ schemaVersion: 1 }) }), /obsolete schema version 1/],
    'another platform only': [
      with_('manifests/v1', { bytes: index({ os: 'plan9', architecture: 'vax' }), type: indexType }),
      /it has no image for linux\/\w+(\/v8)?, only for plan9\/vax/,
    ],
    'an index that names itself': [circle(1), /the manifest has the digest sha256:[0-9a-f]{64}, not sha256:/],
    'indexes that name each other': [circle(2), /the manifest has the digest sha256:[0-9a-f]{64}, not sha256:/],
    'indexes in indexes': [nested(), /its indexes are nested deeper than 4/],
    'no image at all': [
      fakeImage({ mediaType: 'application/vnd.cncf.helm.chart.content.v1.tar+gzip' }).files,
      /it is not a container image: layer sha256:\w+ has the media type application\/vnd.cncf.helm/,
    ],
    'a layer that is too large': [
      fakeImage({ layer: gzipSync(bomb), diffId: sha(bomb) }).files,
      /: layer sha256:[0-9a-f]{12}: it unpacks to more than the allowed 1000000 bytes/,
    ],
    'bad gzip': [fakeImage({ layer: notGzip }).files, /: layer sha256:[0-9a-f]{12}: damaged gzip data/],
    'wrong digest inside': [fakeImage({ diffId: sha(other) }).files, /unpacked it has the digest sha256:[0-9a-f]{64}, not sha256/],
  }
  for (const [name, [files, message]] of Object.entries(cases)) {
    const { host, close } = await fakeRegistry(t, files)
    const root = join(home, name.replace(/\W/g, '-'))
    const store = openStore(t, root, { registries: { plainHttp: true, retry: quick }, limits: { bytes: 1_000_000 } })
    await failsCleanly(t, store, host, message, name)
    await close()
  }
})

t.test('whichever way a layer tries to get out of its folder, the pull says which layer it was', { skip, timeout: 300_000 }, async (t) => {
  const home = folder(t)
  const victim = join(home, 'victim')
  mkdirSync(victim)
  writeFileSync(join(victim, 'secret'), 'untouched')
  const files = new Map<string, Served>()
  const { host } = await fakeRegistry(t, files)
  const store = openStore(t, join(home, 'store'), { registries: { plainHttp: true, retry: quick } })
  for (const [name, [entries, message]] of Object.entries(hostileTars(victim, '../../../../victim'))) {
    const tar = makeTar(entries)
    const layer = gzipSync(tar)
    files.clear()
    for (const [path, served] of fakeImage({ layer, diffId: sha(tar) }).files) files.set(path, served)
    await failsCleanly(t, store, host, new RegExp(`: layer ${sha(layer).slice(0, 19)}: .*${message.source}`), name)
  }
  t.same(readdirSync(victim), ['secret'])
  t.equal(readFileSync(join(victim, 'secret'), 'utf8'), 'untouched')
})

t.test('refusals by status', { skip, timeout: 300_000 }, async (t) => {
  const home = folder(t)
  const good = fakeImage()
  const cases: Record<number, RegExp> = {
    401: /the registry refused access \(401\)/,
    403: /answered 403 \(forbidden: the credentials do not allow it\): DENIED: no/,
    404: /answered 404 \(not found\): DENIED: no/,
    429: /answered 429 \(too many requests: try again later\)/,
    500: /answered 500 \(internal error\)/,
    503: /answered 503/,
  }
  for (const [status, message] of Object.entries(cases))
    for (const where of ['manifests', 'blobs']) {
      const { host, close, requests } = await fakeRegistry(t, good.files, (request, response) => {
        if (!request.url?.includes(where) || request.url.includes(sha(good.config))) return false
        response.writeHead(Number(status), { 'retry-after': '0' }).end(json({ errors: [{ code: 'DENIED', message: 'no' }] }))
        return true
      })
      const root = join(home, `${status}-${where}`)
      const store = openStore(t, root, { registries: { plainHttp: true, retry: quick } })
      const layer = where === 'blobs' ? ': layer sha256:[0-9a-f]{12}: .*' : ''
      await failsCleanly(t, store, host, new RegExp(`${layer}${message.source}`), `${status} for ${where}`)
      const retried = Number(status) === 429 || Number(status) >= 500
      if (where === 'manifests') t.equal(requests.length, retried ? 3 : 1, retried ? 'tried again' : 'not tried again')
      await close()
    }
  const gone = openStore(t, join(home, 'gone'), { registries: { plainHttp: true, retry: quick } })
  await t.rejects(gone.pull('127.0.0.1:1/app:v1'), { cause: { message: /127.0.0.1:1: connection refused/ } })
})

t.test('what the network says, in words, and whether to try again', async (t) => {
  for (const [code, words, retry] of [
    ['ECONNREFUSED', 'connection refused', true],
    ['ECONNRESET', 'the connection broke off', true],
    ['ENOTFOUND', 'no such host', false],
    // The resolver has tried for seconds already.
    ['EAI_AGAIN', 'no name server tells its address', false],
    ['EOTHER', 'as it was said', false],
  ] as const)
    t.match(networkFailure('reg.test', Object.assign(new Error('as it was said'), { code })), {
      message: `the registry at reg.test: ${words}`,
      retry,
    })
})

t.test('a registry that hangs, before its answer and within it', { skip, timeout: 300_000 }, async (t) => {
  const home = folder(t)
  const good = fakeImage()
  const silent = await fakeRegistry(t, good.files, () => true)
  const root = join(home, 'one')
  const store = openStore(t, root, { registries: { plainHttp: true, retry: quick, timeoutMs: 300 } })
  await t.rejects(store.pull(`${silent.host}/app:v1`), { cause: { message: /does not answer/ } })
  const stuck = await fakeRegistry(t, good.files, (_request, response, path) => {
    if (path !== `blobs/${sha(good.layer)}`) return false
    response.writeHead(200, { 'content-length': good.layer.length })
    response.write(good.layer.subarray(0, 10))
    return true
  })
  await failsCleanly(
    t,
    store,
    stuck.host,
    /layer sha256:[0-9a-f]{12}: the registry (at .* does not answer|sent \d+ bytes)/,
    'within a layer',
  )
  const abort = new AbortController()
  const waiting = store.pull(`${silent.host}/app:v1`, { signal: abort.signal })
  abort.abort(new Error('enough'))
  await t.rejects(waiting, { cause: { message: 'enough' } })
  t.same(leftovers(root), [])
})

t.test('a download that breaks off goes on where it was, again and again', { skip, timeout: 300_000 }, async (t) => {
  const home = folder(t)
  const good = fakeImage()
  const path = `blobs/${sha(good.layer)}`
  const ranges: string[] = []
  const { host } = await fakeRegistry(t, good.files, (request, response, at) => {
    if (at !== path) return false
    ranges.push(request.headers.range ?? '')
    const begin = Number(/\d+/.exec(request.headers.range ?? '')?.[0] ?? 0)
    if (good.layer.length - begin < 60_000) return false
    response.writeHead(begin > 0 ? 206 : 200, {
      'content-length': good.layer.length - begin,
      ...(begin > 0 ? { 'content-range': `bytes ${begin}-${good.layer.length - 1}/${good.layer.length}` } : {}),
    })
    response.write(good.layer.subarray(begin, begin + 50_000), () => setImmediate(() => response.destroy()))
    return true
  })
  const store = openStore(t, join(home, 'store'), { registries: { plainHttp: true, retry: quick } })
  const pulled = await store.pull(`${host}/app:v1`)
  t.ok(ranges.length >= 3, `${ranges.length} requests`)
  t.ok(
    ranges.slice(1).every((range) => range.startsWith('bytes=')),
    ranges.join(' '),
  )
  t.ok(pulled.downloaded <= good.layer.length, 'no byte came twice')

  // A server that knows no ranges sends all of it again.
  let first = true
  const whole = await fakeRegistry(t, good.files, (_request, response, at) => {
    if (at !== path) return false
    response.writeHead(200, { 'content-length': good.layer.length })
    if (first) response.write(good.layer.subarray(0, 50_000), () => setImmediate(() => response.destroy()))
    else response.end(good.layer)
    first = false
    return true
  })
  const two = openStore(t, join(home, 'two'), { registries: { plainHttp: true, retry: quick } })
  t.equal((await two.pull(`${whole.host}/app:v1`)).image.id, pulled.image.id)
})

t.test('tokens: fetched once, renewed when refused, never sent to others', { skip, timeout: 300_000 }, async (t) => {
  const home = folder(t)
  const good = fakeImage()
  let current = 'first'
  let asked = 0
  const storage = await fakeRegistry(t, good.files, (request, response, path) => {
    const blob = good.files.get(path.replace(/^\/storage\//, ''))
    if (!blob || request.headers.authorization !== undefined) response.writeHead(400).end()
    else response.writeHead(200, { 'content-length': blob.bytes.length }).end(blob.bytes)
    return true
  })
  const { host } = await fakeRegistry(t, good.files, (request, response, path) => {
    const url = new URL(request.url ?? '', 'http://x')
    if (url.pathname === '/token') {
      asked++
      const ok = request.headers.authorization === `Basic ${Buffer.from('ada:lovelace').toString('base64')}`
      const right = url.searchParams.get('scope') === 'repository:app:pull' && url.searchParams.get('service') === 'reg'
      response.writeHead(ok && right ? 200 : 401).end(json({ token: current, expires_in: 300 }))
      return true
    }
    if (request.headers.authorization !== `Bearer ${current}`) {
      response
        .writeHead(401, {
          'www-authenticate': `Bearer realm="http://${request.headers.host}/token",service="reg",scope="repository:app:pull"`,
        })
        .end()
      return true
    }
    if (path.startsWith('manifests/sha256') || path === 'manifests/v1') current = path === 'manifests/v1' ? 'second' : current
    if (path.startsWith('blobs/')) {
      response.writeHead(307, { location: `http://${storage.host}/storage/${path}` }).end()
      return true
    }
    return false
  })
  const store = openStore(t, join(home, 'store'), { registries: { plainHttp: true, retry: quick } })
  await store.pull(`${host}/app:v1`, { auth: { username: 'ada', password: 'lovelace' } })
  t.equal(asked, 2, 'once at first, once after the token changed')
  await t.rejects(store.pull(`${host}/app:v1`, { auth: { username: 'ada', password: 'x' } }), {
    cause: { message: /refused the credentials/ },
  })
  await t.rejects(openStore(t, join(home, 'b'), { registries: { plainHttp: true } }).pull(`${host}/app:v1`), {
    cause: { message: /wants credentials/ },
  })
})

t.test('mirrors come first, the registry itself last', { skip, timeout: 300_000 }, async (t) => {
  const home = folder(t)
  const good = fakeImage()
  const mirror = await fakeRegistry(t, good.files)
  const empty = await fakeRegistry(t, new Map())
  const own = await fakeRegistry(t, good.files)
  const hosts = join(home, 'certs.d')
  mkdirSync(join(hosts, 'registry.test'), { recursive: true })
  const write = (first: string): void =>
    writeFileSync(
      join(hosts, 'registry.test/hosts.toml'),
      `server = "http://${own.host}"\n\n[host."http://${first}"]\n  capabilities = ["pull", "resolve"] # not push\n  [host."http://${first}".header]\n    x-test = ["yes"]\n`,
    )
  write(mirror.host)
  const pull = (name: string) =>
    openStore(t, join(home, name), { registries: { hostFolders: [hosts], retry: quick } }).pull('registry.test/app:v1')
  t.equal((await pull('one')).reference, 'registry.test/app:v1')
  t.equal(own.requests.length, 0)
  t.ok(mirror.requests.every(({ url, headers }) => url.includes('ns=registry.test') && headers['x-test'] === 'yes'))
  write(empty.host)
  await pull('two')
  t.ok(empty.requests.length > 0)
  t.ok(own.requests.length > 0, 'what a mirror does not have, the registry has')
  writeFileSync(join(hosts, 'registry.test/hosts.toml'), 'server = \n')
  await t.rejects(pull('three'), {
    message: /pull of registry.test/,
    cause: { message: /hosts.toml$/, cause: { message: /^line 1: a value was expected/ } },
  })
})

t.test('a mirror is shown its own credentials, never those of the registry', { skip, timeout: 300_000 }, async (t) => {
  const home = folder(t)
  const good = fakeImage()
  const basic = (text: string): string => Buffer.from(text).toString('base64')
  const shown: (string | undefined)[] = []
  const guarded = (known: string, seen?: (string | undefined)[]) =>
    fakeRegistry(t, good.files, (request, response) => {
      seen?.push(request.headers.authorization)
      if (request.headers.authorization === `Basic ${basic(known)}`) return false
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
      return true
    })
  const mirror = await guarded('mirror:m', shown)
  const own = await guarded('own:o')
  const hosts = join(home, 'certs.d')
  mkdirSync(join(hosts, 'registry.test'), { recursive: true })
  writeFileSync(join(hosts, 'registry.test/hosts.toml'), `server = "http://${own.host}"\n[host."http://${mirror.host}"]\n`)
  const pull = (name: string, auths: object) => {
    writeFileSync(join(home, 'config.json'), JSON.stringify({ auths }))
    const registries = { hostFolders: [hosts], retry: quick, env: { DOCKER_CONFIG: home } }
    return openStore(t, join(home, name), { registries }).pull('registry.test/app:v1')
  }
  const ofRegistry = { 'registry.test': { auth: basic('own:o') } }
  await pull('one', { ...ofRegistry, [mirror.host]: { auth: basic('mirror:m') } })
  t.equal(own.requests.length, 0, 'the mirror knew its own')
  await pull('two', ofRegistry)
  t.ok(own.requests.length > 0, 'the mirror has none, so the registry is asked')
  t.notOk(shown.includes(`Basic ${basic('own:o')}`))
})

t.test('through a proxy of the environment', { skip, timeout: 300_000 }, async (t) => {
  const home = folder(t)
  const good = fakeImage()
  const { host } = await fakeRegistry(t, good.files)
  const asked: string[] = []
  const proxy = createServer((request, response) => {
    response.writeHead(500).end(request.url)
  })
  proxy.on('connect', (request, socket, head) => {
    asked.push(request.url ?? '')
    const [name = '', port = ''] = host.split(':')
    const out = connect(Number(port), name, () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      out.write(head)
      out.pipe(socket).pipe(out)
    })
    out.on('error', () => socket.destroy())
    socket.on('error', () => out.destroy())
    t.teardown(() => {
      out.destroy()
      socket.destroy()
    })
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.teardown(() => proxy.close())
  const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
  const store = openStore(t, join(home, 'store'), {
    registries: { plainHttp: true, retry: quick, env: { HTTP_PROXY: url, NO_PROXY: 'other.test' } },
  })
  await store.pull('far.test:5000/app:v1')
  t.ok(asked.every((name) => name === 'far.test:5000') && asked.length > 0, 'a name that only the proxy knows')
  await t.rejects(
    store.pull('other.test:5000/app:v1'),
    { cause: { message: /no such host|no name server tells its address/ } },
    'NO_PROXY is heeded',
  )
})

t.test('a broken layer ends the others, and the blobs of one pull serve the next', { skip, timeout: 300_000 }, async (t) => {
  const home = folder(t)
  const good = fakeImage()
  const bad = gzipSync('this is not a tar, but it is long enough to be looked at by the reader of tar headers'.repeat(20))
  const config = json({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [sha(good.layer), sha(bad)] } })
  const layers = [good.layer, bad].map((bytes) => ({
    mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
    digest: sha(bytes),
    size: bytes.length,
  }))
  const manifest = json({
    schemaVersion: 2,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha(config), size: config.length },
    layers,
  })
  const files = new Map(good.files)
  files.set('manifests/v2', { bytes: manifest, type: 'application/vnd.oci.image.manifest.v1+json' })
  for (const bytes of [config, bad]) files.set(`blobs/${sha(bytes)}`, { bytes, type: 'application/octet-stream' })
  const { host } = await fakeRegistry(t, files, (_request, response, path) => {
    // The good layer never ends: only the failure of the other can end the pull.
    if (path !== `blobs/${sha(good.layer)}`) return false
    response.writeHead(200, { 'content-length': good.layer.length })
    response.write(good.layer.subarray(0, 1000))
    return true
  })
  const root = join(home, 'store')
  const store = openStore(t, root, { registries: { plainHttp: true, retry: quick } })
  const error = await store.pull(`${host}/app:v2`).catch((thrown: unknown) => thrown)
  t.match(explain(error), new RegExp(`layer ${sha(bad).slice(0, 19)}: Invalid tar header`, 'i'))
  t.same(leftovers(root), [])
})
