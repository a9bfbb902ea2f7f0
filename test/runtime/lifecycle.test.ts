// Containers on the real kernel: what they see, how they end, what survives the daemon. Needs root.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, readdirSync, readFileSync, readSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createRuntime } from '../../src/runtime/index.js'
import { cgroupLayout, openCgroup } from '../../src/sys/index.js'
import { leftovers, scene, skip } from './scene.js'

t.test('a container sees its own system', { skip }, async (t) => {
  const s = scene(t)
  const { code, output } = await s.run(
    s.spec([
      'sh',
      '-c',
      'hostname; echo pid $$; id -u; grep CapEff /proc/self/status; grep NoNewPrivs /proc/self/status; ls /dev | tr "\\n" " "; echo; ' +
        'cat /proc/keys | wc -c; echo x > /proc/sys/kernel/hostname; touch /x; ls /sys/firmware | wc -l; cut -d: -f3 /proc/self/cgroup | sort -u; ' +
        'ls /proc/self/fd | wc -l; echo > /dev/null && echo null; ls /proc/1/fd; exit 7',
    ]),
  )
  t.equal(code, 7)
  t.match(output, /^knarr\npid 1\n0\n/)
  t.match(output, /CapEff:\t0000000020000420/)
  t.match(output, /NoNewPrivs:\t1/)
  for (const name of ['null', 'zero', 'full', 'random', 'urandom', 'tty', 'ptmx', 'pts', 'fd', 'stdin'])
    t.match(output, new RegExp(`\\b${name}\\b`))
  t.match(output, /\n0\n.*hostname: Read-only file system/s, 'masked and read-only paths')
  t.match(output, /touch: \/x: Read-only file system/)
  t.match(output, /Read-only file system\n0\n\/\n4\n/, 'an own root in every hierarchy')
  t.match(output, /\nnull\n0\n1\n2\n$/, 'three descriptors and nothing of ours')
  t.same(await leftovers(s), [])
})

t.test('exit codes, signals, times', { skip }, async (t) => {
  const s = scene(t)
  await s.runtime.create({ id: 'a', bundle: s.bundle, spec: s.spec(['sleep', '1000']) })
  t.equal((await s.runtime.state('a')).status, 'created')
  await s.runtime.start('a')
  t.equal((await s.runtime.state('a')).status, 'running')
  await t.rejects(s.runtime.delete('a'), { code: 'WrongStatus' })
  await t.rejects(s.runtime.start('a'), { code: 'WrongStatus' })
  const waiting = s.runtime.wait('a')
  await s.runtime.kill('a', 'SIGKILL')
  const exit = await waiting
  t.match(exit, { exitCode: 137, signal: 9, oomKilled: false })
  t.ok(exit.startedAt > 0 && exit.finishedAt >= exit.startedAt)
  t.equal((await s.runtime.state('a')).status, 'stopped')
  await t.rejects(s.runtime.kill('a', 'TERM'), { code: 'WrongStatus' })
  await s.runtime.delete('a')
  await t.rejects(s.runtime.state('a'), { code: 'NotFound' })
  t.same(await leftovers(s), [])
})

t.test('one id, one container; ids stay in their folder', { skip }, async (t) => {
  const s = scene(t)
  const results = await Promise.allSettled(
    [1, 2].map(() =>
      createRuntime({ root: s.runtime.files.root }).create({ id: 'same', bundle: s.bundle, spec: s.spec(['sleep', '100']) }),
    ),
  )
  t.same(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
  const lost = results.find((one) => one.status === 'rejected')
  t.match(lost?.reason, { code: 'Exists', message: 'container with given ID already exists: same' })
  for (const id of ['', '.', '..', '../x', 'a/b', 'a\0b', '#x', 'é'])
    await t.rejects(s.runtime.create({ id, bundle: s.bundle, spec: s.spec(['true']) }), { code: 'InvalidId' }, JSON.stringify(id))
  await s.runtime.delete('same', { force: true })
  t.same(await leftovers(s), [])
})

t.test('programs that cannot be executed', { skip }, async (t) => {
  const s = scene(t)
  writeFileSync(join(s.rootfs, 'etc/text'), 'no program')
  await t.rejects(s.runtime.create({ id: 'a', bundle: s.bundle, spec: s.spec(['nowhere']) }), {
    code: 'NotExecutable',
    message: 'exec: "nowhere": executable file not found in $PATH',
  })
  await t.rejects(s.runtime.create({ id: 'a', bundle: s.bundle, spec: s.spec(['/bin/nowhere']) }), {
    code: 'NotExecutable',
    message: 'exec: "/bin/nowhere": no such file or directory',
  })
  await t.rejects(s.runtime.create({ id: 'a', bundle: s.bundle, spec: s.spec(['/etc/text']) }), { message: /permission denied/ })
  t.same(await leftovers(s), [], 'nothing stays of refused ones')
  writeFileSync(join(s.rootfs, 'bin/broken'), '\x7fELF', { mode: 0o755 })
  await s.runtime.create({ id: 'a', bundle: s.bundle, spec: s.spec(['broken']) })
  await t.rejects(s.runtime.start('a'), { code: 'NotExecutable', message: 'exec broken: exec format error' })
  t.match(await s.runtime.wait('a'), { exitCode: 1 })
  await s.runtime.delete('a')
  t.same(await leftovers(s), [])
})

t.test('exec, with and without a terminal', { skip }, async (t) => {
  const s = scene(t)
  const spec = s.spec(['sleep', '1000'])
  await s.runtime.create({ id: 'a', bundle: s.bundle, spec })
  await s.runtime.start('a')
  const process = { ...spec.process, cwd: '/', args: ['sh', '-c', 'hostname; cat /proc/1/comm; id -u; id -G; pwd; exit 5'] }
  const out = s.output()
  const started = await s.runtime.exec('a', {
    process: { ...process, cwd: '/tmp', user: { uid: 1234, gid: 55, additionalGids: [7] } },
    stdio: out.stdio,
  })
  t.match(await started.wait(), { exitCode: 5 })
  t.equal(out.text(), 'knarr\nsleep\n1234\n55 7\n/tmp\n')

  const terminal = await s.runtime.exec('a', {
    process: { ...process, terminal: true, consoleSize: { width: 77, height: 33 }, args: ['sh', '-c', 'tty; stty size; exit 6'] },
  })
  t.match(await terminal.wait(), { exitCode: 6 })
  const bytes = Buffer.alloc(4096)
  t.equal(bytes.toString('utf8', 0, readSync(terminal.terminal as number, bytes)), '/dev/pts/0\r\n33 77\r\n')
  closeSync(terminal.terminal as number)

  await t.rejects(s.runtime.exec('a', { process: { ...process, args: ['nope'] } }), { code: 'NotExecutable' })
  await t.rejects(s.runtime.exec('a', { process: { ...process, args: [] } }), { code: 'InvalidSpec', message: /process\.args/ })
  const killed = await s.runtime.exec('a', { process: { ...process, args: ['sleep', '1000'] } })
  t.same((await s.runtime.pids('a')).length, 2)
  killed.kill(15)
  t.match(await killed.wait(), { exitCode: 143, signal: 15 })
  t.equal(killed.kill(15), false)
  await s.runtime.delete('a', { force: true })
  t.same(await leftovers(s), [])
})

const pure = cgroupLayout().mode === 'v2'

t.test('exec joins the first process where that has gone', { skip: skip || (pure ? false : 'needs cgroup v2 alone') }, async (t) => {
  const s = scene(t)
  // As systemd does as the first process of a container.
  const group = '/sys/fs/cgroup'
  const script = `mkdir ${group}/init; echo 1 > ${group}/init/cgroup.procs; echo +pids > ${group}/cgroup.subtree_control; echo there; sleep 1000`
  const spec = s.spec(['sh', '-c', script])
  const mounts = (spec.mounts ?? []).filter(({ destination }) => destination !== group)
  const writable = { destination: group, type: 'cgroup', source: 'cgroup', options: ['rw', 'nosuid', 'noexec', 'nodev'] }
  const out = s.output()
  await s.runtime.create({ id: 'a', bundle: s.bundle, spec: { ...spec, mounts: [...mounts, writable] }, stdio: out.stdio })
  await s.runtime.start('a')
  while (!out.text().includes('there')) await new Promise((resolve) => setTimeout(resolve, 20))
  const said = s.output()
  const started = await s.runtime.exec('a', {
    process: { ...spec.process, cwd: '/', args: ['cat', '/proc/self/cgroup'] },
    stdio: said.stdio,
  })
  await started.wait()
  t.equal(said.text(), '0::/init\n')
  await s.runtime.delete('a', { force: true })
  t.same(await leftovers(s), [])
})

t.test('a terminal outlives the daemon', { skip }, async (t) => {
  const s = scene(t)
  await s.runtime.create({
    id: 'a',
    bundle: s.bundle,
    spec: s.spec(['sh', '-c', 'read line; echo "got $line"; tty; ls -l /dev/console; sleep 1000'], { process: { terminal: true } }),
  })
  await s.runtime.start('a')
  s.runtime.close()
  const later = createRuntime({ root: s.runtime.files.root })
  const master = await later.openTerminal('a')
  await later.resizeTerminal('a', { width: 50, height: 10 })
  writeFileSync(master, 'hello\n')
  let text = ''
  const bytes = Buffer.alloc(4096)
  while (!text.includes('/dev/console')) text += bytes.toString('utf8', 0, readSync(master, bytes))
  t.match(text, /got hello\r\n\/dev\/pts\/0\r\n/)
  closeSync(master)
  await later.delete('a', { force: true })
  later.close()
  t.same(await leftovers(s), [])
})

t.test('pause, resume, limits, statistics', { skip }, async (t) => {
  const s = scene(t)
  const resources = { pids: { limit: 20 }, memory: { limit: 64 << 20 } }
  await s.runtime.create({ id: 'a', bundle: s.bundle, spec: s.spec(['sleep', '1000'], { linux: { resources } }) })
  await s.runtime.start('a')
  await s.runtime.pause('a')
  t.equal((await s.runtime.state('a')).status, 'paused')
  await t.rejects(s.runtime.exec('a', { process: { cwd: '/', args: ['true'] } }), { code: 'WrongStatus' })
  await s.runtime.resume('a')
  const stats = await s.runtime.stats('a')
  t.match(stats, { pids: { current: 1, limit: 20 }, memory: { limit: 64 << 20 } })
  t.ok(stats.memory.usage > 0)
  const groups = readFileSync(`/proc/${(await s.runtime.state('a')).pid}/cgroup`, 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(':')[2])
  t.same(new Set(groups).size, 1, 'in its group in every hierarchy')
  t.ok(groups[0]?.startsWith(`${s.cgroups}/`))
  await s.runtime.update('a', { pids: { limit: 30 }, memory: { limit: 128 << 20 } })
  t.match(await s.runtime.stats('a'), { pids: { limit: 30 }, memory: { limit: 128 << 20 } })
  await s.runtime.delete('a', { force: true })
  t.same(await leftovers(s), [])
})

t.test('a hog of memory and a fork bomb stay inside', { skip }, async (t) => {
  const s = scene(t)
  const hog = s.spec(['sh', '-c', 'x=aaaaaaaaaaaaaaaa; while true; do x=$x$x; done'], {
    linux: { resources: { memory: { limit: 16 << 20, swap: 16 << 20 } } },
  })
  await s.runtime.create({ id: 'hog', bundle: s.bundle, spec: hog })
  await s.runtime.start('hog')
  t.match(await s.runtime.wait('hog'), { exitCode: 137, signal: 9, oomKilled: true })
  await s.runtime.delete('hog')

  const bomb = s.spec(['sh', '-c', 'f() { f | f & }; f; sleep 1000'], { linux: { resources: { pids: { limit: 30 } } } })
  await s.runtime.create({ id: 'bomb', bundle: s.bundle, spec: bomb })
  await s.runtime.start('bomb')
  t.ok((await s.runtime.pids('bomb')).length <= 30)
  await s.runtime.delete('bomb', { force: true })
  t.same(await leftovers(s), [])
})

t.test('kill -9 of the daemon: the next one finds everything', { skip }, async (t) => {
  const s = scene(t)
  writeFileSync(join(s.bundle, 'running.json'), JSON.stringify(s.spec(['sleep', '1000'])))
  writeFileSync(join(s.bundle, 'ended.json'), JSON.stringify(s.spec(['sh', '-c', 'read line; exit 9'])))
  writeFileSync(join(s.bundle, 'waiting.json'), JSON.stringify(s.spec(['sh', '-c', 'exit 4'])))
  const daemon = spawn(process.execPath, [join(import.meta.dirname, 'daemon.js'), s.runtime.files.root, s.bundle], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(daemon.stdout, 'data')
  daemon.kill('SIGKILL')
  await once(daemon, 'exit')
  const states = new Map((await s.runtime.list()).map(({ id, status }) => [id, status]))
  t.equal(states.get('running'), 'running')
  t.equal(states.get('waiting'), 'created')
  const waiting = s.runtime.wait('ended')
  // Its input is a FIFO that the monitor holds open: it was not ended by the daemon's end.
  writeFileSync(join(s.bundle, 'ended.fifo'), 'line\n')
  t.match(await waiting, { exitCode: 9, oomKilled: false })
  await s.runtime.start('waiting')
  t.match(await s.runtime.wait('waiting'), { exitCode: 4 })
  const exec = await s.runtime.exec('running', { process: { cwd: '/', args: ['/bin/true'] } })
  t.match(await exec.wait(), { exitCode: 0 })
  await s.runtime.kill('running', 9)
  t.match(await s.runtime.wait('running'), { exitCode: 137 })
  for (const id of ['running', 'ended', 'waiting']) await s.runtime.delete(id)
  t.same(await leftovers(s), [])
})

t.test('starts leave no growth', { skip }, async (t) => {
  const s = scene(t)
  const measure = (): number => readdirSync('/proc/self/fd').length
  await s.run(s.spec(['true']))
  const before = measure()
  for (let i = 0; i < 30; i++) await s.run(s.spec(['true']))
  t.equal(measure(), before, 'descriptors')
  t.equal(
    openCgroup(s.cgroups).folders.filter(
      (folder) => existsSync(folder) && readdirSync(folder, { withFileTypes: true }).some((one) => one.isDirectory()),
    ).length,
    0,
  )
  t.notOk(readFileSync('/proc/self/mountinfo', 'utf8').includes(s.folder))
  t.same(await leftovers(s), [])
})
