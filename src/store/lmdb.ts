// The file of the default store: opened by one process at a time, made small when it is mostly empty, copied while it is in use.
import { mkdirSync } from 'node:fs'
import { open, type RootDatabase } from 'lmdb'
import type { Clock } from '../lib/index.js'
import { copyDatabase, createLmdbStore, type LmdbStore, RESOURCE } from './lmdb-store.js'
import { lockFolder } from './lock.js'
import { forgetUnfinished, isMostlyEmpty, shrink } from './shrink.js'

export interface LmdbStoreOptions {
  /** A folder of the store's own. Made if it is not there. */
  readonly path: string
  readonly clock: Clock
  /** Check every record at start, not only those that the last run may have left half done. */
  readonly verify?: boolean
}

const DATABASES = ['data', 'index', 'meta']

export async function openLmdbStore({ path, clock, verify = false }: LmdbStoreOptions): Promise<LmdbStore> {
  mkdirSync(path, { recursive: true, mode: 0o700 })
  const lock = await lockFolder(path)
  try {
    const file = `${path}/data.mdb`
    const openFile = (): RootDatabase =>
      // overlappingSync would resolve a put before its flush.
      open({ path: file, overlappingSync: false, maxDbs: 8, mapSize: 2 ** 28, permissions: 0o600, ...RESOURCE } as never)
    forgetUnfinished(file)
    let root = openFile()
    if (isMostlyEmpty(root, DATABASES)) {
      await shrink(root, file)
      root = openFile()
    }
    const store = createLmdbStore(root, clock, lock)
    if (verify) store.verify()
    return store
  } catch (error) {
    await lock.release()
    throw error
  }
}

/** Copies a store that another process may have open: LMDB lets any process read a consistent state. */
export async function backupLmdb(path: string, target: string): Promise<void> {
  const root = open({ path: `${path}/data.mdb`, readOnly: true, maxDbs: 8, ...RESOURCE } as never) as RootDatabase
  try {
    await copyDatabase(root, target)
  } finally {
    await root.close()
  }
}
