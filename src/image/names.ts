// Which name points at which manifest: one small file per name, replaced whole.
import { createHash } from 'node:crypto'
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../lib/index.js'
import { readIfThere, type StorePaths, syncFolder, writeWhole } from './disk.js'
import { type Descriptor, isDigest } from './manifest.js'

export interface NameRecord {
  readonly name: string
  readonly target: Descriptor
  /** When it was last pointed at its target, in ms since 1970. */
  readonly updatedAt: number
}

export interface NameIndex {
  get(name: string): NameRecord | undefined
  set(name: string, target: Descriptor): void
  /** Several names for one target, on the disk together. */
  setAll(names: readonly string[], target: Descriptor): void
  remove(name: string): boolean
  list(): readonly NameRecord[]
}

/** A record that is not whole JSON of ours is treated as absent: it cannot come from writeWhole. */
function parseRecord(text: string): NameRecord | undefined {
  try {
    const raw = JSON.parse(text) as Partial<NameRecord>
    const target = raw.target
    if (typeof raw.name !== 'string' || typeof raw.updatedAt !== 'number') return undefined
    if (typeof target?.digest !== 'string' || !isDigest(target.digest) || typeof target.mediaType !== 'string') return undefined
    return raw as NameRecord
  } catch {
    return undefined
  }
}

export function nameIndex(paths: StorePaths, clock: Clock): NameIndex {
  const file = (name: string): string => join(paths.names, `${createHash('sha256').update(name).digest('hex')}.json`)
  const load = (path: string): NameRecord | undefined => {
    const text = readIfThere(path)
    return text === undefined ? undefined : parseRecord(text)
  }
  const setAll: NameIndex['setAll'] = (names, { mediaType, digest, size, platform }) => {
    for (const name of names) {
      const record: NameRecord = { name, target: { mediaType, digest, size, ...(platform ? { platform } : {}) }, updatedAt: clock.now() }
      writeWhole(file(name), JSON.stringify(record), { sync: 'file' })
    }
    if (names.length > 0) syncFolder(paths.names)
  }
  return {
    get: (name) => load(file(name)),
    set: (name, target) => setAll([name], target),
    setAll,
    remove(name) {
      if (load(file(name)) === undefined) return false
      rmSync(file(name), { force: true })
      syncFolder(paths.names)
      return true
    },
    list: () =>
      readdirSync(paths.names)
        .filter((entry) => entry.endsWith('.json'))
        .map((entry) => load(join(paths.names, entry)))
        .filter((record): record is NameRecord => record !== undefined)
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
  }
}
