// What is known of sandboxes and containers, kept on disk: one JSON file each, written whole or not at all. A record is written
// before anything is made and removed after everything is gone, so whatever a killed daemon leaves can be found and finished.

import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Logger } from '../lib/index.js'
import type { ExitStatus } from '../runtime/index.js'
import type { ContainerConfig, LinuxContainerResources, PodSandboxConfig } from './types.js'

/**
 * `creating`: half-made, taken down at the next start of the daemon. `ready`: lives, or lived until its process ended.
 * `stopped`: was told to stop (sandboxes only). `removing`: being taken down.
 */
export type Phase = 'creating' | 'ready' | 'stopped' | 'removing'

export interface SandboxRecord {
  readonly id: string
  readonly config: PodSandboxConfig
  readonly runtimeHandler: string
  readonly createdAt: number
  readonly phase: Phase
  /** Where its network namespace is kept; absent with the host's network. */
  readonly netns?: string
  readonly ips: readonly string[]
  readonly pausePid: number
  /** Where the kernel has SELinux: the level that its containers have when they name none. */
  readonly selinuxLevel?: string
  /** Of the machine's boot in which it was made. */
  readonly bootId: string
}

export interface ContainerExit extends Pick<ExitStatus, 'exitCode' | 'startedAt' | 'finishedAt'> {
  readonly reason: string
  readonly message: string
}

export interface ContainerRecord {
  readonly id: string
  readonly sandboxId: string
  readonly config: ContainerConfig
  readonly createdAt: number
  readonly phase: Phase
  readonly logPath: string
  readonly imageId: string
  readonly imageRef: string
  readonly user: { readonly uid: number; readonly gid: number; readonly supplementalGroups: readonly number[] }
  /** As the runtime understands it: `SIGTERM`, `RTMIN+3`. */
  readonly stopSignal: string
  readonly resources: LinuxContainerResources
  /** Snapshots of images that are mounted into it. */
  readonly imageMounts: readonly string[]
  readonly startedAt: number
  readonly exit?: ContainerExit
  /** Why its program cannot be executed: known when it was made, said when it is started. */
  readonly unstartable?: string
  /** Process that keeps the container's standard input open while nobody is attached. */
  readonly stdinKeeper?: number
  readonly bootId: string
}

export interface RecordStore<T extends { readonly id: string }> {
  readonly all: ReadonlyMap<string, T>
  get(id: string): T | undefined
  /** Throws when the disk does not take it. */
  save(record: T): T
  /** What has happened has happened, and what is taken away goes: also when the disk is full. The next daemon asks the runtime. */
  note(record: T): void
  remove(id: string): void
}

/** Reads what is there; files that are not whole are thrown away, for their makers did not come to do anything. */
export function openRecords<T extends { readonly id: string }>(dir: string, log: Logger): RecordStore<T> {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const all = new Map<string, T>()
  for (const name of readdirSync(dir)) {
    const path = join(dir, name)
    try {
      if (!name.endsWith('.json')) throw new Error('left over')
      const record = JSON.parse(readFileSync(path, 'utf8')) as T
      all.set(record.id, record)
    } catch {
      rmSync(path, { recursive: true, force: true })
    }
  }
  const path = (id: string): string => join(dir, `${id}.json`)
  const write = (record: T): void => {
    const file = path(record.id)
    try {
      writeFileSync(`${file}.new`, JSON.stringify(record), { mode: 0o600 })
      renameSync(`${file}.new`, file)
    } catch (error) {
      rmSync(`${file}.new`, { force: true })
      throw error
    }
  }
  return {
    all,
    get: (id) => all.get(id),
    save(record) {
      write(record)
      all.set(record.id, record)
      return record
    },
    note(record) {
      all.set(record.id, record)
      try {
        write(record)
      } catch (err) {
        log.error('record not written', { id: record.id, err })
      }
    },
    remove(id) {
      rmSync(path(id), { force: true })
      all.delete(id)
    },
  }
}
