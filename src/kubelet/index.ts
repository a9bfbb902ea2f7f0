// The node daemon: pods bound to this node become running containers, and the API learns the truth about them.
export * from './options.js'
