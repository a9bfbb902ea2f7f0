// The container runtime: OCI specs become syscall programs, containers live without the daemon.
export { createRuntime, type RuntimeOptions } from './containers.js'
export * from './host.js'
export { pauseProgram } from './pause.js'
export * from './spec.js'
export * from './types.js'
