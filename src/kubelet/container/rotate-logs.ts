// Logs that have grown too long are moved aside; the runtime goes on in a new file.
import { createReadStream, createWriteStream, promises as fs } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import type { Cri } from '../../cri/index.js'
import { type Clock, explain, type Logger, sleep } from '../../lib/index.js'

export interface RotationOptions {
  readonly cri: Cri
  readonly clock: Clock
  readonly log: Logger
  readonly maxBytes: number
  readonly maxFiles: number
  readonly periodMs: number
  readonly running: () => readonly { readonly id: string; readonly logPath: string }[]
}

const stamp = (now: number): string => new Date(now).toISOString().slice(0, 19).replace(/[-:]/g, '').replace('T', '-')

const exists = (path: string): Promise<boolean> =>
  fs.access(path).then(
    () => true,
    () => false,
  )

async function compress(path: string): Promise<void> {
  await pipeline(createReadStream(path), createGzip(), createWriteStream(`${path}.tmp`, { mode: 0o640 }))
  await fs.rename(`${path}.tmp`, `${path}.gz`)
  await fs.rm(path)
}

/** The newest moved file stays as it is, because the runtime may still write its last lines; older ones are compressed, the oldest go. */
export async function rotateLog(logPath: string, id: string, { cri, clock, maxFiles }: RotationOptions): Promise<void> {
  const target = `${logPath}.${stamp(clock.now())}`
  // Moved a moment ago: its name is taken for the rest of the second.
  if ((await exists(target)) || (await exists(`${target}.gz`))) return
  const folder = dirname(logPath)
  const name = basename(logPath)
  const found = (await fs.readdir(folder)).filter((entry) => entry.startsWith(`${name}.`)).sort()
  // Half compressed, by a daemon that was killed.
  for (const entry of found.filter((each) => each.endsWith('.tmp'))) await fs.rm(join(folder, entry), { force: true })
  const moved = found.filter((entry) => !entry.endsWith('.tmp'))
  const keep = Math.max(0, maxFiles - 2)
  for (const entry of moved.slice(0, Math.max(0, moved.length - keep))) await fs.rm(join(folder, entry), { force: true })
  for (const entry of moved.slice(Math.max(0, moved.length - keep))) if (!entry.endsWith('.gz')) await compress(join(folder, entry))
  await fs.rename(logPath, target)
  try {
    await cri.reopenContainerLog(id)
  } catch (error) {
    await fs.rename(target, logPath)
    throw error
  }
}

export async function runRotation(options: RotationOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(options.clock, options.periodMs, signal).catch(() => {})
    if (signal.aborted) return
    for (const { id, logPath } of options.running()) {
      try {
        const { size } = await fs.stat(logPath)
        if (size >= options.maxBytes) await rotateLog(logPath, id, options)
      } catch (error) {
        options.log.debug('log not rotated', { container: id, err: explain(error) })
      }
    }
  }
}
