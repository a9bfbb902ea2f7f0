// Notices that the machine goes down, and holds it up until the pods have ended: through logind where it is, on SIGPWR everywhere.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { abortable, explain, type Logger } from '../lib/index.js'

const MANAGER = ['org.freedesktop.login1', '/org/freedesktop/login1', 'org.freedesktop.login1.Manager'] as const
/** Only logind itself may say it: anybody on the bus can send a signal of that name. */
const MATCH = `type='signal',sender='${MANAGER[0]}',interface='${MANAGER[2]}',member='PrepareForShutdown'`
const DROP_IN = '/etc/systemd/logind.conf.d/99-knarr.conf'

export interface ShutdownOptions {
  /** How long pods may take altogether. */
  readonly graceSeconds: number
  /** Ends the pods; resolves when nothing runs any more. */
  readonly shutdown: () => Promise<void>
  readonly log: Logger
}

const run = (command: string, ...args: readonly string[]): string => {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', timeout: 10_000 })
  if (error) throw error
  if (status !== 0) throw new Error(`${command} ${args[0] ?? ''}: ${stderr.trim()}`)
  return stdout
}

/** logind waits no longer for anybody than it is set to. */
function raiseDelay(graceSeconds: number, log: Logger): void {
  const allowed = Number(run('busctl', '--system', 'get-property', ...MANAGER, 'InhibitDelayMaxUSec').split(' ')[1]) / 1e6
  if (allowed >= graceSeconds) return
  mkdirSync('/etc/systemd/logind.conf.d', { recursive: true })
  writeFileSync(DROP_IN, `# Pods need this long to end.\n[Login]\nInhibitDelayMaxSec=${graceSeconds}\n`)
  run('systemctl', 'kill', '--signal=HUP', 'systemd-logind')
  log.info('logind waits longer for pods now', { seconds: graceSeconds, before: allowed })
}

/** A lock that logind waits for when the machine is to go down. Held by a small process, because it is an open file of logind's. */
function hold(): { readonly child: ChildProcess; release(): void } {
  const what = ['--what=shutdown', '--who=knarr', '--why=pods are being stopped', '--mode=delay']
  const child = spawn('systemd-inhibit', [...what, 'cat'], { stdio: ['pipe', 'ignore', 'ignore'] })
  child.on('error', () => {})
  return { child, release: () => void child.stdin?.end() }
}

/** The argument of a PrepareForShutdown in a line of `busctl monitor --json=short`; undefined for other lines. */
export function preparation(line: string): boolean | undefined {
  try {
    const { member, payload } = JSON.parse(line) as { member?: string; payload?: { data?: unknown[] } }
    const [begins] = payload?.data ?? []
    return member === 'PrepareForShutdown' && typeof begins === 'boolean' ? begins : undefined
  } catch {
    return undefined
  }
}

async function followLogind(options: ShutdownOptions, signal: AbortSignal): Promise<void> {
  try {
    raiseDelay(options.graceSeconds, options.log)
  } catch (error) {
    options.log.warn('logind may not wait long enough for pods', { seconds: options.graceSeconds, err: explain(error) })
  }
  let lock = hold()
  const monitor = spawn('busctl', ['--system', 'monitor', '--json=short', `--match=${MATCH}`], { stdio: ['ignore', 'pipe', 'ignore'] })
  monitor.on('error', (error) => options.log.warn('logind is not followed', { err: error }))
  const end = (): void => {
    monitor.kill()
    lock.release()
  }
  signal.addEventListener('abort', end, { once: true })
  if (signal.aborted) end()
  for await (const line of createInterface({ input: monitor.stdout })) {
    const begins = preparation(line)
    if (begins) {
      await options.shutdown()
      lock.release()
    } else if (begins === false) lock = hold() // It was called off.
  }
  lock.release()
}

/** Works until aborted. */
export async function watchShutdown(options: ShutdownOptions, signal: AbortSignal): Promise<void> {
  const { shutdown, log } = options
  const onPower = (): void => void shutdown().catch((error: unknown) => log.error('pods not stopped', { err: error }))
  process.on('SIGPWR', onPower)
  try {
    if (options.graceSeconds > 0 && existsSync('/run/systemd/seats')) await followLogind(options, signal)
    await abortable(new Promise<never>(() => {}), signal)
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    process.off('SIGPWR', onPower)
  }
}
