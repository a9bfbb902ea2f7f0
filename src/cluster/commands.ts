// Every command of `knarr`, in the order in which help shows them. Loaded when called, so that one command does not pay for another.
import type { Command } from '../lib/index.js'

export interface CommandEntry {
  readonly summary: string
  load(): Promise<Command>
}

export const commands: Readonly<Record<string, CommandEntry>> = {
  up: { summary: 'Start a cluster of one node on this machine', load: async () => (await import('./command/up.js')).upCommand },
  down: { summary: 'Stop the cluster of this machine', load: async () => (await import('./command/up.js')).downCommand },
  init: { summary: 'Make this machine the first of a cluster', load: async () => (await import('./command/up.js')).initCommand },
  join: { summary: 'Make this machine a node of a cluster', load: async () => (await import('./command/join.js')).joinCommandEntry },
  token: { summary: 'Tokens for joining: create, list, delete', load: async () => (await import('./command/token.js')).tokenCommand },
  reset: { summary: 'Take everything of knarr off this machine', load: async () => (await import('./command/up.js')).resetCommand },
  server: { summary: 'Run the control plane in the foreground', load: async () => (await import('./command/server.js')).server },
  agent: { summary: 'Run a node in the foreground', load: async () => (await import('./command/agent.js')).agent },
  backup: {
    summary: 'Copy the embedded store into a folder, also while the server runs',
    load: async () => (await import('../store/command.js')).backup,
  },
  restore: {
    summary: 'Put a backup in the place of the embedded store',
    load: async () => (await import('../store/command.js')).restore,
  },
  cri: { summary: 'Serve the Container Runtime Interface on a socket', load: async () => (await import('../cri/command.js')).cri },
  cni: {
    summary: 'Pod networks: our CNI plugins for others, and the caller by hand',
    load: async () => (await import('../cni/command.js')).cni,
  },
  image: { summary: 'Pull, keep and push images', load: async () => (await import('../image/command.js')).image },
  oci: { summary: 'Run OCI containers with the command line of runc', load: async () => (await import('../runtime/command.js')).oci },
}
