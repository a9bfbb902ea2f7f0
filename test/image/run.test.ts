// Images that run: ours under Debian's podman, podman's under us; and the command. Needs root and Debian's packages.
import { execFileSync } from 'node:child_process'
import { copyFileSync, createReadStream, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { image as command } from '../../src/image/command.js'
import type { Image, ImageStore } from '../../src/image/index.js'
import type { CommandIo } from '../../src/lib/index.js'
import { mount, unmount } from '../../src/sys/index.js'
import { folder, needs, openStore, startRegistry } from './fixture.js'

// A shared machine may be slow; nothing here waits for long by itself.
t.setTimeout(300_000)

function busyboxRoot(root: string, text: string): string {
  mkdirSync(join(root, 'bin'), { recursive: true })
  copyFileSync('/bin/busybox', join(root, 'bin/busybox'))
  writeFileSync(join(root, 'bin/hello'), `#!/bin/busybox sh\necho ${text}\n`, { mode: 0o755 })
  for (const name of ['proc', 'sys', 'dev', 'etc', 'tmp']) mkdirSync(join(root, name))
  return root
}

/** Runs a program of the podman family on storage of its own below `home`. */
const containers =
  (home: string, program: string, ...options: readonly string[]) =>
  (...args: readonly string[]): string =>
    execFileSync(
      program,
      ['--root', join(home, program), '--runroot', join(home, `${program}-run`), '--storage-driver', 'vfs', ...options, ...args],
      {
        encoding: 'utf8',
        env: { ...process.env, TMPDIR: home },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    )

/** What `/bin/hello` says in a root made of the image. */
async function hello(store: ImageStore, image: Image): Promise<string> {
  const mounts = await store.snapshot.prepare('run', image)
  for (const each of mounts) mount(each)
  const root = mounts[0]?.target ?? ''
  try {
    return execFileSync('chroot', [root, '/bin/hello'], { encoding: 'utf8' })
  } finally {
    unmount(root)
  }
}

t.test(
  'podman runs what we pushed, and what podman pushed runs from our snapshot',
  { skip: needs('docker-registry', 'podman', 'busybox', 'runc') },
  async (t) => {
    const home = folder(t)
    const { host } = await startRegistry(t)
    const store = openStore(t, join(home, 'store'))
    await store.import(busyboxRoot(join(home, 'root'), 'made by knarr'), { name: `${host}/ours:v1`, config: { Cmd: ['/bin/hello'] } })
    await store.push(`${host}/ours:v1`)
    const cgroup = `knarr-image-${process.pid}`
    t.teardown(() => {
      for (const controller of readdirSync('/sys/fs/cgroup')) {
        const path = join('/sys/fs/cgroup', controller, cgroup)
        if (existsSync(path)) execFileSync('find', [path, '-depth', '-type', 'd', '-exec', 'rmdir', '{}', ';'])
      }
      if (existsSync(join('/sys/fs/cgroup', cgroup)))
        execFileSync('find', [join('/sys/fs/cgroup', cgroup), '-depth', '-type', 'd', '-exec', 'rmdir', '{}', ';'])
    })
    const podman = containers(home, 'podman', '--cgroup-manager', 'cgroupfs', '--runtime', 'runc')
    podman('pull', '--tls-verify=false', '-q', `${host}/ours:v1`)
    t.equal(
      podman(
        'run',
        '--rm',
        '--network',
        'none',
        '--ulimit',
        'nofile=1024:1024',
        '--ulimit',
        'nproc=1024:1024',
        '--cgroup-parent',
        `/${cgroup}`,
        `${host}/ours:v1`,
      ),
      'made by knarr\n',
    )
    podman('tag', `${host}/ours:v1`, `${host}/theirs:v1`)
    podman('push', '--tls-verify=false', '-q', '--format', 'v2s2', '--compression-format', 'gzip', `${host}/theirs:v1`)
    const other = openStore(t, join(home, 'other'))
    const { image } = await other.pull(`${host}/theirs:v1`)
    t.same(image.config.config?.Cmd, ['/bin/hello'])
    t.equal(await hello(other, image), 'made by knarr\n')
  },
)

t.test(
  'buildah builds on what we pushed and from nothing, and what it pushes runs',
  { skip: needs('docker-registry', 'buildah', 'busybox') },
  async (t) => {
    const home = folder(t)
    const { host } = await startRegistry(t)
    const store = openStore(t, join(home, 'store'))
    const root = busyboxRoot(join(home, 'root'), 'made by knarr')
    const [ours] = await store.import(root, { name: `${host}/ours:v1`, config: { Cmd: ['/bin/hello'] } })
    await store.push(`${host}/ours:v1`)
    const buildah = containers(home, 'buildah')
    t.teardown(() => buildah('rm', '--all'))

    const script = join(home, 'hello')
    writeFileSync(script, '#!/bin/busybox sh\necho made by buildah\n', { mode: 0o755 })
    const built = buildah('from', '--tls-verify=false', `${host}/ours:v1`).trim()
    buildah('copy', built, script, '/bin/hello')
    buildah('config', '--env', 'BY=buildah', '--label', 'kind=test', built)
    for (const format of ['oci', 'docker']) {
      buildah('commit', '-q', '--format', format, built, `${host}/theirs:${format}`)
      buildah('push', '-q', '--tls-verify=false', `${host}/theirs:${format}`)
      const other = openStore(t, join(home, format))
      const { image } = await other.pull(`${host}/theirs:${format}`)
      t.match(image.manifest.mediaType, new RegExp(format))
      t.equal(image.diffIds[0], ours?.diffIds[0], 'our layer is its lowest')
      t.match(image.config.config, { Cmd: ['/bin/hello'], Env: [/^PATH=/, 'BY=buildah'], Labels: { kind: 'test' } })
      t.equal(await hello(other, image), 'made by buildah\n')
    }

    const scratch = buildah('from', 'scratch').trim()
    buildah('copy', scratch, root, '/')
    buildah('commit', '-q', scratch, `${host}/scratch:v1`)
    buildah('push', '-q', '--tls-verify=false', `${host}/scratch:v1`)
    const { image } = await store.pull(`${host}/scratch:v1`)
    t.equal(await hello(store, image), 'made by knarr\n')
  },
)

t.test('the command: pull, list, history, tag, export, import, remove, prune', { skip: needs('docker-registry', 'busybox') }, async (t) => {
  const home = folder(t)
  const { host } = await startRegistry(t)
  const runWith = async (stdin: NodeJS.ReadableStream, ...argv: readonly string[]) => {
    let out = ''
    let err = ''
    const io: CommandIo = {
      stdin,
      stdout: {
        write(text) {
          out += text
        },
      },
      stderr: {
        write(text) {
          err += text
        },
      },
      env: { PATH: process.env.PATH },
      signal: new AbortController().signal,
    }
    const [sub = '', ...rest] = argv
    const code = await command.run([sub, '--root', join(home, 'store'), ...rest], io)
    return { code, out, err }
  }
  const run = (...argv: readonly string[]) => runWith(process.stdin, ...argv)
  const root = busyboxRoot(join(home, 'root'), 'hello')
  t.match((await run('import', root, `${host}/app:v1`, '--cmd', '/bin/hello', '-e', 'A=b')).out, /^imported 127.0.0.1:\d+\/app:v1 sha256:/)
  const pushed = await run('push', `${host}/app:v1`)
  t.match(pushed.out, /^pushed 127.0.0.1:\d+\/app@sha256:[0-9a-f]{64} \(1\.\d MB uploaded\)\n$/)
  t.match(pushed.err, /^layer [0-9a-f]{12} pushed 1\.\d MB( [\d.]+ .?B\/s)?\n$/)
  const twice = await run('push', '-o', 'json', `${host}/app:v1`)
  t.match(JSON.parse(twice.out), { uploaded: 0 })
  t.equal(twice.err, '', 'nothing but JSON')
  t.match((await run('push', `${host}/app:v1`)).err, /^layer [0-9a-f]{12} already there 1\.\d MB\n$/)
  t.match((await run('push', '-q', `${host}/app:v1`)).out, /^sha256:[0-9a-f]{64}\n$/)
  t.match((await run('remove', `${host}/app:v1`)).out, /^removed /)
  t.match((await run('prune')).out, /^freed \d/)
  const pulled = await run('pull', `${host}/app:v1`)
  t.match(pulled.err, /^layer [0-9a-f]{12} pulled 1\.\d MB( [\d.]+ .?B\/s)?\n$/, 'one plain line for a pipe')
  t.match(pulled.out, /^pulled .* \(1\.\d MB downloaded\)\n$/)
  t.match(await run('pull', '-q', `${host}/app:v1`), { out: /^sha256:[0-9a-f]{64}\n$/, err: '' })
  t.match((await run('pull', `${host}/app:v1`)).out, /^pulled .* \(nothing to download\)\n$/)
  t.match(JSON.parse((await run('pull', '-o', 'json', `${host}/app:v1`)).out), {
    downloaded: 0,
    config: { config: { Cmd: ['/bin/hello'], Env: ['A=b'] } },
  })
  await run('tag', `${host}/app:v1`, 'other/name:v2')
  t.match((await run('list')).out, /^NAME +ID +PLATFORM +SIZE +AGE\n127[^\n]*\nother\/name:v2 +[0-9a-f]{12} +linux\/\w+ +1\.\d MB +\w+/)
  t.match((await run('history', 'other/name:v2')).out, /knarr image import +imported root file system/)
  t.match(JSON.parse((await run('inspect', 'other/name:v2')).out), [{ repoTags: [/app:v1$/, 'docker.io/other/name:v2'] }])
  const archive = join(home, 'x.tar')
  await run('export', archive, 'other/name:v2')
  t.ok(readFileSync(archive).length > 1_000_000)
  await run('remove', 'other/name:v2')
  t.match((await run('import', archive)).out, /^imported /)
  await t.rejects(run('inspect', 'not/here'), {
    message: 'image "not/here:latest" is not here: \'knarr image pull not/here:latest\' fetches it',
  })
  const piped = await runWith(createReadStream(archive), 'import', '-')
  t.match(piped.out, /^imported docker.io\/other\/name:v2 sha256:/m, 'from standard input')
  const tar = execFileSync('tar', ['-C', root, '-cf', '-', '.'], { maxBuffer: 2 ** 26 })
  writeFileSync(join(home, 'root.tar'), tar)
  t.match((await run('import', join(home, 'root.tar'), 'made/of-a-tar')).out, /^imported docker.io\/made\/of-a-tar:latest sha256:/)
  await t.rejects(run('import', join(home, 'root.tar')), { cause: { message: /name/ } })
  await t.rejects(run('import', '--layer-limit', '10000', join(home, 'root.tar'), 'too/large'), {
    cause: { message: /it unpacks to more than the allowed 10000 bytes/ },
  })
  await run('push', `${host}/app:v1`)
  await t.rejects(run('pull', '--root', join(home, 'small'), '--layer-limit', '10000', `${host}/app:v1`), {
    cause: { cause: { message: /it unpacks to more than the allowed 10000 bytes/ } },
  })
  t.match((await run('ls', '-q')).out, /^(sha256:[0-9a-f]{64}\n){2}$/)
  t.match((await run('rm', 'made/of-a-tar')).out, /^removed docker.io\/made\/of-a-tar:latest\n$/)
  t.match(JSON.parse((await run('prune', '-o', 'json')).out), { removedLayers: 1 })
  await t.rejects(run('nothing'), { name: 'UsageError' })
  await t.rejects(run('tag', 'one'), { message: 'usage: knarr image tag IMAGE NAME' })
})

t.test('on a terminal a layer has one line, drawn over until it is pulled', { skip: needs('docker-registry', 'script') }, async (t) => {
  const home = folder(t)
  const { host } = await startRegistry(t)
  const maker = openStore(t, join(home, 'maker'))
  const [image] = await maker.import(busyboxRoot(join(home, 'root'), 'hello'), { name: `${host}/app:v1` })
  await maker.push(`${host}/app:v1`)
  const main = join(import.meta.dirname, '../../src/cli/main.js')
  const onTerminal = (command: string): string => {
    const line = `stty cols 120 rows 30; '${process.execPath}' '${main}' image ${command} --root '${home}/store' ${host}/app:v1`
    return execFileSync('script', ['-qec', line, '/dev/null'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
  }
  const layer = image?.layers[0]?.digest.slice(7, 19)
  const shown = onTerminal('pull').replaceAll('\u001b', '^').split('\r\n')
  t.match(shown[0], new RegExp(`^\\r${layer}  waiting`), 'first it waits')
  t.ok(
    shown.slice(1, -2).every((line) => line.startsWith(`^[1A\r${layer}  `)),
    'then the line is drawn over',
  )
  t.match(shown.at(-3), / {2}pulled {9}1\.\d MB( {2}[\d.]+ .?B\/s)?\^\[K$/)
  t.match(shown.at(-2), /^pulled 127\.0\.0\.1.* \(1\.\d MB downloaded\)$/)
  t.match(onTerminal('pull -q'), /^sha256:[0-9a-f]{64}\r\n$/, 'only the digest')
  t.match(onTerminal('pull -o json'), /^\{.*\}\r\n$/, 'only JSON')
})
