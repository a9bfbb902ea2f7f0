// Which servers to ask for a registry, and how: the hosts.toml layout of containerd, and plain certificate folders of docker.
// https://github.com/containerd/containerd/blob/main/docs/hosts.md
import { readdirSync } from 'node:fs'
import { dirname, isAbsolute, join } from 'node:path'
import { hasErrno } from '../lib/index.js'
import { readIfThere } from './disk.js'
import { parseToml, type TomlTable, type TomlValue } from './toml.js'

export type Capability = 'pull' | 'resolve' | 'push'

/** How to connect to a server. */
export interface ConnectSettings {
  /** PEM of authorities beside the system's. */
  readonly ca?: readonly string[]
  readonly cert?: string
  readonly key?: string
  readonly skipVerify?: boolean
  readonly dialTimeoutMs?: number
}

export interface RegistryHost {
  /** With the API's path: `https://registry-1.docker.io/v2`. */
  readonly base: string
  readonly capabilities: readonly Capability[]
  readonly headers: Readonly<Record<string, string>>
  readonly connect: ConnectSettings
  /** A stand-in: it is told which registry is meant. */
  readonly mirror: boolean
}

export interface HostsOptions {
  /** Looked through in this order. */
  readonly folders: readonly string[]
  /** Ask this registry without TLS. */
  readonly plainHttp?: boolean
  /** Do not check certificates. */
  readonly insecure?: boolean
  /** PEM files with further authorities. */
  readonly caFiles?: readonly string[]
}

export const defaultHostFolders = ['/etc/knarr/certs.d', '/etc/containerd/certs.d', '/etc/docker/certs.d'] as const

const ALL: readonly Capability[] = ['pull', 'resolve', 'push']

const isTable = (value: TomlValue | undefined): value is TomlTable => typeof value === 'object' && value !== null && !Array.isArray(value)

const asList = (value: TomlValue | undefined): readonly TomlValue[] =>
  value === undefined ? [] : Array.isArray(value) ? value : [value as TomlValue]

/** docker.io is a name, not a server. */
const defaultServer = (domain: string): string => (domain === 'docker.io' ? 'registry-1.docker.io' : domain)

export const isLoopback = (domain: string): boolean => /^(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/.test(domain)

function readPem(path: string, folder: string): string {
  const full = isAbsolute(path) ? path : join(folder, path)
  const text = readIfThere(full)
  if (text === undefined) throw new Error(`certificate file ${full} is not there`)
  return text
}

/** `client` in its three forms: a file with both, a pair, a list of pairs (the first is used). */
function clientOf(value: TomlValue | undefined, folder: string): Pick<ConnectSettings, 'cert' | 'key'> {
  const first = asList(value)[0]
  if (first === undefined) return {}
  const [cert, key] = Array.isArray(first) ? (first as readonly TomlValue[]) : [first]
  if (typeof cert !== 'string' || cert === '') return {}
  const certText = readPem(cert, folder)
  return { cert: certText, key: typeof key === 'string' && key !== '' ? readPem(key, folder) : certText }
}

const UNITS_MS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1, us: 1e-3, µs: 1e-3, ns: 1e-6 }

/** A duration as Go writes it: `1m30s`, `500ms`. */
function durationMs(name: string, value: TomlValue): number {
  const parts =
    typeof value === 'string' && /^([\d.]+(h|ms|m|s|us|µs|ns))+$/.test(value) ? value.matchAll(/([\d.]+)(h|ms|m|s|us|µs|ns)/g) : []
  const ms = [...parts].reduce((sum, [, count, unit = '']) => sum + Number(count) * (UNITS_MS[unit] ?? Number.NaN), 0)
  if (!(ms > 0)) throw new Error(`${name}: want a duration such as "2s", not ${JSON.stringify(value)}`)
  return ms
}

/** None named are all. */
function capabilitiesOf(value: TomlValue | undefined): readonly Capability[] {
  const words = asList(value)
  const unknown = words.find((word) => !ALL.includes(word as Capability))
  if (unknown !== undefined) throw new Error(`capabilities: want ${ALL.join(', ')}, not ${JSON.stringify(unknown)}`)
  return words.length === 0 ? ALL : (words as readonly Capability[])
}

/** Without a scheme it is TLS, but on this machine. */
function urlOf(text: string): URL {
  const [, scheme, rest = text] = /^(\w+:\/\/)(.*)$/.exec(text) ?? []
  const full = scheme ?? (isLoopback(rest.replace(/\/.*/, '')) ? 'http://' : 'https://')
  const url = URL.canParse(full + rest) ? new URL(full + rest) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) throw new Error(`host "${text}": want an http or https address`)
  return url
}

function hostOf(url: string, table: TomlTable, folder: string, mirror: boolean): RegistryHost {
  const full = urlOf(url)
  const path = full.pathname.replace(/\/+$/, '')
  const suffix = table.override_path === true ? path : path.endsWith('/v2') ? path : `${path}/v2`
  const ca = asList(table.ca)
    .filter((file): file is string => typeof file === 'string')
    .map((file) => readPem(file, folder))
  const headers: Record<string, string> = {}
  if (isTable(table.header))
    for (const [name, value] of Object.entries(table.header)) headers[name.toLowerCase()] = asList(value).map(String).join(', ')
  return {
    base: `${full.origin}${suffix}`,
    capabilities: capabilitiesOf(table.capabilities),
    headers,
    connect: {
      ...(ca.length > 0 ? { ca } : {}),
      ...clientOf(table.client, folder),
      ...(table.skip_verify === true ? { skipVerify: true } : {}),
      ...(table.dial_timeout === undefined ? {} : { dialTimeoutMs: durationMs('dial_timeout', table.dial_timeout) }),
    },
    mirror,
  }
}

/** The hosts that a hosts.toml names, mirrors first, the registry itself last. */
export function parseHosts(text: string, options: { readonly domain: string; readonly folder: string }): readonly RegistryHost[] {
  const file = parseToml(text)
  const hosts = isTable(file.host) ? Object.entries(file.host) : []
  const mirrors = hosts.map(([url, table]) => {
    if (!isTable(table)) throw new Error(`host "${url}" is not a table`)
    return hostOf(url, table, options.folder, true)
  })
  const server = typeof file.server === 'string' ? file.server : `https://${defaultServer(options.domain)}`
  const own = hostOf(server, file, options.folder, false)
  return mirrors.some(({ base }) => base === own.base) ? mirrors : [...mirrors, own]
}

/** The folder names under which a registry's settings may lie. */
const folderNames = (domain: string): readonly string[] => {
  const port = /^(.*):(\d+)$/.exec(domain)
  return port ? [domain, `${port[1]}_${port[2]}_`] : [domain]
}

/** Docker's layout: `*.crt` are authorities, `*.cert` with `*.key` a client certificate. */
function certificatesIn(folder: string): ConnectSettings | undefined {
  let files: readonly string[]
  try {
    files = readdirSync(folder)
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return undefined
    throw error
  }
  const ca = files.filter((file) => file.endsWith('.crt')).map((file) => readPem(file, folder))
  const cert = files.find((file) => file.endsWith('.cert'))
  const key = cert?.replace(/\.cert$/, '.key')
  const client =
    cert !== undefined && key !== undefined && files.includes(key) ? { cert: readPem(cert, folder), key: readPem(key, folder) } : {}
  return ca.length === 0 && !('cert' in client) ? undefined : { ...(ca.length > 0 ? { ca } : {}), ...client }
}

/** The servers to ask for `domain`, in order. */
export function hostsFor(domain: string, options: HostsOptions): readonly RegistryHost[] {
  const extra = options.caFiles?.map((file) => readPem(file, dirname(file)))
  const adjust = (host: RegistryHost): RegistryHost => ({
    ...host,
    base: options.plainHttp ? host.base.replace(/^https:/, 'http:') : host.base,
    connect: {
      ...host.connect,
      ...(extra && extra.length > 0 ? { ca: [...(host.connect.ca ?? []), ...extra] } : {}),
      ...(options.insecure ? { skipVerify: true } : {}),
    },
  })
  for (const names of [folderNames(domain), ['_default']])
    for (const folder of options.folders.flatMap((base) => names.map((name) => join(base, name)))) {
      const text = readIfThere(join(folder, 'hosts.toml'))
      if (text !== undefined) {
        try {
          return parseHosts(text, { domain, folder }).map(adjust)
        } catch (error) {
          throw new Error(join(folder, 'hosts.toml'), { cause: error })
        }
      }
      const connect = certificatesIn(folder)
      if (connect) return [adjust({ ...hostOf(`https://${defaultServer(domain)}`, {}, folder, false), connect })]
    }
  const own = adjust(hostOf(`https://${defaultServer(domain)}`, {}, '/', false))
  // A registry on this machine is often a plain one: ask without TLS when TLS does not work.
  if (isLoopback(domain) && !options.plainHttp && !options.insecure) return [own, { ...own, base: own.base.replace(/^https:/, 'http:') }]
  return [own]
}
