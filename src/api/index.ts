// The Kubernetes API as data. Pure.
export * from './field-error.js'
export * from './generated/kinds.js'
export * from './json/value.js'
export * from './kind.js'
export * from './resource-type.js'
export * from './schema/schema.js'
