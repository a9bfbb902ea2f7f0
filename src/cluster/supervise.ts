// Keeps our two processes alive: systemd where it runs, else a program of a few hundred bytes that starts them again.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { hasErrno } from '../lib/index.js'
import { elfProgram, program, thisArchitecture } from '../sys/index.js'
import { readFileIfPresent, writeFileAtomic } from './files.js'
import { paths } from './paths.js'

export interface ServiceDefinition {
  /** `server` or `agent`. */
  readonly name: string
  readonly description: string
  readonly argv: readonly string[]
  /** Only what is listed is passed on. */
  readonly env: Readonly<Record<string, string>>
}

const SIGCHLD = 17
const second = Buffer.alloc(16)
second.writeBigUInt64LE(1n)

/** Starts the program, waits for its end, sleeps a second, starts it again. For ever. */
export function supervisorProgram({ argv, env }: Pick<ServiceDefinition, 'argv' | 'env'>): program.Program {
  const { bytes, goto, step, strings, text, value } = program
  const [file = ''] = argv
  return {
    entry: 'start',
    blocks: [
      {
        label: 'start',
        steps: [
          step('fork', 'clone', [SIGCHLD, 0, 0, 0, 0], { into: 'pid', onZero: 'child', onError: 'pause' }),
          step('wait', 'wait4', [value('pid'), 0, 0, 0], { onError: 'ignore', retry: true }),
        ],
      },
      { label: 'pause', steps: [step('sleep', 'nanosleep', [bytes(second), 0], { onError: 'ignore' }), goto('start')] },
      {
        label: 'child',
        steps: [
          step('execute', 'execve', [text(file), strings(argv), strings(Object.entries(env).map(([name, value]) => `${name}=${value}`))], {
            onError: 'ignore',
          }),
          step('exit', 'exit_group', [127], { onError: 'ignore' }),
        ],
      },
      { label: 'fail', steps: [step('exit', 'exit_group', [1], { onError: 'ignore' })] },
    ],
  }
}

const hasSystemd = (): boolean => existsSync('/run/systemd/system')
/** What to tell a person who wants to know why. */
export const whereLogsAre = (): string => (hasSystemd() ? '"journalctl -u knarr-server -u knarr-agent" tells why' : `see ${paths.logs}`)

const unitPath = (name: string): string => `/etc/systemd/system/knarr-${name}.service`
/** Not below `/run`, where on many machines nothing can be executed. */
const supervisorPath = (name: string): string => join(paths.state, `supervise-${name}`)

const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `"${word.replace(/["\\]/g, '\\$&').replace(/%/g, '%%')}"`)

/** The unit file. Containers outlive the agent: only the main process is stopped. */
export const systemdUnit = ({ description, argv, env }: ServiceDefinition): string =>
  [
    '[Unit]',
    `Description=${description}`,
    'After=network-online.target',
    'Wants=network-online.target',
    '',
    '[Service]',
    `ExecStart=${argv.map(quoted).join(' ')}`,
    ...Object.entries(env).map(([name, value]) => `Environment=${quoted(`${name}=${value}`)}`),
    'Restart=always',
    'RestartSec=1',
    'KillMode=process',
    'Delegate=yes',
    'LimitNOFILE=1048576',
    'TasksMax=infinity',
    'OOMScoreAdjust=-999',
    '',
    '[Install]',
    'WantedBy=multi-user.target',
    '',
  ].join('\n')

function systemctl(...args: readonly string[]): void {
  const { status, stderr } = spawnSync('systemctl', args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`systemctl ${args.join(' ')}: ${stderr.trim() || `exit code ${status}`}`)
}

/** Processes of this machine that `is` is true of. */
function processes(is: (pid: string) => boolean): number[] {
  const machine = readlinkSync('/proc/self/ns/pid')
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return []
    try {
      // Machines may be namespaces of this one: their processes are visible here, and not ours to end.
      return is(pid) && readlinkSync(`/proc/${pid}/ns/pid`) === machine ? [Number(pid)] : []
    } catch {
      return [] // it has ended meanwhile
    }
  })
}

/** Asked of the kernel: a file could not tell of a supervisor whose starter was killed before it wrote. */
const supervisors = (name: string): number[] =>
  processes((pid) => readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, '') === supervisorPath(name))

const childrenOf = (pid: number): number[] =>
  (readFileIfPresent(`/proc/${pid}/task/${pid}/children`) ?? '')
    .split(' ')
    .filter((word) => /^\d+$/.test(word))
    .map(Number)

/** Starts a service and sees to it that it stays up. A service of that name that runs is stopped first. */
export async function startService(service: ServiceDefinition): Promise<void> {
  await stopService(service.name)
  if (hasSystemd()) {
    writeFileAtomic(unitPath(service.name), systemdUnit(service), 0o644)
    systemctl('daemon-reload')
    systemctl('enable', '--now', `knarr-${service.name}`)
    return
  }
  mkdirSync(paths.state, { recursive: true, mode: 0o711 })
  mkdirSync(paths.logs, { recursive: true, mode: 0o750 })
  const file = supervisorPath(service.name)
  writeFileAtomic(file, elfProgram(supervisorProgram(service), thisArchitecture).file, 0o700)
  const log = openSync(join(paths.logs, `${service.name}.log`), 'a', 0o640)
  try {
    const child: ChildProcess = spawn(file, [], { detached: true, stdio: ['ignore', log, log], cwd: '/', env: {} })
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve)
      child.once('error', (error) => reject(new Error(`${file} could not be started`, { cause: error })))
    })
    child.unref()
  } finally {
    closeSync(log)
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if (!hasErrno(error, 'ESRCH')) throw error
  }
}

const alive = (pid: number): boolean =>
  existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileIfPresent(`/proc/${pid}/status`) ?? 'State: Z')

/** Processes `knarr NAME`, also those that nobody supervises: their supervisor was killed, or a person started them. */
const workers = (name: string): number[] =>
  processes((pid) => {
    const words = (readFileIfPresent(`/proc/${pid}/cmdline`) ?? '').split('\0')
    const main = words.findIndex((word) => word.endsWith('/knarr/main.js'))
    return main > 0 && words[main + 1] === name
  })

/** Stops a service: politely, after ten seconds by force. Nothing to do is fine. */
export async function stopService(name: string): Promise<void> {
  if (hasSystemd() && existsSync(unitPath(name))) {
    systemctl('disable', '--now', `knarr-${name}`)
    rmSync(unitPath(name), { force: true })
    systemctl('daemon-reload')
  }
  // Again until there is nobody: a supervisor may have forked while we looked.
  for (;;) {
    const found = supervisors(name)
    const pids = [...new Set([...found.flatMap(childrenOf), ...workers(name)])]
    if (found.length + pids.length === 0) return rmSync(supervisorPath(name), { force: true })
    // The supervisor first, or it would start the service again.
    for (const pid of found) signal(pid, 'SIGKILL')
    for (const pid of pids) signal(pid, 'SIGTERM')
    for (let waited = 0; [...found, ...pids].some(alive); waited += 20) {
      if (waited > 10_000) for (const pid of pids) signal(pid, 'SIGKILL')
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

/** True when a service is there and supposed to run. */
export const isSupervised = (name: string): boolean => (hasSystemd() && existsSync(unitPath(name))) || supervisors(name).length > 0

/** Names of the services that a machine has. */
export const supervisedServices = (): string[] => ['server', 'agent'].filter(isSupervised)
