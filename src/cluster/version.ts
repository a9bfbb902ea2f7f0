// What we say we are.
export const KUBERNETES_VERSION = 'v1.37.0+knarr'
