// Certificates and keys of a cluster, and the files that carry them.
export * from './certificate.js'
export * from './csr.js'
export { fromPem, toPem } from './der.js'
export * from './kubeconfig.js'
export { type AltNames, decodeSubject, ipBytes, ipText, type Subject } from './names.js'
export { EXTENDED_USAGES, KEY_USAGES, type KeyUsage } from './oids.js'
export { type PodKey, podKey } from './pod-key.js'
