// The environment of a container: Services, envFrom, env, in the order in which later ones win.
import type { ConfigMap, Container, Pod, Secret, Service } from '../../api/index.js'
import { expand } from './expand.js'
import { ConfigError, type FieldContext, fieldValue, resourceValue } from './fields.js'

/** Where the objects come from that a container names. */
export interface EnvSources {
  configMap(name: string): Promise<ConfigMap | undefined>
  secret(name: string): Promise<Secret | undefined>
  /** Services of the pod's namespace, and those of the `default` namespace that every pod sees. */
  services(): readonly Service[]
  /** For `fileKeyRef`: the text of a file in one of the pod's volumes. */
  file(volume: string, path: string): Promise<string | undefined>
}

const upper = (name: string): string => name.toUpperCase().replaceAll('-', '_')

/** Variables for Services, as Docker links had them. Headless Services have none. */
export function serviceVariables(pod: Pod, services: readonly Service[]): Map<string, string> {
  const links = pod.spec?.enableServiceLinks ?? true
  const chosen = new Map<string, Service>()
  for (const service of services) {
    const { clusterIP } = service.spec ?? {}
    if (!clusterIP || clusterIP === 'None') continue
    const { name, namespace } = service.metadata
    const isMaster = namespace === 'default' && name === 'kubernetes'
    if (isMaster ? !chosen.has(name) : links && namespace === pod.metadata.namespace) chosen.set(name, service)
  }
  const variables = new Map<string, string>()
  for (const [name, service] of [...chosen].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const prefix = upper(name)
    const ip = service.spec?.clusterIP ?? ''
    const ports = service.spec?.ports ?? []
    const [first] = ports
    if (!first) continue
    const host = ip.includes(':') ? `[${ip}]` : ip
    variables.set(`${prefix}_SERVICE_HOST`, ip)
    variables.set(`${prefix}_SERVICE_PORT`, String(first.port))
    for (const port of ports) if (port.name) variables.set(`${prefix}_SERVICE_PORT_${upper(port.name)}`, String(port.port))
    variables.set(`${prefix}_PORT`, `${(first.protocol ?? 'TCP').toLowerCase()}://${host}:${first.port}`)
    for (const port of ports) {
      const protocol = port.protocol ?? 'TCP'
      const of = `${prefix}_PORT_${port.port}_${protocol}`
      variables.set(of, `${protocol.toLowerCase()}://${host}:${port.port}`)
      variables.set(`${of}_PROTO`, protocol.toLowerCase())
      variables.set(`${of}_PORT`, String(port.port))
      variables.set(`${of}_ADDR`, ip)
    }
  }
  return variables
}

const decode = (base64: string): string => Buffer.from(base64, 'base64').toString('utf8')

async function fromAll(container: Container, sources: EnvSources, into: Map<string, string>): Promise<void> {
  for (const { configMapRef, secretRef, prefix = '' } of container.envFrom ?? []) {
    if (configMapRef) {
      const map = await sources.configMap(configMapRef.name ?? '')
      if (!map && !configMapRef.optional) throw new ConfigError(`configmap "${configMapRef.name}" not found`)
      for (const [key, value] of Object.entries(map?.data ?? {})) into.set(prefix + key, value)
    } else if (secretRef) {
      const secret = await sources.secret(secretRef.name ?? '')
      if (!secret && !secretRef.optional) throw new ConfigError(`secret "${secretRef.name}" not found`)
      for (const [key, value] of Object.entries(secret?.data ?? {})) into.set(prefix + key, decode(value))
    }
  }
}

type ValueFrom = NonNullable<NonNullable<Container['env']>[number]['valueFrom']>

/** Undefined when an optional source is missing: the variable is then left out. */
async function valueFrom(
  pod: Pod,
  container: Container,
  from: ValueFrom,
  sources: EnvSources,
  context: FieldContext,
): Promise<string | undefined> {
  const where = pod.metadata.namespace
  if (from.fieldRef) return fieldValue(pod, from.fieldRef.fieldPath, context)
  if (from.resourceFieldRef) return resourceValue(pod, container, from.resourceFieldRef, context.allocatable)
  if (from.configMapKeyRef) {
    const { name = '', key, optional } = from.configMapKeyRef
    const map = await sources.configMap(name)
    if (!map && !optional) throw new ConfigError(`configmap "${name}" not found`)
    const value = map?.data?.[key]
    if (map && value === undefined && !optional) throw new ConfigError(`couldn't find key ${key} in ConfigMap ${where}/${name}`)
    return value
  }
  if (from.secretKeyRef) {
    const { name = '', key, optional } = from.secretKeyRef
    const secret = await sources.secret(name)
    if (!secret && !optional) throw new ConfigError(`secret "${name}" not found`)
    const value = secret?.data?.[key]
    if (secret && value === undefined && !optional) throw new ConfigError(`couldn't find key ${key} in Secret ${where}/${name}`)
    return value === undefined ? undefined : decode(value)
  }
  if (from.fileKeyRef) {
    const { volumeName, path, key, optional } = from.fileKeyRef
    const text = await sources.file(volumeName, path)
    const value = text === undefined ? undefined : parseEnvFile(text).get(key)
    if (value === undefined && !optional) throw new ConfigError(`environment variable key "${key}" not found in file "${path}"`)
    return value
  }
  return ''
}

/** `NAME=value` lines; empty lines and those that begin with `#` are skipped. */
export function parseEnvFile(text: string): Map<string, string> {
  const values = new Map<string, string>()
  for (const line of text.split('\n')) {
    const trimmed = line.trim()
    const equals = trimmed.indexOf('=')
    if (trimmed === '' || trimmed.startsWith('#') || equals <= 0) continue
    const raw = trimmed.slice(equals + 1).trim()
    values.set(trimmed.slice(0, equals).trim(), /^'.*'$|^".*"$/.test(raw) ? raw.slice(1, -1) : raw)
  }
  return values
}

/** All variables of a container. Throws ConfigError when something that it names is missing. */
export async function environment(
  pod: Pod,
  container: Container,
  sources: EnvSources,
  context: FieldContext,
): Promise<ReadonlyMap<string, string>> {
  const result = new Map<string, string>()
  await fromAll(container, sources, result)
  const services = serviceVariables(pod, sources.services())
  for (const { name, value, valueFrom: from } of container.env ?? []) {
    if (from) {
      const found = await valueFrom(pod, container, from, sources, context)
      if (found !== undefined) result.set(name, found)
    } else
      result.set(
        name,
        expand(value ?? '', (other) => result.get(other) ?? services.get(other)),
      )
  }
  // A variable of the pod hides a Service of the same name.
  for (const [name, value] of services) if (!result.has(name)) result.set(name, value)
  return result
}
