// Images: pulled, kept, unpacked and pushed; mounts are returned as values.
export * from './manifest.js'
export * from './reference.js'
export * from './types.js'
