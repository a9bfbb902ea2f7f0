// Images that run: ours under Debian's podman, podman's under us, and Debian's nginx from a registry. Needs root and Debian's packages.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { image as command } from '../../src/image/command.js'
import type { CommandIo } from '../../src/lib/index.js'
import { mount, unmount } from '../../src/sys/index.js'
import { folder, freePort, needs, openStore, startRegistry } from './fixture.js'

// A shared machine may be slow; nothing here waits for long by itself.
t.setTimeout(300_000)

function busyboxRoot(root: string, text: string): string {
  mkdirSync(join(root, 'bin'), { recursive: true })
  copyFileSync('/bin/busybox', join(root, 'bin/busybox'))
  writeFileSync(join(root, 'bin/hello'), `#!/bin/busybox sh\necho ${text}\n`, { mode: 0o755 })
  for (const name of ['proc', 'sys', 'dev', 'etc', 'tmp']) mkdirSync(join(root, name))
  return root
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
    const podman = (...args: readonly string[]): string =>
      execFileSync(
        'podman',
        [
          '--root',
          join(home, 'podman'),
          '--runroot',
          join(home, 'podman-run'),
          '--storage-driver',
          'vfs',
          '--cgroup-manager',
          'cgroupfs',
          '--runtime',
          'runc',
          ...args,
        ],
        {
          encoding: 'utf8',
          env: { ...process.env, TMPDIR: home },
          stdio: ['ignore', 'pipe', 'pipe'],
        },
      )
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
    const mounts = await other.snapshot.prepare('run', image)
    for (const each of mounts) mount(each)
    try {
      t.equal(execFileSync('chroot', [mounts[0]?.target ?? '', '/bin/hello'], { encoding: 'utf8' }), 'made by knarr\n')
    } finally {
      unmount(mounts[0]?.target ?? '')
    }
  },
)

/** Debian's nginx with everything it needs, as a root of its own. */
function nginxRoot(root: string, port: number): void {
  const copy = (path: string): void => {
    const real = realpathSync(path)
    for (const each of new Set([path, real])) {
      const target = join(root, each)
      if (existsSync(target)) continue
      mkdirSync(dirname(target), { recursive: true })
      copyFileSync(real, target)
    }
  }
  const binary = '/usr/sbin/nginx'
  copy(binary)
  for (const [, path] of execFileSync('ldd', [binary], { encoding: 'utf8' }).matchAll(/(\/\S+)/g)) if (path) copy(path)
  for (const path of execFileSync('dpkg', ['-L', 'nginx-common'], { encoding: 'utf8' }).split('\n'))
    if (path.startsWith('/etc/nginx/') && lstatSync(path).isFile()) copy(path)
  for (const name of ['var/log/nginx', 'var/lib/nginx', 'run', 'tmp', 'dev', 'srv']) mkdirSync(join(root, name), { recursive: true })
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0::/:/bin/sh\nwww-data:x:33:33::/:/bin/sh\n')
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\nwww-data:x:33:\n')
  writeFileSync(join(root, 'srv/index.html'), 'served from an image\n')
  writeFileSync(
    join(root, 'etc/nginx/knarr.conf'),
    `daemon off;\nuser www-data;\npid /run/nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\n  include mime.types;\n  access_log off;\n  server {\n    listen 127.0.0.1:${port};\n    root /srv;\n  }\n}\n`,
  )
}

t.test(
  "an image of Debian's nginx is pulled, unpacked and serves",
  { skip: needs('docker-registry', 'nginx', 'ldd', 'dpkg') },
  async (t) => {
    const home = folder(t)
    const { host } = await startRegistry(t)
    const port = await freePort()
    const maker = openStore(t, join(home, 'maker'))
    nginxRoot(join(home, 'root'), port)
    await maker.import(join(home, 'root'), {
      name: `${host}/nginx:debian`,
      config: { Entrypoint: ['/usr/sbin/nginx'], Cmd: ['-c', '/etc/nginx/knarr.conf'] },
    })
    await maker.push(`${host}/nginx:debian`)
    const store = openStore(t, join(home, 'store'))
    const { image } = await store.pull(`${host}/nginx:debian`)
    const mounts = await store.snapshot.prepare('nginx', image)
    const root = mounts[0]?.target ?? ''
    for (const each of mounts) mount(each)
    const argv = [...(image.config.config?.Entrypoint ?? []), ...(image.config.config?.Cmd ?? [])]
    const server = spawn('chroot', [root, ...argv], { stdio: ['ignore', 'ignore', 'pipe'] })
    let log = ''
    server.stderr.on('data', (chunk) => {
      log += chunk
    })
    try {
      let body = ''
      while (body === '') {
        if (server.exitCode !== null) throw new Error(`nginx ended: ${log}`)
        body = await fetch(`http://127.0.0.1:${port}/index.html`).then(
          (response) => response.text(),
          () => '',
        )
        if (body === '') await new Promise((resolve) => setTimeout(resolve, 20))
      }
      t.equal(body, 'served from an image\n')
    } finally {
      server.kill('SIGTERM')
      if (server.exitCode === null) await once(server, 'exit')
      unmount(root, { detach: true })
    }
  },
)

t.test('the command: pull, list, history, tag, export, import, remove, prune', { skip: needs('docker-registry', 'busybox') }, async (t) => {
  const home = folder(t)
  const { host } = await startRegistry(t)
  const run = async (...argv: readonly string[]) => {
    let out = ''
    let err = ''
    const io: CommandIo = {
      stdin: process.stdin,
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
  const root = busyboxRoot(join(home, 'root'), 'hello')
  t.match((await run('import', root, `${host}/app:v1`, '--cmd', '/bin/hello', '-e', 'A=b')).out, /^imported 127.0.0.1:\d+\/app:v1 sha256:/)
  t.match((await run('push', `${host}/app:v1`)).out, /^pushed 127.0.0.1:\d+\/app@sha256:[0-9a-f]{64} \(1\.\d MB uploaded\)\n$/)
  t.match((await run('push', '-o', 'json', `${host}/app:v1`)).out, /"uploaded":0/)
  t.match((await run('remove', `${host}/app:v1`)).out, /^removed /)
  t.match((await run('prune')).out, /^freed \d/)
  const pulled = await run('pull', `${host}/app:v1`)
  t.match(pulled.err, /^layer [0-9a-f]{12} pulled 1\.\d MB\n$/, 'one plain line for a pipe')
  t.match(pulled.out, /^pulled .* \(1\.\d MB downloaded\)\n$/)
  t.match((await run('pull', '-q', `${host}/app:v1`)).out, /^sha256:[0-9a-f]{64}\n$/)
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
  await t.rejects(run('nothing'), { name: 'UsageError' })
  await t.rejects(run('tag', 'one'), { message: 'usage: knarr image tag IMAGE NAME' })
})
