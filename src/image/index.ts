// Images: pulled, kept, unpacked and pushed; mounts are returned as values.
export { chainId } from './layers.js'
export * from './manifest.js'
export { formatPlatform, hostPlatform, parsePlatform } from './platform.js'
export * from './reference.js'
export { createImageStore, type ImageStoreOptions } from './store.js'
export { copyTree } from './tree.js'
export * from './types.js'
export { defaultLimits } from './unpack.js'
