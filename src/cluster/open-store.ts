// The store that `--store` names.
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Clock, type Random, UsageError } from '../lib/index.js'
import { openEtcdStore, openLmdbStore, type Store } from '../store/index.js'
import { etcdEndpoints } from './store-url.js'

export interface StoreChoice {
  readonly dataDir: string
  /** '' for the embedded one; `etcd://HOST:PORT[,HOST:PORT…]`, or `etcds://…` for TLS. */
  readonly store: string
  /** Files, PEM. */
  readonly etcdCaFile: string
  readonly etcdCertFile: string
  readonly etcdKeyFile: string
}

export async function openStore(
  options: StoreChoice,
  { clock, random }: { readonly clock: Clock; readonly random: Random },
): Promise<Store> {
  if (options.store === '') {
    const path = join(options.dataDir, 'store')
    mkdirSync(path, { recursive: true, mode: 0o700 })
    return openLmdbStore({ path, clock })
  }
  const { endpoints, tls } = etcdEndpoints(options.store)
  if (!tls) return openEtcdStore({ endpoints, clock, random })
  const pem = (file: string): string | undefined => (file === '' ? undefined : readFileSync(file, 'utf8'))
  const [ca, cert, key] = [pem(options.etcdCaFile), pem(options.etcdCertFile), pem(options.etcdKeyFile)]
  if (ca === undefined) throw new UsageError('--etcd-cafile is missing: with etcds:// it says whom to believe')
  return openEtcdStore({ endpoints, clock, random, tls: { ca, ...(cert ? { cert } : {}), ...(key ? { key } : {}) } })
}
