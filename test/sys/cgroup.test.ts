// Control groups on the real kernel. Needs root and a writable cgroup mount.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { attachDeviceRules, Cgroup, type CgroupLayout, cgroupLayout } from '../../src/sys/index.js'

// A machine with other work is slow; nothing here measures time.
t.setTimeout(300_000)

const root = process.getuid?.() === 0
if (!root) t.comment('SKIPPED: control groups need root')
const options = root ? {} : { skip: 'needs root' }

const layout = cgroupLayout()
let count = 0
// The clock's timers do not keep a process alive.
const alive = setInterval(() => {}, 60_000)
const fresh = (): Cgroup => new Cgroup(`/knarr-test-${process.pid}/${++count}`)
t.teardown(async () => {
  const top = new Cgroup(`/knarr-test-${process.pid}`)
  await top.kill()
  await top.delete()
  clearInterval(alive)
})

/** A shell inside the group, joined as the runtime does it: by its own first writes. */
function shell(group: Cgroup, script: string): ChildProcess {
  const plan = group.joinPlan()
  const files = [...plan.files, ...(plan.directory ? [`${plan.directory}/cgroup.procs`] : [])]
  const join = files.map((file) => `echo 0 > ${file}`).join(' && ')
  return spawn('/bin/sh', ['-c', `${join} && ${script}`], { stdio: ['ignore', 'pipe', 'ignore'] })
}

const ended = async (child: ChildProcess): Promise<{ code: number | null; signal: string | null; text: string }> => {
  let text = ''
  child.stdout?.on('data', (chunk) => {
    text += chunk
  })
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  return { code, signal, text }
}

t.test('create, join by the plan, list, delete', options, async (t) => {
  const group = fresh()
  group.create()
  group.create()
  t.ok(group.folders.every((folder) => existsSync(folder)))
  const child = shell(group, 'echo in; exec sleep 60')
  await once(child.stdout as NodeJS.ReadableStream, 'data')
  t.same(group.processes(), [child.pid])
  const end = ended(child)
  const own = readFileSync(`/proc/${child.pid}/cgroup`, 'utf8').trim().split('\n')
  t.ok(
    own.every((line) => line.endsWith(`:${group.path}`)),
    'every hierarchy shows the group',
  )
  await group.kill()
  t.equal((await end).signal, 'SIGKILL')
  await group.delete()
  t.notOk(group.exists())
  await group.delete()
})

t.test('join from outside moves a running process', options, async (t) => {
  const group = fresh()
  group.create()
  const child = spawn('sleep', ['60'])
  const gone = once(child, 'exit')
  group.join(child.pid ?? 0)
  t.same(group.processes(), [child.pid])
  await Promise.all([group.kill(), gone])
  await group.delete()
})

t.test('limits stand in the files and bound the processes', options, async (t) => {
  const group = fresh()
  group.create()
  group.limit({ memory: { limit: 64 << 20, swap: 64 << 20 }, cpu: { shares: 512, quota: 50_000, period: 100_000 }, pids: { limit: 8 } })
  const stats = group.stats()
  t.equal(stats.memory.limit, 64 << 20)
  t.equal(stats.pids.limit, 8)
  // Lower, then higher again: the order of the two memory files differs.
  group.limit({ memory: { limit: 32 << 20, swap: 32 << 20 } })
  group.limit({ memory: { limit: 128 << 20, swap: 256 << 20 } })
  t.equal(group.stats().memory.limit, 128 << 20)
  if (group.stats().memory.swapLimit !== undefined) t.equal(group.stats().memory.swapLimit, 128 << 20)

  const bomb = shell(group, 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 60 & done; wait')
  const gone = once(bomb, 'exit')
  while (group.stats().pids.current < 7) await new Promise((resolve) => setTimeout(resolve, 5))
  t.ok(group.stats().pids.current <= 8, 'the fork bomb is contained')
  await Promise.all([group.kill(), gone])
  t.same(group.processes(), [])
  await group.delete()
})

t.test("processor time within the parent's, whichever of the two files must go first", options, async (t) => {
  const parent = fresh()
  const group = new Cgroup(`${parent.path}/child`)
  group.create()
  parent.limit({ cpu: { quota: 50_000, period: 100_000 } })
  group.limit({ cpu: { quota: 500_000, period: 1_000_000 } })
  t.throws(() => group.limit({ cpu: { quota: 600_000 } }), { message: /cpu/ })
  group.limit({ cpu: { quota: 3000, period: 10_000 } })
  group.limit({ cpu: { quota: 300_000, period: 1_000_000 } })
  const file = group.folder('cpu') ?? ''
  const limits = existsSync(`${file}/cpu.max`)
    ? readFileSync(`${file}/cpu.max`, 'utf8').trim()
    : ['cpu.cfs_quota_us', 'cpu.cfs_period_us'].map((name) => readFileSync(`${file}/${name}`, 'utf8').trim()).join(' ')
  t.equal(limits, '300000 1000000')
  await group.delete()
  await parent.delete()
})

t.test('cpu time and memory are counted', options, async (t) => {
  const group = fresh()
  group.create()
  await ended(shell(group, 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done'))
  const { cpu, memory } = group.stats()
  t.ok(cpu.usageNsec > 1e6, `${cpu.usageNsec} ns used`)
  t.ok(memory.maxUsage > 0 || memory.usage >= 0)
  t.equal(memory.oomKills, 0)
  await group.delete()
})

t.test('running out of memory is told and counted', options, async (t) => {
  const group = fresh()
  group.create()
  group.limit({ memory: { limit: 16 << 20, swap: 16 << 20 } })
  let stop = (): void => {}
  const told = new Promise<number>((resolve) => {
    stop = group.onOom(resolve)
  })
  const eater = shell(group, 'exec dd if=/dev/zero of=/dev/null bs=100M count=1')
  const { signal } = await ended(eater)
  t.equal(signal, 'SIGKILL')
  t.equal(await told, 1)
  t.equal(group.oomKills(), 1)
  stop()
  await group.delete()
})

t.test('freeze stops, thaw continues', options, async (t) => {
  const group = fresh()
  group.create()
  const child = shell(group, 'while :; do :; done')
  const gone = once(child, 'exit')
  while (group.processes().length === 0) await new Promise((resolve) => setImmediate(resolve))
  await group.freeze()
  t.ok(group.frozen)
  const before = group.stats().cpu.usageNsec
  spawnSync('sleep', ['0.05'])
  t.equal(group.stats().cpu.usageNsec, before, 'no time is used while frozen')
  await group.thaw()
  t.notOk(group.frozen)
  await group.freeze()
  await Promise.all([group.kill(), gone])
  await group.delete()
})

t.test('v1 devices: allowed ones open, others do not', layout.v1.devices && root ? {} : { skip: 'no v1 devices controller' }, async (t) => {
  const group = fresh()
  group.create()
  group.limit({ devices: [{ allow: false }, { allow: true, type: 'c', major: 1, minor: 3, access: 'rwm' }] })
  const { text } = await ended(
    shell(group, 'exec 2>/dev/null; cat /dev/null && echo null; head -c1 /dev/zero >/dev/null && echo zero; true'),
  )
  t.equal(text, 'null\n')
  await group.delete()
})

t.test('v2 devices: the eBPF filter, replaced without a gap', layout.v2 && root ? {} : { skip: 'no cgroup v2' }, async (t) => {
  const group = fresh()
  group.create()
  const folder = `${layout.v2?.mount}${group.path}`
  const probe = 'exec 2>&-; (: </dev/null) && echo null; (: </dev/zero) && echo zero; true'
  const allow = (minor: number) => [{ allow: false }, { allow: true, type: 'c', major: 1, minor, access: 'rwm' }]
  t.equal((await ended(shell(group, probe))).text, 'null\nzero\n')
  attachDeviceRules(folder, allow(3))
  t.equal((await ended(shell(group, probe))).text, 'null\n')
  attachDeviceRules(folder, allow(5))
  t.equal((await ended(shell(group, probe))).text, 'zero\n')
  await group.delete()
})

t.test('mistakes are named', options, async (t) => {
  const group = fresh()
  t.throws(() => group.limit({ pids: { limit: 5 } }), /pids\.max.*ENOENT/)
  group.create()
  t.throws(() => group.limit({ cpu: { cpus: '9999' } }), /write "9999" to .*cpuset\.cpus/)
  if (layout.mode !== 'v2') t.throws(() => group.limit({ unified: { 'memory.high': '1' } }), /needs cgroup v2/)
  await group.delete()
  t.throws(() => new Cgroup('/a/../..'), /not allowed/)
})

const unified = layout.v2?.mount
const onV2 = unified && root ? {} : { skip: 'no cgroup v2' }

t.test('the v2 tree alone: everything that needs no controller', onV2, async (t) => {
  // Of a hybrid machine only the v2 side, as a pure v2 machine would be used; controllers of the root are left alone.
  const pure: CgroupLayout = { mode: 'v2', v1: {}, named: {}, v2: { mount: unified ?? '', controllers: [] } }
  const group = new Cgroup(`/knarr-test-${process.pid}/${++count}`, { layout: pure })
  group.create()
  const { files, directory } = group.joinPlan()
  t.same(files, [])
  t.equal(directory, `${unified}${group.path}`)
  const child = shell(group, 'while :; do :; done')
  const gone = once(child, 'exit')
  while (group.processes().length === 0) await new Promise((resolve) => setImmediate(resolve))
  await group.freeze()
  t.ok(group.frozen)
  await group.thaw()
  t.notOk(group.frozen)
  t.ok(group.stats().cpu.usageNsec >= 0)
  group.limit({ devices: [{ allow: false }, { allow: true, type: 'c', major: 1, minor: 3, access: 'rwm' }] })
  const inner = new Cgroup(`${group.path}/inner`, { layout: pure })
  inner.create()
  t.same(
    (await ended(shell(inner, 'exec 2>&-; (: </dev/null) && echo null; (: </dev/zero) && echo zero; true'))).text,
    'null\n',
    'children are filtered too',
  )
  t.throws(() => group.limit({ memory: { limit: 1 << 20 } }), /no cgroup controller "memory"/)
  await Promise.all([group.kill(), gone])
  await group.delete()
  t.notOk(existsSync(`${unified}${group.path}`))
})

t.test('v2 limits and figures, file by file', async (t) => {
  // The files of a v2 group in a folder of ours: what is written where, and what is read from what.
  const mount = mkdtempSync(join(tmpdir(), 'knarr-test-cgroup-'))
  t.teardown(() => rmSync(mount, { recursive: true }))
  const controllers = ['cpu', 'cpuset', 'io', 'memory', 'pids']
  const pure: CgroupLayout = { mode: 'v2', v1: {}, named: {}, v2: { mount, controllers } }
  const folder = join(mount, 'a')
  mkdirSync(folder)
  const files = {
    'memory.max': '',
    'memory.swap.max': '',
    'memory.low': '0',
    'memory.high': '',
    'memory.current': '50000000',
    'memory.stat': 'anon 30000000\nfile 20000000\ninactive_file 5000000\npgfault 7\n',
    'memory.events': 'low 0\nmax 3\noom 1\noom_kill 2\n',
    'cpu.weight': '100',
    'cpu.max': 'max 100000',
    'cpu.stat': 'usage_usec 2500\nuser_usec 2000\nsystem_usec 500\nnr_periods 4\nnr_throttled 1\nthrottled_usec 30\n',
    'pids.max': '',
    'pids.current': '5',
    'io.stat': '8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n',
    'io.max': '',
    'memory.pressure': 'some avg10=1.50 avg60=0.00 avg300=0.00 total=12\nfull avg10=0.50 avg60=0.00 avg300=0.00 total=4\n',
    'cgroup.procs': '',
  }
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content)
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8')
  const group = new Cgroup('/a', { layout: pure })
  group.limit({
    memory: { limit: 100_000_000, swap: 100_000_000, reservation: 7 },
    cpu: { shares: 1024, quota: 50_000, period: 100_000 },
    pids: { limit: 64 },
    unified: { 'memory.high': '90000000' },
  })
  t.match(
    ['memory.max', 'memory.swap.max', 'memory.low', 'memory.high', 'pids.max'].map((name) => Number.parseInt(read(name), 10)),
    [100_000_000, 0, 7, 90_000_000, 64],
  )
  t.match(read('cpu.max'), /^50000 100000/)
  group.limit({ cpu: { period: 90_000 } })
  t.match(read('cpu.max'), /^50000 90000/, 'a new period leaves the quota')
  group.limit({ cpu: { quota: -1, period: 100_000 } })
  t.match(read('cpu.max'), /^max 100000/)
  // A process that has moved to a group below, as an init system does, takes those that come later with it.
  writeFileSync(join(folder, 'cgroup.subtree_control'), 'memory\n')
  t.equal(group.joinPlanBeside(process.pid).directory, folder, 'nobody has moved')
  const stats = group.stats()
  t.match(stats, {
    cpu: { usageNsec: 2_500_000, userNsec: 2_000_000, systemNsec: 500_000, periods: 4, throttledPeriods: 1, throttledNsec: 30_000 },
    memory: {
      usage: 50_000_000,
      limit: 100_000_000,
      workingSet: 45_000_000,
      rss: 30_000_000,
      cache: 20_000_000,
      oomKills: 2,
      failures: 3,
      pageFaults: 7,
    },
    pids: { current: 5, limit: 64 },
    io: [{ major: 8, minor: 0, readBytes: 10, writeBytes: 20, readOps: 1, writeOps: 2 }],
    pressure: { memory: { some: { avg10: 1.5, totalUsec: 12 }, full: { avg10: 0.5 } } },
  })
  t.equal(group.oomKills(), 2)
  t.throws(
    () => group.limit({ memory: { limit: 1000, checkBeforeUpdate: true } }),
    /rejecting memory limit 1000: 50000000 bytes are in use/,
  )
  t.throws(() => group.limit({ cpu: { idle: 1 } }), /cpu\.idle.*ENOENT/)
})

t.test(
  'an update changes what it names and nothing else',
  layout.v1.memory && root ? {} : { skip: 'no v1 memory controller' },
  async (t) => {
    const group = fresh()
    group.create()
    const child = shell(group, 'exec tail -f /dev/null')
    const gone = once(child, 'exit')
    while (group.processes().length === 0) await new Promise((resolve) => setImmediate(resolve))
    group.limit({ memory: { limit: 64 << 20 }, pids: { limit: 100 } })
    group.limit({ pids: { limit: 10 } })
    t.equal(group.stats().memory.limit, 64 << 20, 'what is not named stays')
    t.same(group.limits(), { memory: 64 << 20, pids: 10 })
    await Promise.all([group.kill(), gone])
    await group.delete()
  },
)
