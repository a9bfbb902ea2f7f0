// A "Linux machine" for tests: namespaces of its own, a disk folder of its own, an address on a switch that a test can disturb.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { must, type Result, type RunOptions, run } from './shell.js'

/** Folders in which a machine keeps state; each machine has its own. */
const DISK = [
  '/etc/knarr',
  '/etc/cni',
  '/opt/cni',
  '/var/lib/knarr',
  '/var/lib/kubelet',
  '/var/lib/cni',
  '/var/log/knarr',
  '/var/log/pods',
  '/var/log/containers',
  '/var/lib/containers',
  '/root/.kube',
  '/mnt',
]
const CGROUPS = '/sys/fs/cgroup'

const controllers = (): string[] => readdirSync(CGROUPS).filter((name) => existsSync(join(CGROUPS, name, 'cgroup.procs')))

export interface Machine {
  readonly name: string
  readonly address: string
  /** Process 1 of the machine, as seen from outside. */
  readonly pid: number
  /** The folder that holds its disk: `disk/etc/knarr` is its `/etc/knarr`. */
  readonly disk: string
  exec(argv: readonly string[], options?: RunOptions): Promise<Result>
  /** As `exec`, but fails the test on an exit code other than 0. */
  must(argv: readonly string[], options?: RunOptions): Promise<string>
  spawn(argv: readonly string[]): ChildProcess
  /** Power off: every process of the machine is killed; the disk stays until `destroy`. */
  powerOff(): Promise<void>
  destroy(): Promise<void>
}

export interface Switch {
  /** Runs a program beside the machines: somebody outside the cluster. */
  exec(argv: readonly string[], options?: RunOptions): Promise<Result>
  add(name: string, address: string): Promise<Machine>
  /** No packet passes between two machines until `heal`, which ends every disturbance. */
  cut(a: Machine, b: Machine): Promise<void>
  heal(): Promise<void>
  /** Slows down and drops what goes to one machine: a token bucket and random loss, because not every kernel has netem. */
  disturb(machine: Machine, how: { readonly rateKbit?: number; readonly lossPercent?: number }): Promise<void>
  destroy(): Promise<void>
}

/** Starts `script` as process 1 of new namespaces; resolves when it has printed `ready`. */
async function boot(flags: readonly string[], script: string, before = ''): Promise<ChildProcess> {
  const child = spawn('bash', ['-c', `${before}\nexec unshare ${flags.join(' ')} --fork --kill-child bash -c "$0"`, script], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  await new Promise<void>((resolve, reject) => {
    let said = ''
    child.stderr?.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
    child.stdout?.on('data', (chunk: Buffer) => chunk.toString().includes('ready') && resolve())
    child.on('exit', (code) => reject(new Error(`machine did not boot (${code}): ${said}`)))
  })
  return child
}

/** The process inside: unshare's only child. */
async function childOf(pid: number): Promise<number> {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0])
}

/** nsenter enters the cgroup namespace but leaves the process where it was: it moves itself, before it runs what it is given. */
const JOIN_CGROUPS =
  'for f in /sys/fs/cgroup/*/tasks; do echo 0 > $f; done; for d in /sys/fs/cgroup/*; do [ -e $d/tasks ] || echo 0 > $d/cgroup.procs; done; exec "$@"'

const IDLE = 'echo ready; trap "exit 0" TERM; while :; do sleep 100000 & wait $!; done'

function killTree(folder: string): void {
  if (!existsSync(folder)) return
  for (const name of readdirSync(folder, { withFileTypes: true })) if (name.isDirectory()) killTree(join(folder, name.name))
  for (const pid of readFileSync(join(folder, 'cgroup.procs'), 'utf8').split('\n')) {
    if (pid === '') continue
    try {
      process.kill(Number(pid), 'SIGKILL')
    } catch {
      // Already gone.
    }
  }
}

/** Cgroups can be removed once their processes are reaped, which takes the kernel a moment. */
async function removeTree(folder: string): Promise<void> {
  if (!existsSync(folder)) return
  for (const name of readdirSync(folder, { withFileTypes: true })) if (name.isDirectory()) await removeTree(join(folder, name.name))
  for (let attempt = 0; ; attempt++) {
    try {
      rmdirSync(folder)
      return
    } catch (error) {
      if (attempt === 200) throw error
      await new Promise((resolve) => setTimeout(resolve, 25))
    }
  }
}

/** A switch with the address 10.PREFIX.0.1/16 for whoever stands outside. `prefix` is below 256 and the test's own. */
export async function createSwitch(prefix: number): Promise<Switch> {
  const id = `kt${process.pid.toString(36)}`
  const outside = await boot(['--net'], IDLE)
  const outsidePid = await childOf(outside.pid ?? 0)
  const inSwitch = (argv: readonly string[], options?: RunOptions): Promise<Result> =>
    run(['nsenter', `--target=${outsidePid}`, '--net', ...argv], options)
  const must1 = (...argv: string[]): Promise<string> => must(['nsenter', `--target=${outsidePid}`, '--net', ...argv])
  await must1('ip', 'link', 'add', 'sw0', 'type', 'bridge')
  await must1('ip', 'addr', 'add', `10.${prefix}.0.1/16`, 'dev', 'sw0')
  await must1('ip', 'link', 'set', 'sw0', 'up')
  await must1('ip', 'link', 'set', 'lo', 'up')
  await must1(
    'nft',
    'add table bridge cut; add chain bridge cut forward { type filter hook forward priority 0; }; add chain bridge cut output { type filter hook output priority 0; }',
  )
  const machines: Machine[] = []

  async function add(name: string, address: string): Promise<Machine> {
    const number = machines.length
    const disk = mkdtempSync(join(tmpdir(), `knarr-machine-${name}-`))
    const cgroup = `knarr-test-${id}-${name}`
    const binds = DISK.map((path) => {
      mkdirSync(join(disk, path), { recursive: true })
      mkdirSync(path, { recursive: true })
      return `mount --bind ${disk}${path} ${path}`
    })
    const groups = controllers()
    const before = groups.map((c) =>
      [
        `mkdir -p ${CGROUPS}/${c}/${cgroup}`,
        c === 'cpuset' ? `for f in cpus mems; do cat ${CGROUPS}/cpuset/cpuset.$f > ${CGROUPS}/cpuset/${cgroup}/cpuset.$f; done` : ':',
        `echo $$ > ${CGROUPS}/${c}/${cgroup}/cgroup.procs`,
      ].join('\n'),
    )
    const mountGroup = (c: string): string => {
      const type = existsSync(join(CGROUPS, c, 'cgroup.controllers'))
        ? 'cgroup2 cgroup2'
        : `cgroup -o ${c === 'systemd' ? 'none,name=systemd' : c} cgroup`
      return `mkdir ${CGROUPS}/${c}; mount -t ${type} ${CGROUPS}/${c}`
    }
    const script = [
      'set -e',
      'mount --make-rprivate /',
      'mount -t proc proc /proc',
      ...binds,
      'mount -t tmpfs -o nosuid,nodev,noexec tmpfs /run',
      'mount -t sysfs sysfs /sys',
      `mount -t tmpfs tmpfs ${CGROUPS}`,
      ...groups.map(mountGroup),
      `hostname ${name}`,
      'ip link set lo up',
      IDLE,
    ].join('\n')
    const process1 = await boot(['--net', '--mount', '--pid', '--uts', '--ipc', '--cgroup'], script, before.join('\n'))
    const pid = await childOf(process1.pid ?? 0)
    const gone = new Promise<void>((resolve) => process1.on('exit', () => resolve()))

    await must1('ip', 'link', 'add', `port${number}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(pid))
    await must1('ip', 'link', 'set', `port${number}`, 'master', 'sw0', 'up')
    const namespaces = ['nsenter', `--target=${pid}`, '--net', '--mount', '--pid', '--uts', '--ipc', '--cgroup']
    const enter = [...namespaces, 'sh', '-c', JOIN_CGROUPS, 'sh']
    const exec: Machine['exec'] = (argv, options) => run([...enter, ...argv], options)
    const mustExec: Machine['must'] = (argv, options) => must([...enter, ...argv], options)
    await mustExec(['ip', 'addr', 'add', `${address}/16`, 'dev', 'eth0'])
    await mustExec(['ip', 'link', 'set', 'eth0', 'up'])
    await mustExec(['ip', 'route', 'add', 'default', 'via', `10.${prefix}.0.1`])

    let off = false
    const machine: Machine = {
      name,
      address,
      pid,
      disk,
      exec,
      must: mustExec,
      spawn: (argv) => spawn(enter[0] ?? '', [...enter.slice(1), ...argv], { stdio: 'ignore' }),
      async powerOff() {
        if (off) return
        off = true
        process.kill(-(process1.pid ?? 0), 'SIGKILL')
        for (const c of groups) killTree(join(CGROUPS, c, cgroup))
        await gone
        // The kernel takes a moment to end a pid namespace.
        while (existsSync(`/proc/${pid}`)) await new Promise((resolve) => setTimeout(resolve, 10))
      },
      async destroy() {
        await machine.powerOff()
        for (const c of groups) await removeTree(join(CGROUPS, c, cgroup))
        rmSync(disk, { recursive: true, force: true })
      },
    }
    machines.push(machine)
    return machine
  }

  const portOf = (machine: Machine): string => `port${machines.indexOf(machine)}`
  return {
    exec: inSwitch,
    add,
    async cut(a, b) {
      for (const [from, to] of [
        [a, b],
        [b, a],
      ] as const)
        await must1('nft', 'add', 'rule', 'bridge', 'cut', 'forward', 'iifname', portOf(from), 'oifname', portOf(to), 'drop')
    },
    async heal() {
      await must1('nft', 'flush', 'table', 'bridge', 'cut')
      for (const machine of machines) await inSwitch(['tc', 'qdisc', 'del', 'dev', portOf(machine), 'root'])
    },
    async disturb(machine, { rateKbit, lossPercent }) {
      const port = portOf(machine)
      if (rateKbit)
        await must1('tc', 'qdisc', 'replace', 'dev', port, 'root', 'tbf', 'rate', `${rateKbit}kbit`, 'burst', '16kb', 'latency', '400ms')
      if (lossPercent) {
        const lose = lossPercent >= 100 ? '' : `numgen random mod 100 < ${lossPercent} `
        for (const chain of ['forward', 'output']) await must1('nft', `add rule bridge cut ${chain} oifname ${port} ${lose}drop`)
      }
    },
    async destroy() {
      for (const machine of machines) await machine.destroy()
      process.kill(-(outside.pid ?? 0), 'SIGKILL')
    },
  }
}
