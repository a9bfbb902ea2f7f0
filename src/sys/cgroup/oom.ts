// Tells when a group runs out of memory: an eventfd on v1, a file notification on v2.
import { closeSync, openSync, readSync, watch } from 'node:fs'
import type { Clock } from '../../lib/index.js'
import { onReadable } from '../libc/libc.js'
import { eventFd } from '../native.js'
import { readGroupFile, writeGroupFile } from './files.js'

export function watchOom(folder: string, version: 'v1' | 'v2', clock: Clock, report: (kills: number) => void): () => void {
  return version === 'v1' ? watchV1(folder, clock, report) : watchV2(folder, report)
}

const killsIn = (file: string): number | undefined => {
  const line = /^oom_kill (\d+)$/m.exec(readGroupFile(file) ?? '')
  return line ? Number(line[1]) : undefined
}

/** v1: the kernel adds to an eventfd that was registered in cgroup.event_control, at each OOM and when the group goes. */
function watchV1(folder: string, clock: Clock, report: (kills: number) => void): () => void {
  const file = `${folder}/memory.oom_control`
  let before = killsIn(file) ?? 0
  let stopped = false
  const event = eventFd()
  const control = openSync(file, 'r')
  try {
    writeGroupFile(`${folder}/cgroup.event_control`, `${event} ${control}`)
  } catch (error) {
    closeSync(event)
    throw error
  } finally {
    closeSync(control)
  }
  // The event comes before the kill is counted: look again until it is.
  const look = (pause: number): void => {
    const now = stopped ? undefined : killsIn(file)
    if (now === undefined) return
    if (now > before) {
      before = now
      report(now)
    } else if (pause < 2000) clock.after(pause, () => look(pause * 2))
  }
  const counter = Buffer.alloc(8)
  const stop = onReadable(event, () => {
    readSync(event, counter)
    look(2)
  })
  return () => {
    if (stopped) return
    stopped = true
    stop()
    closeSync(event)
  }
}

/** v2: memory.events is touched at every change; only a change of its kill count is news. */
function watchV2(folder: string, report: (kills: number) => void): () => void {
  const file = `${folder}/memory.events`
  let before = killsIn(file) ?? 0
  const watcher = watch(file, { persistent: false }, () => {
    const now = killsIn(file)
    if (now === undefined || now <= before) return
    before = now
    report(now)
  })
  return () => watcher.close()
}
