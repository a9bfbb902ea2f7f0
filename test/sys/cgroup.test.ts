// Control groups on the real kernel. Needs root and a writable cgroup mount.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'
import { attachDeviceRules, Cgroup, cgroupLayout } from '../../src/sys/index.js'

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
