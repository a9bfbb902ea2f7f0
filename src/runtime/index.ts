// The container runtime: OCI specs become syscall programs, containers live without the daemon.
export * from './host.js'
export * from './spec.js'
export * from './types.js'
