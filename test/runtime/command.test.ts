// `knarr oci` as its callers use it: by hand, beneath podman, beneath containerd's ctr. Needs root.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, existsSync, mkdirSync, openSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import Module from 'node:module'
import { join } from 'node:path'
import { Script } from 'node:vm'
import t from 'tap'
import type { Spec } from '../../src/runtime/index.js'
import { cgroupLayout, openCgroup } from '../../src/sys/index.js'
import { has, leftovers, scene, skip } from './scene.js'

t.setTimeout(240_000)
const home = join(import.meta.dirname, '../../..')
const binary = join(home, 'knarr-oci')

function oci(root: string): (...args: readonly string[]) => { code: number | null; out: string; err: string } {
  return (...args) => {
    const { status, stdout, stderr } = spawnSync(binary, ['--root', root, ...args], { encoding: 'utf8', timeout: 60_000 })
    return { code: status, out: stdout, err: stderr }
  }
}

t.test('the life of a container, command by command', { skip }, async (t) => {
  const s = scene(t)
  const root = join(s.folder, 'oci')
  const run = oci(root)
  const write = (spec: Spec): void => writeFileSync(join(s.bundle, 'config.json'), JSON.stringify(spec))
  write(s.spec(['sh', '-c', 'echo out; echo err >&2; exit 7']))
  t.same(run('run', '-b', s.bundle, 'a'), { code: 7, out: 'out\n', err: 'err\n' })
  t.same(run('state', 'a').code, 1, 'run removes it')

  write(s.spec(['sleep', '1000']))
  // Its output must not be the pipe that we read to its end.
  const detached = (...args: readonly string[]): number | null =>
    spawnSync(binary, ['--root', root, ...args], { stdio: 'ignore', timeout: 60_000 }).status
  t.equal(detached('create', '--bundle', s.bundle, '--pid-file', join(s.folder, 'pid'), 'b'), 0)
  t.teardown(() => run('delete', '--force', 'b'))
  const created = JSON.parse(run('state', 'b').out) as Record<string, unknown>
  t.match(created, { ociVersion: '1.3.0', id: 'b', status: 'created', bundle: s.bundle, rootfs: s.rootfs })
  t.equal(String(created.pid), readFileSync(join(s.folder, 'pid'), 'utf8'))
  t.equal(run('start', 'b').code, 0)
  t.match(run('start', 'b'), { code: 1, err: /cannot start a container in the running state/ })
  t.match(run('create', '-b', s.bundle, 'b'), { code: 1, err: /container with given ID already exists: b/ })
  t.match(run('list', '-f', 'json').out, /"id":"b".*"status":"running"/)
  t.equal(run('list', '-q').out, 'b\n')
  t.same(run('exec', 'b', 'sh', '-c', 'echo in; hostname; exit 4'), { code: 4, out: 'in\nknarr\n', err: '' })
  t.same(run('exec', '-u', '1:2', '-e', 'X=y', '--cwd', '/tmp', 'b', 'sh', '-c', 'id -u; id -g; echo $X; pwd').out, '1\n2\ny\n/tmp\n')
  t.match(run('exec', 'b', 'nope'), { code: 255, err: /executable file not found in \$PATH/ })
  t.match(run('ps', '-f', 'json', 'b').out, new RegExp(`\\[${String(created.pid)}\\]`))
  t.equal(run('pause', 'b').code, 0)
  t.equal((JSON.parse(run('state', 'b').out) as { status: string }).status, 'paused')
  t.equal(run('resume', 'b').code, 0)
  t.equal(run('update', '--pids-limit', '33', '--memory', '64m', 'b').code, 0)
  const stats = JSON.parse(run('events', '--stats', 'b').out) as { data: { pids: object; memory: { usage: object } } }
  t.match(stats.data, { pids: { limit: 33 }, memory: { usage: { limit: 64 << 20 } } })
  t.match(run('delete', 'b'), { code: 1, err: /not stopped/ })
  t.equal(run('kill', 'b', 'KILL').code, 0)
  for (let left = 100; left > 0 && !run('state', 'b').out.includes('stopped'); left--);
  t.match(JSON.parse(run('state', 'b').out), { status: 'stopped', pid: 0 })
  t.equal(run('delete', 'b').code, 0)
  t.match(run('delete', 'b'), { code: 1, err: /container does not exist/ })
  t.equal(run('delete', '--force', 'b').code, 0)
})

t.test('what goes wrong on the way, and what is only said', { skip }, async (t) => {
  const s = scene(t)
  const run = oci(join(s.folder, 'oci'))
  const write = (spec: Spec): void => writeFileSync(join(s.bundle, 'config.json'), JSON.stringify(spec))
  writeFileSync(join(s.rootfs, 'run.sh'), '#!/no/such/shell\n', { mode: 0o755 })
  write(s.spec(['/run.sh']))
  t.same(run('run', '-b', s.bundle, 'a'), { code: 1, out: '', err: 'exec /run.sh: no such file or directory\n' })
  const sets = {
    bounding: ['CAP_KILL', 'NONSENSE'],
    permitted: ['CAP_KILL'],
    inheritable: ['CAP_KILL'],
    ambient: ['CAP_KILL', 'CAP_CHOWN'],
  }
  write(s.spec(['grep', 'CapAmb', '/proc/self/status'], { process: { capabilities: sets } }))
  const { code, out, err } = run('--debug', 'run', '-b', s.bundle, 'a')
  t.equal(code, 0)
  t.match(out, /CapAmb:\t0000000000000020/)
  t.match(err, /level=warning msg="ignoring unknown or unavailable capabilities: NONSENSE"/)
  t.match(err, /level=warning msg="can't raise ambient capability CAP_CHOWN: /)
  t.match(err, /level=debug msg="knarr-oci run -b .* a"\n/)
  t.match(err, /level=debug msg="container a: process \d+ in cgroup \/.*"\n/)
  const log = join(s.folder, 'log')
  t.equal(run('--debug', '--log', log, '--log-format', 'json', 'run', '-b', s.bundle, 'a').err, '', 'into the log alone')
  t.match(readFileSync(log, 'utf8'), /"level":"debug","msg":"container a: /)
  write(s.spec(['sh', '-c', 'read x'], { spec: { hooks: { poststart: [{ path: '/bin/false' }] } } }))
  t.match(run('run', '-b', s.bundle, 'a'), { code: 1, err: /error running poststart hook #0: / })
  t.match(run('state', 'a'), { code: 1 }, 'it was ended and removed')
  // The fourth is the folder that ls reads; what the caller has open beside its standard streams is not for hooks.
  write(s.spec(['true'], { spec: { hooks: { startContainer: [{ path: '/bin/sh', args: ['sh', '-c', 'ls /proc/self/fd >&2'] }] } } }))
  const hooked = spawnSync(binary, ['--root', join(s.folder, 'oci'), 'run', '-b', s.bundle, 'a'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe', 'inherit', openSync('/dev/null', 'r')],
  })
  t.match(hooked, { status: 0, stderr: '0\n1\n2\n3\n' })
  write(s.spec(['true'], { process: { selinuxLabel: 'system_u:system_r:container_t:s0' } }))
  if (!existsSync('/sys/fs/selinux/enforce'))
    t.match(run('run', '-b', s.bundle, 'a'), { code: 1, err: /selinuxLabel: SELinux is disabled or not supported/ })
  t.same(await leftovers(s), [])
})

t.test('exec --cgroup', { skip: skip || (cgroupLayout().mode === 'v2' ? 'needs cgroup v1' : false) }, async (t) => {
  const s = scene(t)
  const run = oci(join(s.folder, 'oci'))
  const spec = s.spec(['sleep', '1000'])
  const path = spec.linux?.cgroupsPath ?? ''
  writeFileSync(join(s.bundle, 'config.json'), JSON.stringify(spec))
  spawnSync(binary, ['--root', join(s.folder, 'oci'), 'run', '-d', '-b', s.bundle, 'a'], { stdio: 'ignore' })
  t.teardown(() => run('delete', '--force', 'a'))
  mkdirSync(`${cgroupLayout().v1.memory}${path}/sub`)
  const show = ['a', 'cat', '/proc/self/cgroup']
  const joined = run('exec', '--cgroup', 'memory:sub', ...show).out
  t.match(joined, /:memory:\/sub\n/)
  t.match(joined, /:pids:\/\n/)
  t.notMatch(run('exec', '--cgroup', '/', ...show).out, /sub/)
  t.match(run('exec', '--cgroup', '..', ...show), { code: 255, err: /bad sub cgroup path/ })
  t.match(run('exec', '--cgroup', 'nowhere', ...show), { code: 255, err: / adding pid to cgroups .*no such file or directory/ })
  t.match(run('exec', '--cgroup', 'nonsense:/', ...show), { code: 255, err: /unknown controller / })
})

t.test('messages, log, spec, features, explain', { skip }, async (t) => {
  const s = scene(t)
  const run = oci(join(s.folder, 'oci'))
  const log = join(s.folder, 'log')
  t.match(run('--log', log, '--log-format', 'json', 'state', 'nobody'), { code: 1, err: 'container does not exist: nobody\n' })
  t.match(JSON.parse(readFileSync(log, 'utf8')), { level: 'error', msg: 'container does not exist: nobody' })
  t.match(run('--help').out, /^NAME:\n {3}knarr-oci - /)
  t.match(run('update', '-h').out, /^NAME:\n {3}knarr-oci update - .*--pids-limit/s)
  const alias = join(s.folder, 'runc')
  symlinkSync(binary, alias)
  t.match(
    spawnSync(alias, ['kill', '--help'], { encoding: 'utf8' }).stdout,
    /^NAME:\n {3}runc kill - /,
    'under the name that it was called by',
  )
  t.match(run('nonsense', '-h'), { code: 1, err: /No help topic for 'nonsense'/ })
  t.match(run('checkpoint', 'x'), { code: 1, err: /need CRIU/ })
  t.match(run('exec', 'nobody', 'true'), { code: 255, err: /container does not exist/ })
  t.match(run('list'), { code: 1, err: /there is no folder/ })
  t.match(run('--wrong'), { code: 1, err: /unknown flag: --wrong/ })
  t.match(run('--version').out, /^knarr-oci version .*\ncommit: .*\nspec: 1\.3\.0\n/)
  const folder = join(s.folder, 'spec')
  mkdirSync(folder)
  t.equal(run('spec', '-b', folder).code, 0)
  t.match(run('spec', '-b', folder), { code: 1, err: /config\.json exists/ })
  t.match(JSON.parse(run('features').out), { ociVersionMax: '1.3.0', linux: { seccomp: { enabled: true } } })
  writeFileSync(join(s.bundle, 'config.json'), JSON.stringify({ ...s.spec(['true']), root: undefined }))
  t.match(run('run', '-b', s.bundle, 'x'), { code: 1, err: /root: want a value/ })
  writeFileSync(join(s.bundle, 'config.json'), JSON.stringify(s.spec(['true'])))
  const { out } = run('explain', s.bundle)
  t.match(out, /^launcher:\n/)
  for (const line of ['mount /proc: mount', 'pivot root', 'drop CAP_SYS_ADMIN', 'wait for start', 'exec: "true"'])
    t.ok(out.includes(line), line)
  t.notOk(existsSync(join(s.folder, 'oci', 'explained')), 'nothing was made')
})

t.test('podman runs with it', { skip: skip || (has('podman') ? false : 'needs podman') }, async (t) => {
  const s = scene(t)
  const podman = (...args: readonly string[]): { code: number | null; out: string; err: string } => {
    const options = [
      '--root',
      join(s.folder, 'podman'),
      '--runroot',
      join(s.folder, 'podman-run'),
      '--tmpdir',
      join(s.folder, 'podman-tmp'),
    ]
    // For the first container of a pod no limits can be given.
    const settings = join(s.folder, 'containers.conf')
    writeFileSync(settings, '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]\n')
    const { status, stdout, stderr } = spawnSync(
      'podman',
      [...options, '--storage-driver', 'vfs', '--cgroup-manager', 'cgroupfs', '--events-backend', 'none', '--runtime', binary, ...args],
      { encoding: 'utf8', timeout: 120_000, env: { ...process.env, CONTAINERS_CONF: settings } },
    )
    return { code: status, out: stdout, err: stderr }
  }
  const archive = join(s.folder, 'image.tar')
  spawnSync('tar', ['-C', s.rootfs, '-cf', archive, '.'])
  t.equal(podman('import', archive, 'busybox').code, 0)
  t.teardown(() => podman('rm', '--all', '--force', '--time', '0'))
  // This machine may not let limits be raised beyond its own.
  const options = ['--network', 'none', '--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1000:1000']
  t.match(podman('run', '--rm', ...options, '--memory', '64m', 'busybox', 'sh', '-c', 'echo hello; exit 3'), { code: 3, out: 'hello\n' })
  t.match(podman('run', '--rm', ...options, '-t', 'busybox', 'tty'), { code: 0, out: /\/dev\/pts\/0|\/dev\/console/ })
  t.match(podman('run', '--rm', ...options, 'busybox', 'nope'), { code: 127 })
  t.equal(podman('run', '-d', '--name', 'box', ...options, 'busybox', 'sh', '-c', 'echo logged; sleep 1000').code, 0)
  t.match(podman('exec', 'box', 'sh', '-c', 'hostname; exit 5'), { code: 5 })
  t.equal(podman('logs', 'box').out, 'logged\n')
  t.equal(podman('stop', '--time', '0', 'box').code, 0)
  t.match(podman('inspect', '--format', '{{.State.Status}} {{.State.ExitCode}}', 'box').out, /exited 137/)
  t.equal(podman('rm', 'box').code, 0)

  // A pod: its containers join the namespaces of one that does nothing.
  const infra = ['--infra-image', 'localhost/busybox', '--infra-command', '/bin/sleep 1000']
  t.match(podman('pod', 'create', '--name', 'pair', '--hostname', 'pair', '--network', 'none', ...infra), { code: 0 })
  t.teardown(() => podman('pod', 'rm', '--force', '--time', '0', 'pair'))
  const look = ['busybox', 'sh', '-c', 'hostname; for n in net ipc uts; do readlink /proc/self/ns/$n; done']
  const looks = [0, 1].map(() => podman('run', '--rm', '--pod', 'pair', ...options.slice(2), ...look))
  t.match(looks[0], { code: 0, out: /^pair\nnet:/ })
  t.equal(looks[0]?.out, looks[1]?.out)
  t.equal(podman('pod', 'stop', '--time', '0', 'pair').code, 0)
})

t.test('containerd runs with it', { skip: skip || (has('containerd') && has('ctr') ? false : 'needs containerd and ctr') }, async (t) => {
  const s = scene(t)
  const folder = join(s.folder, 'containerd')
  mkdirSync(folder)
  const socket = join(folder, 'sock')
  writeFileSync(
    join(folder, 'config.toml'),
    `version = 2\nroot = "${folder}/root"\nstate = "${folder}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\n  address = "${socket}"\n`,
  )
  // A namespace of containerd is also the parent group of its containers.
  const id = `knarr-test-${process.pid}`
  const daemon = spawn('containerd', ['--config', join(folder, 'config.toml')], { stdio: 'ignore' })
  const ended = once(daemon, 'exit')
  const ctr = (...args: readonly string[]): { code: number | null; out: string; err: string } => {
    const { status, stdout, stderr } = spawnSync('ctr', ['--address', socket, '--namespace', id, ...args], {
      encoding: 'utf8',
      timeout: 60_000,
    })
    return { code: status, out: stdout, err: stderr }
  }
  t.teardown(async () => {
    ctr('task', 'rm', '--force', id)
    ctr('container', 'rm', id)
    daemon.kill()
    await ended
    await openCgroup(`/${id}`).delete()
  })
  for (let left = 300; left > 0 && ctr('version').code !== 0; left--) await new Promise((resolve) => setTimeout(resolve, 100))
  const options = ['--rootfs', '--runc-binary', binary]
  t.match(ctr('run', '--rm', ...options, s.rootfs, id, '/bin/sh', '-c', 'echo hello; exit 6'), { code: 6, out: 'hello\n' })
  t.equal(ctr('run', '--detach', ...options, s.rootfs, id, '/bin/sleep', '1000').code, 0)
  t.match(ctr('task', 'exec', '--exec-id', 'one', id, '/bin/sh', '-c', 'echo inside; exit 3'), { code: 3, out: 'inside\n' })
  t.match(ctr('task', 'ls').out, new RegExp(`${id} +\\d+ +RUNNING`))
  t.equal(ctr('task', 'kill', '--signal', 'SIGKILL', id).code, 0)
  for (let left = 100; left > 0 && !ctr('task', 'ls').out.includes('STOPPED'); left--)
    await new Promise((resolve) => setTimeout(resolve, 50))
  t.match(ctr('task', 'ls').out, /STOPPED/)
})

t.test('knarr-oci starts from byte code, and without it where V8 refuses it', (t) => {
  const built = join(home, 'dist/knarr')
  const filename = join(built, 'oci-bundle.cjs')
  const cachedData = readFileSync(join(built, 'oci-bundle.cache'))
  const source = Module.wrap(readFileSync(filename, 'latin1'))
  t.equal(new Script(source, { filename, cachedData }).cachedDataRejected, false)
  // As another version of Node would find it, and a package manager that keeps packages apart: koffi's own files only koffi finds.
  const folder = t.testdir({ node_modules: { koffi: t.fixture('symlink', realpathSync(join(home, 'node_modules/koffi'))) } })
  for (const name of ['oci.cjs', 'oci-bundle.cjs']) copyFileSync(join(built, name), join(folder, name))
  cachedData.fill(1, 0, 16)
  writeFileSync(join(folder, 'oci-bundle.cache'), cachedData)
  t.match(execFileSync(process.execPath, [join(folder, 'oci.cjs'), 'features'], { encoding: 'utf8' }), /"ociVersionMin"/)
  rmSync(join(folder, 'oci-bundle.cache'))
  t.match(execFileSync(process.execPath, [join(folder, 'oci.cjs'), '--version'], { encoding: 'utf8' }), /^knarr-oci version/)
  t.end()
})
