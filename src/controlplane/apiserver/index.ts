// The Kubernetes API over a store. See README.md.
export { type ServeOptions, type Serving, serve } from './http/serve.js'
export * from './options.js'
export { createApiServer } from './server.js'
