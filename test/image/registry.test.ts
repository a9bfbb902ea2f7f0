// Against Debian's docker-registry on loopback: plain, with TLS, with basic authentication; and with Debian's skopeo and podman as the other side.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import type { ImageStore, Progress } from '../../src/image/index.js'
import { folder, makeTar, needs, openStore, startRegistry } from './fixture.js'

const skip = needs('docker-registry')
// A shared machine may be slow; nothing here waits for long by itself.
t.setTimeout(300_000)

/** Two layers over each other: the second changes, deletes and adds. */
async function makeImage(store: ImageStore, home: string, name: string) {
  const file = join(home, `${name.replace(/\W/g, '-')}.tar`)
  writeFileSync(
    file,
    gzipSync(
      makeTar([
        { path: './', kind: '5', mode: 0o755 },
        { path: 'bin/', kind: '5', mode: 0o755 },
        { path: 'bin/app', data: `#!/bin/sh\necho ${name}\n`, mode: 0o755 },
        { path: 'big', data: Buffer.alloc(300_000, name) },
      ]),
    ),
  )
  const [image] = await store.import(file, { name, config: { Cmd: ['/bin/app'] } })
  if (!image) throw new Error('nothing was imported')
  return image
}

t.test('what was pushed is pulled by another store, byte for byte', { skip, timeout: 300_000 }, async (t) => {
  const home = folder(t)
  const { host } = await startRegistry(t)
  const one = openStore(t, join(home, 'one'))
  const name = `${host}/team/app:v1`
  const image = await makeImage(one, home, name)
  const pushed = await one.push(name)
  t.ok(pushed.uploaded > 0)
  t.equal((await one.push(name)).uploaded, 0, 'what is there is not sent again')

  const two = openStore(t, join(home, 'two'))
  const seen: Progress[] = []
  const [first, second] = await Promise.all([two.pull(name, { progress: (p) => seen.push(p) }), two.pull(name)])
  t.equal(first.image.id, image.id)
  t.equal(first.repoDigest, pushed.repoDigest)
  t.equal(second.downloaded, first.downloaded, 'asked twice at once, pulled once')
  t.equal(seen.at(-1)?.phase, 'done')
  t.same(first.image.repoTags, [name])
  t.same(first.image.repoDigests, [pushed.repoDigest])
  const again = await two.pull(name)
  t.equal(again.downloaded, 0)
  t.equal((await two.pull(pushed.repoDigest)).image.id, image.id, 'by digest')
  t.same(readdirSync(join(home, 'two/tmp')), [], 'nothing is left over')
  t.same(readdirSync(join(home, 'two/ingest')), [])
  t.same(readdirSync(join(home, 'two/leases')), [])

  await two.tag(name, `${host}/other/app:v2`)
  const mounted = await two.push(`${host}/other/app:v2`)
  t.equal(mounted.uploaded, 0, 'blobs that the registry has elsewhere are mounted')
})

t.test(
  'TLS with an authority of its own, and basic authentication',
  { skip: needs('docker-registry', 'openssl', 'htpasswd') },
  async (t) => {
    const home = folder(t)
    const { host, ca } = await startRegistry(t, { tls: true, user: 'ada', password: 'lovelace' })
    const name = `${host}/app:v1`
    const hosts = join(home, 'certs.d')
    mkdirSync(join(hosts, host), { recursive: true })
    writeFileSync(join(hosts, host, 'hosts.toml'), `server = "https://${host}"\nca = "${ca}"\n`)
    const trusting = openStore(t, join(home, 'one'), { registries: { hostFolders: [hosts] } })
    const image = await makeImage(trusting, home, name)
    const auth = { username: 'ada', password: 'lovelace' }
    await trusting.push(name, { auth })

    await t.rejects(trusting.pull(name), { cause: { message: 'the registry wants credentials' } })
    await t.rejects(trusting.pull(name, { auth: { username: 'ada', password: 'wrong' } }), {
      cause: { message: /refused the credentials/ },
    })
    t.equal((await trusting.pull(name, { auth: { auth: Buffer.from('ada:lovelace').toString('base64') } })).image.id, image.id)

    const strict = openStore(t, join(home, 'two'))
    await t.rejects(strict.pull(name, { auth }), { cause: { message: /self-signed certificate/ } }, 'an unknown authority is refused')
    const careless = openStore(t, join(home, 'three'), { registries: { insecure: true } })
    t.equal((await careless.pull(name, { auth })).image.id, image.id)

    const docker = join(home, 'docker')
    mkdirSync(docker)
    writeFileSync(
      join(docker, 'config.json'),
      JSON.stringify({ auths: { [host]: { auth: Buffer.from('ada:lovelace').toString('base64') } } }),
    )
    const configured = openStore(t, join(home, 'four'), { registries: { caFiles: [ca], env: { DOCKER_CONFIG: docker } } })
    t.equal((await configured.pull(name)).image.id, image.id, 'credentials from config.json')

    const bin = join(home, 'bin')
    mkdirSync(bin)
    writeFileSync(
      join(bin, 'docker-credential-test'),
      '#!/bin/sh\nread server\necho "{\\"ServerURL\\":\\"$server\\",\\"Username\\":\\"ada\\",\\"Secret\\":\\"lovelace\\"}"\n',
      {
        mode: 0o755,
      },
    )
    writeFileSync(join(docker, 'config.json'), JSON.stringify({ credHelpers: { [host]: 'test' } }))
    const helped = openStore(t, join(home, 'five'), {
      registries: { caFiles: [ca], env: { DOCKER_CONFIG: docker, PATH: `${bin}:${process.env.PATH}` } },
    })
    t.equal((await helped.pull(name)).image.id, image.id, 'credentials from a helper')

    const machine = openStore(t, join(home, 'six'), { registries: { env: { SSL_CERT_FILE: ca } } })
    t.equal((await machine.pull(name, { auth })).image.id, image.id, 'an authority that the machine trusts')

    // A mirror that takes connections and says nothing: only dial_timeout ends that.
    const silent = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1')
    await new Promise((resolve) => silent.once('listening', resolve))
    t.teardown(() => silent.close())
    const mirrored = join(home, 'mirrored.d')
    mkdirSync(join(mirrored, host), { recursive: true })
    const mirror = `[host."https://127.0.0.1:${(silent.address() as AddressInfo).port}"]\ndial_timeout = "100ms"\n`
    writeFileSync(join(mirrored, host, 'hosts.toml'), `server = "https://${host}"\nca = "${ca}"\n${mirror}`)
    const patient = openStore(t, join(home, 'seven'), { registries: { hostFolders: [mirrored], timeoutMs: 3_600_000 } })
    t.equal((await patient.pull(name, { auth })).image.id, image.id, 'the registry is asked when the mirror does not answer')
  },
)

t.test(
  'skopeo reads what we push, and we read what skopeo pushes',
  { skip: needs('docker-registry', 'skopeo', 'umoci'), timeout: 300_000 },
  async (t) => {
    const home = folder(t)
    const { host } = await startRegistry(t)
    const store = openStore(t, join(home, 'store'))
    const image = await makeImage(store, home, `${host}/ours:v1`)
    await store.push(`${host}/ours:v1`)
    const skopeo = (...args: readonly string[]): string =>
      execFileSync('skopeo', ['--insecure-policy', ...args], {
        encoding: 'utf8',
        env: { ...process.env, TMPDIR: home },
        stdio: ['ignore', 'pipe', 'pipe'],
      })
    const inspected = JSON.parse(skopeo('inspect', '--tls-verify=false', `docker://${host}/ours:v1`)) as { Layers: string[] }
    t.same(
      inspected.Layers,
      image.layers.map(({ digest }) => digest),
    )
    // Rewritten by skopeo into Docker's schema 2 and under another name.
    skopeo(
      'copy',
      '--format',
      'v2s2',
      '--src-tls-verify=false',
      '--dest-tls-verify=false',
      `docker://${host}/ours:v1`,
      `docker://${host}/theirs:v2`,
    )
    const theirs = await store.pull(`${host}/theirs:v2`)
    t.match(theirs.image.manifest.mediaType, /docker/)
    t.same(theirs.image.diffIds, image.diffIds)
    t.equal(theirs.downloaded, 0, 'the layers were here already')

    // An image made by umoci, with a second layer that deletes.
    const oci = join(home, 'oci')
    const umoci = (...args: readonly string[]): void => void execFileSync('umoci', args, { stdio: 'pipe' })
    umoci('init', '--layout', oci)
    umoci('new', '--image', `${oci}:v1`)
    umoci('unpack', '--image', `${oci}:v1`, join(home, 'bundle'))
    writeFileSync(join(home, 'bundle/rootfs/gone'), 'x')
    mkdirSync(join(home, 'bundle/rootfs/keep'))
    writeFileSync(join(home, 'bundle/rootfs/keep/it'), 'kept')
    umoci('repack', '--image', `${oci}:v1`, join(home, 'bundle'))
    execFileSync('rm', ['-rf', join(home, 'bundle')])
    umoci('unpack', '--image', `${oci}:v1`, join(home, 'bundle'))
    execFileSync('rm', [join(home, 'bundle/rootfs/gone')])
    umoci('repack', '--image', `${oci}:v1`, join(home, 'bundle'))
    skopeo('copy', '--dest-tls-verify=false', `oci:${oci}:v1`, `docker://${host}/umoci:v1`)
    const { image: made } = await store.pull(`${host}/umoci:v1`)
    t.equal(made.diffIds.length, 2)
    // The plain copy needs no mount.
    const flat = openStore(t, join(home, 'store'), { snapshotter: 'copy' })
    const [mount] = await flat.snapshot.prepare('flat', made)
    t.same(readdirSync(mount?.source ?? ''), ['keep'])
    t.equal(readFileSync(join(mount?.source ?? '', 'keep/it'), 'utf8'), 'kept')
  },
)
