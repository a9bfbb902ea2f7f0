// Pod networks: the Container Network Interface as caller and as plugins.
export { type AttachRequest, type Cni, type CniOptions, createCni } from './cni.js'
export { parseNetwork } from './config.js'
export { CNI_TABLE } from './firewall.js'
export { type Overlay, type OverlayOptions, overlay } from './overlay/overlay.js'
export { type OverlayMode, type OverlayNode, type OverlayPlan, planOverlay } from './overlay/plan.js'
export { builtinPlugins } from './plugins/index.js'
export * from './types.js'
export { CNI_VERSIONS } from './versions.js'
