// The node daemon: pods bound to this node become running containers, and the API learns the truth about them.

import type { Clock } from '../lib/index.js'
import type { RemoteRuntime } from './remote-runtime/client.js'

export { createKubelet } from './kubelet.js'
export * from './options.js'
export type { RemoteRuntime } from './remote-runtime/client.js'

/** Somebody else's CRI runtime on a socket. Loaded late: gRPC takes 100 ms and several megabytes. */
export const remoteRuntime = async (endpoint: string, clock: Clock): Promise<RemoteRuntime> =>
  (await import('./remote-runtime/client.js')).remoteRuntime(endpoint, clock)
export { parseResolvConf } from './sandbox/dns.js'
export { type NodeApiServer, serveNodeApi } from './server/serve.js'
