// Keys, bytes and revisions on disk: etcd's semantics over LMDB or etcd itself.
export * from './store.js'
