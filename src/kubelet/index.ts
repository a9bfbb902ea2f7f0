// The node daemon: pods bound to this node become running containers, and the API learns the truth about them.

export { createKubelet } from './kubelet.js'
export * from './options.js'
export { type RemoteRuntime, remoteRuntime } from './remote-runtime/client.js'
export { type NodeApiServer, serveNodeApi } from './server/serve.js'
