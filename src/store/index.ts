// Keys, bytes and revisions on disk: etcd's semantics over LMDB or etcd itself.

export * from './compactor.js'
export * from './encrypting.js'
export * from './etcd/etcd.js'
export * from './lmdb.js'
export type { LmdbStore } from './lmdb-store.js'
export * from './store.js'
