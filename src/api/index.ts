// The Kubernetes API as data. Pure.
export * from './generated/kinds.js'
export * from './kind.js'
