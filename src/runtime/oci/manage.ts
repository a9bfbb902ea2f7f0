// Commands that look at containers and change them: state, list, ps, kill, delete, pause, resume, update, events.
import { existsSync } from 'node:fs'
import { parseFlags, rfc3339, UsageError } from '../../lib/index.js'
import type { CgroupStats } from '../../sys/index.js'
import type { Resources } from '../spec.js'
import type { ContainerState } from '../types.js'
import { RuntimeError } from '../types.js'
import { onlyArgument } from './create.js'
import { eventsFlags, killFlags, listFlags, psFlags, removeFlags, updateFlags } from './flags.js'
import { readJson, type Session } from './session.js'

const nanoTime = (ms: number): string => rfc3339(ms).replace('Z', `.${String(ms % 1000).padStart(3, '0')}000000Z`)

/** The object that `runc state` and `runc list` print. */
function stateJson(state: ContainerState): Record<string, unknown> {
  return {
    ociVersion: state.ociVersion,
    id: state.id,
    pid: state.status === 'stopped' ? 0 : (state.pid ?? 0),
    status: state.status,
    bundle: state.bundle,
    rootfs: state.rootfs,
    created: nanoTime(state.createdAt),
    ...(state.annotations ? { annotations: state.annotations } : {}),
    owner: state.owner,
  }
}

export async function state(session: Session, argv: readonly string[]): Promise<number> {
  const { args } = parseFlags({}, argv)
  const found = await session.containers.state(onlyArgument(args))
  const { owner, ...printed } = stateJson(found)
  session.print(`${JSON.stringify({ ...printed, owner: owner === 'root' ? '' : owner }, undefined, 2)}\n`)
  return 0
}

function checkFormat(format: string): void {
  if (format !== 'table' && format !== 'json') throw new UsageError(`invalid format option "${format}": want table or json`)
}

export async function list(session: Session, argv: readonly string[]): Promise<number> {
  const { flags } = parseFlags(listFlags, argv)
  checkFormat(flags.format)
  const { root, rootGiven } = session.options
  if (rootGiven && !existsSync(root)) throw new RuntimeError('NotFound', `there is no folder ${root}`)
  const states = [...(await session.containers.list())].sort((a, b) => a.id.localeCompare(b.id))
  if (flags.quiet) for (const { id } of states) session.print(`${id}\n`)
  else if (flags.format === 'json') session.print(`${states.length === 0 ? 'null' : JSON.stringify(states.map(stateJson))}\n`)
  else {
    const rows = [
      ['ID', 'PID', 'STATUS', 'BUNDLE', 'CREATED', 'OWNER'],
      ...states.map((one) => {
        const { id, pid, status, bundle, created, owner } = stateJson(one)
        return [id, pid, status, bundle, created, owner].map(String)
      }),
    ]
    const widths = rows[0]?.map((_, column) => Math.max(11, ...rows.map((row) => row[column]?.length ?? 0))) ?? []
    for (const row of rows)
      session.print(`${row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd((widths[i] ?? 0) + 1))).join('')}\n`)
  }
  return 0
}

export async function ps(session: Session, argv: readonly string[]): Promise<number> {
  const { flags, args } = parseFlags(psFlags, argv, { stopAtArgument: true })
  checkFormat(flags.format)
  const [id, ...options] = args
  if (id === undefined) throw new UsageError('want a container id')
  const pids = await session.containers.pids(id)
  if (flags.format === 'json') {
    session.print(`${JSON.stringify(pids)}\n`)
    return 0
  }
  const { spawnSync } = await import('node:child_process')
  const result = spawnSync('ps', options.length > 0 ? options : ['-ef'], { encoding: 'utf8' })
  if (result.status !== 0) throw new Error(`ps: ${result.error?.message ?? result.stderr.trim()}`)
  const [heading = '', ...lines] = result.stdout.trimEnd().split('\n')
  const column = heading.trim().split(/\s+/).indexOf('PID')
  if (column < 0) throw new UsageError("couldn't find PID field in ps output")
  session.print(`${heading}\n`)
  for (const line of lines) {
    if (pids.includes(Number(line.trim().split(/\s+/)[column]))) session.print(`${line}\n`)
  }
  return 0
}

export async function kill(session: Session, argv: readonly string[]): Promise<number> {
  const { flags, args } = parseFlags(killFlags, argv)
  const [id, signal = 'SIGTERM', ...rest] = args
  if (id === undefined || rest.length > 0) throw new UsageError('want a container id and at most one signal')
  await session.containers.kill(id, signal, { all: flags.all })
  return 0
}

export async function remove(session: Session, argv: readonly string[]): Promise<number> {
  const { flags, args } = parseFlags(removeFlags, argv)
  await session.containers.delete(onlyArgument(args), { force: flags.force })
  return 0
}

export async function pause(session: Session, argv: readonly string[]): Promise<number> {
  await session.containers.pause(onlyArgument(parseFlags({}, argv).args))
  return 0
}

export async function resume(session: Session, argv: readonly string[]): Promise<number> {
  await session.containers.resume(onlyArgument(parseFlags({}, argv).args))
  return 0
}

/** `512m`, `1g`, `1024`, `-1` in bytes. */
export function bytesOf(text: string, flag: string): number {
  const match = /^(-?\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?$/i.exec(text.trim())
  if (!match) throw new UsageError(`invalid value for ${flag}: ${text}`)
  return Math.floor(Number(match[1]) * 1024 ** ' kmgtp'.indexOf((match[2] || ' ').toLowerCase()))
}

const defined = <T extends object>(object: T): T | undefined => {
  const entries = Object.entries(object).filter(([, value]) => value !== undefined)
  return entries.length > 0 ? (Object.fromEntries(entries) as T) : undefined
}

export async function update(session: Session, argv: readonly string[]): Promise<number> {
  const { flags, args } = parseFlags(updateFlags, argv)
  const id = onlyArgument(args)
  const size = (flag: 'memory' | 'memory-reservation' | 'memory-swap'): number | undefined => {
    const text = flags[flag]
    return text === undefined ? undefined : bytesOf(text, flag)
  }
  const resources: Resources = flags.resources
    ? (readJson(flags.resources) as Resources)
    : (JSON.parse(
        JSON.stringify({
          memory: defined({ limit: size('memory'), reservation: size('memory-reservation'), swap: size('memory-swap') }),
          cpu: defined({
            shares: flags['cpu-share'],
            quota: flags['cpu-quota'],
            burst: flags['cpu-burst'],
            period: flags['cpu-period'],
            idle: flags['cpu-idle'],
            realtimePeriod: flags['cpu-rt-period'],
            realtimeRuntime: flags['cpu-rt-runtime'],
            cpus: flags['cpuset-cpus'],
            mems: flags['cpuset-mems'],
          }),
          pids: defined({ limit: flags['pids-limit'] }),
          blockIO: defined({ weight: flags['blkio-weight'] }),
        }),
      ) as Resources)
  for (const flag of ['l3-cache-schema', 'mem-bw-schema'] as const) {
    if (flags[flag] !== undefined) throw new RuntimeError('Failed', `--${flag}: Intel RDT is not enabled`)
  }
  await session.containers.update(id, resources)
  return 0
}

/** Statistics in the shape of `runc events`. */
function eventData(stats: CgroupStats): Record<string, unknown> {
  const { cpu, memory, pids } = stats
  const unlimited = 2 ** 63
  return {
    cpu: {
      usage: { total: cpu.usageNsec, kernel: cpu.systemNsec, user: cpu.userNsec },
      throttling: { periods: cpu.periods, throttledPeriods: cpu.throttledPeriods, throttledTime: cpu.throttledNsec },
    },
    memory: {
      cache: memory.cache,
      usage: { limit: memory.limit ?? unlimited, usage: memory.usage, max: memory.maxUsage, failcnt: memory.failures },
      swap: { limit: memory.swapLimit ?? unlimited, usage: memory.swap, max: 0, failcnt: 0 },
      kernel: { limit: unlimited, failcnt: 0 },
      raw: memory.stat,
    },
    pids: { current: pids.current, ...(pids.limit === undefined ? {} : { limit: pids.limit }) },
    blkio: {},
    hugetlb: stats.hugetlb,
    intel_rdt: {},
    network_interfaces: null,
  }
}

/** Go's durations, as far as flags use them: `5s`, `500ms`, `1m30s`. */
export function durationMs(text: string): number {
  const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }
  let total = 0
  let rest = text
  while (rest !== '') {
    const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)/.exec(rest)
    if (!match) throw new UsageError(`invalid duration "${text}": want a form such as 5s`)
    total += Number(match[1]) * (units[match[2] ?? 's'] ?? 0)
    rest = rest.slice(match[0].length)
  }
  return total
}

export async function events(session: Session, argv: readonly string[]): Promise<number> {
  const { flags, args } = parseFlags(eventsFlags, argv)
  const id = onlyArgument(args)
  const interval = durationMs(flags.interval)
  if (interval <= 0) throw new UsageError('duration interval must be greater than 0')
  const { containers } = session
  const print = (type: string, data?: unknown): void => session.print(`${JSON.stringify({ type, id, ...(data ? { data } : {}) })}\n`)
  const { status } = await containers.state(id)
  if (status === 'stopped') throw new RuntimeError('WrongStatus', `container with id ${id} is not running`)
  const show = async (): Promise<void> => print('stats', eventData(await containers.stats(id)))
  if (flags.stats) {
    await show()
    return 0
  }
  const stopOom = containers.onOom(id, () => print('oom'))
  const timer = setInterval(() => void show().catch(() => {}), interval)
  try {
    await containers.untilFirstEnds(id, session.io.signal)
    return 0
  } finally {
    clearInterval(timer)
    stopOom()
  }
}
