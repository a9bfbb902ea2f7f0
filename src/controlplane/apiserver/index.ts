// The Kubernetes API over a store. See README.md.
export * from './options.js'
