// What `--store` may say.
import { UsageError } from '../lib/index.js'

/** The endpoints of a store's URL; throws UsageError for what is none. */
export function etcdEndpoints(store: string): { readonly endpoints: readonly string[]; readonly tls: boolean } {
  const match = /^(etcds?):\/\/([^/]+)$/.exec(store)
  const hosts = match?.[2]?.split(',') ?? []
  if (!match || hosts.some((host) => !/:\d+$/.test(host))) {
    throw new UsageError(`--store: "${store}" is no store: leave it out for the embedded one, or write etcd://HOST:2379`)
  }
  const tls = match[1] === 'etcds'
  return { endpoints: hosts.map((host) => `${tls ? 'https' : 'http'}://${host}`), tls }
}
