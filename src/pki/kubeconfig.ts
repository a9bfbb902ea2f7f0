// kubeconfig files: made, read, merged into an existing one.
import { parse, stringify } from 'yaml'
import type { KeyPair } from './certificate.js'

/** The file's shape, as far as we use it; other fields are carried along. */
export interface Kubeconfig {
  readonly apiVersion: 'v1'
  readonly kind: 'Config'
  readonly clusters: readonly { readonly name: string; readonly cluster: Readonly<Record<string, unknown>> }[]
  readonly users: readonly { readonly name: string; readonly user: Readonly<Record<string, unknown>> }[]
  readonly contexts: readonly { readonly name: string; readonly context: Readonly<Record<string, unknown>> }[]
  readonly 'current-context': string
  readonly preferences?: unknown
}

/** What a client needs to reach a cluster. */
export interface Access {
  /** `https://10.0.0.1:6443`. */
  readonly server: string
  /** PEM. */
  readonly ca: string
  readonly identity?: KeyPair
  readonly token?: string
}

const base64 = (text: string): string => Buffer.from(text).toString('base64')
const text = (value: unknown): string | undefined => (typeof value === 'string' ? Buffer.from(value, 'base64').toString('utf8') : undefined)

/** A file with one cluster, one user and one context named `user@cluster`. */
export function kubeconfig(access: Access, names: { readonly cluster: string; readonly user: string }): Kubeconfig {
  const context = `${names.user}@${names.cluster}`
  const user = access.identity
    ? { 'client-certificate-data': base64(access.identity.cert), 'client-key-data': base64(access.identity.key) }
    : { token: access.token ?? '' }
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: names.cluster, cluster: { 'certificate-authority-data': base64(access.ca), server: access.server } }],
    users: [{ name: names.user, user }],
    contexts: [{ name: context, context: { cluster: names.cluster, user: names.user } }],
    'current-context': context,
  }
}

export const writeKubeconfig = (config: Kubeconfig): string => stringify(config)

/** Reads a file; throws Error naming what is missing. */
export function readKubeconfig(source: string): Kubeconfig {
  const config = parse(source) as Partial<Kubeconfig> | null
  if (config?.kind !== 'Config') throw new Error('not a kubeconfig: kind is not Config')
  return {
    ...config,
    apiVersion: 'v1',
    kind: 'Config',
    clusters: config.clusters ?? [],
    users: config.users ?? [],
    contexts: config.contexts ?? [],
    'current-context': config['current-context'] ?? '',
  }
}

/** How the current context reaches its cluster. Certificates must be in the file itself. */
export function accessOf(config: Kubeconfig): Access {
  const name = config['current-context']
  const context = config.contexts.find((entry) => entry.name === name)?.context
  const cluster = config.clusters.find((entry) => entry.name === context?.cluster)?.cluster
  const user = config.users.find((entry) => entry.name === context?.user)?.user
  const ca = text(cluster?.['certificate-authority-data'])
  if (!cluster || typeof cluster.server !== 'string') throw new Error(`kubeconfig: no server for the context "${name}"`)
  if (ca === undefined) throw new Error(`kubeconfig: no certificate-authority-data for the context "${name}"`)
  const cert = text(user?.['client-certificate-data'])
  const key = text(user?.['client-key-data'])
  return {
    server: cluster.server,
    ca,
    ...(cert !== undefined && key !== undefined ? { identity: { cert, key } } : {}),
    ...(typeof user?.token === 'string' ? { token: user.token } : {}),
  }
}

const merged = <T extends { readonly name: string }>(old: readonly T[], added: readonly T[]): T[] => [
  ...old.filter(({ name }) => !added.some((entry) => entry.name === name)),
  ...added,
]

/** `added` takes the place of entries with the same names and becomes the current context; everything else stays. */
export const mergeKubeconfig = (old: Kubeconfig, added: Kubeconfig): Kubeconfig => ({
  ...old,
  clusters: merged(old.clusters, added.clusters),
  users: merged(old.users, added.users),
  contexts: merged(old.contexts, added.contexts),
  'current-context': added['current-context'],
})
