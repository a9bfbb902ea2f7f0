// The kernel's interfaces; the only folder that imports koffi.
export * from './cgroup/index.js'
export * from './libc/constants.js'
export * from './libc/libc.js'
export * from './libc/syscalls.js'
export * from './mount/mount.js'
export * from './mount/options.js'
export * from './netlink/index.js'
export * from './pipe/pipe.js'
