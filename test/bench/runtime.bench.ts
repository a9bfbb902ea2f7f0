// Start of a container, through the library and the command, against runc, crun and a bare C program doing the same kernel work.
//
// Everybody runs the same bundle: all namespaces but user, the example's mounts, masks and device rules, limits for memory, processes
// and CPU, seccomp; state on /run; from the call until the container and its cgroups are gone. Commands are started by a resident
// shell. The samples of all take turns, in two modes: after a quiet moment, as containers start in life, and back to back, where the
// kernel has just done what the next one needs (an RCU grace period, above all: it flatters those who move processes between cgroups).
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { limiter, sleep, systemClock } from '../../src/lib/index.js'
import { createRuntime, type Spec } from '../../src/runtime/index.js'
import { exampleSpec } from '../../src/runtime/oci/documents.js'
import { openCgroup } from '../../src/sys/index.js'
import { median, printAim, printTable, quantile } from './table.js'

const RUNS = Number(process.env.KNARR_BENCH_RUNS ?? 40)
const STARTS = Number(process.env.KNARR_BENCH_STARTS ?? 1000)
/** Long enough for the kernel to be done with the last container, and for its locks to cool down. */
const QUIET_MS = 200
const WARM_UP = 5
const folder = mkdtempSync('/run/knarr-bench-')
const bundle = join(folder, 'bundle')
const group = `/knarr-bench-${process.pid}`
const home = join(import.meta.dirname, '../../..')
const state = (name: string): string => join(folder, name)
mkdirSync(join(bundle, 'rootfs/bin'), { recursive: true })
for (const name of ['proc', 'sys', 'dev']) mkdirSync(join(bundle, 'rootfs', name))
copyFileSync('/bin/busybox', join(bundle, 'rootfs/bin/busybox'))
for (const name of ['true', 'sleep', 'sh']) symlinkSync('busybox', join(bundle, 'rootfs/bin', name))

const spec = (args: readonly string[], id = 'bench'): Spec => {
  const base = exampleSpec({ rootless: false })
  const { rlimits: _, ...process } = base.process ?? { cwd: '/' }
  return {
    ...base,
    process: { ...process, terminal: false, args },
    linux: {
      ...base.linux,
      cgroupsPath: `${group}/${id}`,
      resources: { ...base.linux?.resources, memory: { limit: 256 << 20 }, pids: { limit: 100 }, cpu: { shares: 512 } },
      seccomp: {
        defaultAction: 'SCMP_ACT_ALLOW',
        architectures: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_AARCH64'],
        syscalls: [{ names: ['reboot', 'kexec_load', 'init_module', 'finit_module', 'delete_module', 'bpf'], action: 'SCMP_ACT_ERRNO' }],
      },
    },
  }
}
/** Older peers refuse a newer version of the specification. */
const writeSpec = (wanted: Spec): void => writeFileSync(join(bundle, 'config.json'), JSON.stringify({ ...wanted, ociVersion: '1.0.2' }))

const installed = (command: string): boolean => spawnSync('sh', ['-c', `command -v ${command}`]).status === 0

interface Shell {
  run(line: string): Promise<void>
  end(): void
}

/** A shell that stays: starting a command costs one fork of something small. `words` come before it. */
function shell(words: readonly string[]): Shell {
  const [command = '', ...args] = [...words, 'sh']
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  return {
    async run(line) {
      child.stdin.write(`${line} </dev/null >/dev/null; echo done $?\n`)
      const [chunk] = (await once(child.stdout, 'data')) as [Buffer]
      if (!chunk.toString().includes('done 0')) throw new Error(`${line}: ${chunk}`)
    },
    end: () => child.stdin.end(),
  }
}

interface Contender {
  readonly name: string
  run(): Promise<void>
}

const milliseconds = async (run: () => Promise<void>): Promise<number> => {
  const began = performance.now()
  await run()
  return performance.now() - began
}

/** Median and 95th percentile by contender and mode. */
type Measured = ReadonlyMap<string, { readonly quiet: readonly number[]; readonly busy: readonly number[] }>

/** All take turns, so that whatever else the machine does hits everybody alike. */
async function measure(contenders: readonly Contender[]): Promise<Measured> {
  const measured = new Map(contenders.map(({ name }) => [name, { quiet: [] as number[], busy: [] as number[] }]))
  for (const { run } of contenders) for (let i = 0; i < WARM_UP; i++) await run()
  for (let i = 0; i < RUNS; i++) {
    for (const { name, run } of contenders) {
      await sleep(systemClock, QUIET_MS)
      measured.get(name)?.quiet.push(await milliseconds(run))
    }
  }
  for (let i = 0; i < RUNS; i += 10) {
    for (const { name, run } of contenders) {
      await run()
      for (let k = 0; k < 10; k++) measured.get(name)?.busy.push(await milliseconds(run))
    }
  }
  return measured
}

const alive = setInterval(() => {}, 1 << 30)
const runtime = createRuntime({ root: state('state') })
const start = async (id: string): Promise<void> => {
  await runtime.create({ id, bundle, spec: spec(['/bin/true'], id) })
  await runtime.start(id)
  await runtime.wait(id)
  await runtime.delete(id)
}

/** The bare C program, where there is a compiler and cgroup v1. */
function floor(plain: Shell): Contender | undefined {
  const groups = openCgroup(group).folders.filter((path) => existsSync(join(path, 'tasks')))
  if (!installed('gcc') || groups.length === 0) return undefined
  execFileSync('gcc', ['-O2', '-o', state('floor'), join(home, 'test/bench/programs/floor.c')])
  return { name: 'bare C program', run: () => plain.run(`${state('floor')} ${join(bundle, 'rootfs')} ${groups.join(' ')}`) }
}

const collect = (): void => {
  setFlagsFromString('--expose-gc')
  ;(runInNewContext('gc') as () => void)()
}

/** What this process holds, in numbers that a leak would raise. */
function held(): { readonly descriptors: number; readonly mounts: number; readonly groups: number; readonly bytes: number } {
  collect()
  const { heapUsed, external } = process.memoryUsage()
  const groups = openCgroup(group).folders.flatMap((path) => readdirSync(path, { withFileTypes: true }).filter((one) => one.isDirectory()))
  return {
    descriptors: readdirSync('/proc/self/fd').length,
    mounts: readFileSync('/proc/self/mountinfo', 'utf8').split('\n').length,
    groups: groups.length,
    bytes: heapUsed + external,
  }
}

async function many(prefix: string, count: number): Promise<number> {
  const gate = limiter(8)
  const ms = await milliseconds(async () => {
    await Promise.all(Array.from({ length: count }, (_, i) => gate(() => start(`${prefix}-${i}`))))
  })
  return (count * 1000) / ms
}

function compare(
  measured: Measured,
  name: string,
  ours: string,
  peer: string,
  judge: (ratio: number) => { wanted: string; met: boolean },
): void {
  const [a, b] = [measured.get(ours), measured.get(peer)]
  if (!a || !b) {
    console.log(`AIM ${name}: not measured, ${peer} is not installed`)
    return
  }
  for (const [mode, words] of [
    ['quiet', 'after a quiet moment'],
    ['busy', 'back to back'],
  ] as const) {
    const ratio = median(a[mode]) / median(b[mode])
    const { wanted, met } = judge(ratio)
    const said = ratio > 1 ? `${ratio.toFixed(2)} times as long` : `${(1 / ratio).toFixed(1)} times faster`
    printAim({ name: `${name}, ${words}`, wanted, measured: said, met })
  }
}
const faster = (times: number) => (ratio: number) => ({ wanted: `${times} times faster`, met: 1 / ratio >= times })
const atMost = (times: number) => (ratio: number) => ({ wanted: `at most ${times} times as long`, met: ratio <= times })

const plain = shell(['env'])
// crun refuses a hybrid machine: it gets a mount namespace without the v2 hierarchy.
const hybrid = existsSync('/sys/fs/cgroup/unified')
const hide = ['unshare', '-m', '--propagation', 'private', 'sh', '-c', 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"', 'sh']
const withoutV2 = shell(hybrid ? hide : ['env'])
try {
  writeSpec(spec(['/bin/true']))
  openCgroup(group).create()
  const peer = (command: string, runs: Shell): Contender[] =>
    installed(command)
      ? [{ name: `${command} run`, run: () => runs.run(`${command} --root ${state(command)} run -b ${bundle} bench`) }]
      : []
  const c = floor(plain)
  let counter = 0
  const starts = await measure([
    ...(c ? [c] : []),
    { name: 'knarr, library', run: () => start(`bench-${counter++}`) },
    ...peer('crun', withoutV2),
    ...peer('runc', plain),
    { name: 'knarr oci run', run: () => plain.run(`${join(home, 'knarr-oci')} --root ${state('oci')} run -b ${bundle} bench`) },
  ])

  const sleeping = spec(['/bin/sleep', '1000'], 'exec')
  writeSpec(sleeping)
  await runtime.create({ id: 'exec', bundle, spec: sleeping })
  await runtime.start('exec')
  const wanted = { ...(await runtime.spec('exec')).process, cwd: '/', args: ['/bin/true'] }
  const { pid: first = 0 } = await runtime.state('exec')
  const monitor = readFileSync(`/proc/${first}/stat`, 'utf8').split(') ')[1]?.split(' ')[1]
  const pss = Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${monitor}/smaps_rollup`, 'utf8'))?.[1])
  const crun = `crun --root ${state('crun')}`
  if (installed('crun')) await withoutV2.run(`${crun} run -d -b ${bundle} crun-exec`)
  const execs = await measure([
    { name: 'knarr, library exec', run: async () => void (await (await runtime.exec('exec', { process: wanted })).wait()) },
    ...(installed('crun') ? [{ name: 'crun exec', run: () => withoutV2.run(`${crun} exec crun-exec /bin/true`) }] : []),
  ])
  if (installed('crun')) await withoutV2.run(`${crun} delete -f crun-exec`)
  await runtime.delete('exec', { force: true })

  await many('warm', 200)
  const before = held()
  const perSecond = await many('many', STARTS)
  const after = held()
  const grown = (key: keyof typeof before): number => after[key] - before[key]
  const kib = Math.round(grown('bytes') / 1024)

  printTable(
    ['run of /bin/true', 'quiet p50 ms', 'p95', 'back to back p50 ms', 'p95'],
    [...starts, ...execs].map(([name, { quiet, busy }]) => [
      name,
      median(quiet),
      quantile(quiet, 0.95),
      median(busy),
      quantile(busy, 0.95),
    ]),
  )
  console.log(`starts per second, 8 in flight: ${perSecond.toFixed(0)}; monitor: ${pss} kB PSS`)
  compare(starts, 'start against crun run', 'knarr, library', 'crun run', faster(3))
  compare(starts, 'start against runc run', 'knarr, library', 'runc run', faster(6))
  compare(starts, 'start against a bare C program', 'knarr, library', 'bare C program', atMost(2))
  compare(execs, 'exec against crun exec', 'knarr, library exec', 'crun exec', faster(3))
  compare(starts, 'command line against runc run', 'knarr oci run', 'runc run', atMost(2.5))
  printAim({ name: 'monitor', wanted: 'below 64 kB PSS', measured: `${pss} kB`, met: pss < 64 })
  printAim({
    name: `growth over ${STARTS} starts`,
    wanted: 'no descriptor, mount or cgroup, and under 1 MiB once garbage is collected',
    measured: `${grown('descriptors')} descriptors, ${grown('mounts')} mounts, ${grown('groups')} cgroups, ${kib} KiB`,
    met: grown('descriptors') <= 0 && grown('mounts') <= 0 && grown('groups') <= 0 && kib < 1024,
  })
} finally {
  plain.end()
  withoutV2.end()
  for (const { id } of await runtime.list()) await runtime.delete(id, { force: true })
  runtime.close()
  await openCgroup(group).kill()
  await openCgroup(group).delete()
  rmSync(folder, { recursive: true, force: true })
  clearInterval(alive)
}
