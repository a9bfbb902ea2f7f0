// The store that `--store` names.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock, Logger } from '../lib/index.js'
import { openLmdbStore, type Store } from '../store/index.js'

export interface StoreChoice {
  readonly dataDir: string
  /** '' for the embedded one. */
  readonly store: string
}

export async function openStore(options: StoreChoice, { clock }: { readonly clock: Clock; readonly log: Logger }): Promise<Store> {
  if (options.store !== '') throw new Error(`--store=${options.store}: only the embedded store is known; leave the flag out`)
  const path = join(options.dataDir, 'store')
  mkdirSync(path, { recursive: true, mode: 0o700 })
  return openLmdbStore({ path, clock })
}
