// Values of the downward API: fields of the pod, and resources of its containers.
import type { Container, Pod } from '../../api/index.js'
import { containersOf } from '../pod/containers.js'
import { amount } from '../pod/quantity.js'

/** What a pod does not know of itself. */
export interface FieldContext {
  readonly hostIps: readonly string[]
  readonly podIps: readonly string[]
  readonly nodeName: string
  /** For limits that are not set: the node's allocatable amounts. */
  readonly allocatable: Readonly<Record<string, string>>
}

/** A user's mistake in a pod that the API could not see. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

const quoted = (text: string): string => JSON.stringify(text)

/** As the downward API writes a map into a file: sorted, one `key="value"` a line. */
export const formatMap = (map: Readonly<Record<string, string>> | undefined): string =>
  Object.keys(map ?? {})
    .sort()
    .map((key) => `${key}=${quoted(map?.[key] ?? '')}`)
    .join('\n')

/** The value behind a `fieldPath`. */
export function fieldValue(pod: Pod, path: string, context: FieldContext): string {
  const { metadata, spec } = pod
  const subscript = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(path)
  if (subscript) return metadata[subscript[1] as 'labels' | 'annotations']?.[subscript[2] ?? ''] ?? ''
  switch (path) {
    case 'metadata.name':
      return metadata.name
    case 'metadata.namespace':
      return metadata.namespace ?? ''
    case 'metadata.uid':
      return metadata.uid ?? ''
    case 'metadata.labels':
      return formatMap(metadata.labels)
    case 'metadata.annotations':
      return formatMap(metadata.annotations)
    case 'spec.nodeName':
      return spec?.nodeName ?? context.nodeName
    case 'spec.serviceAccountName':
      return spec?.serviceAccountName ?? ''
    case 'status.hostIP':
      return context.hostIps[0] ?? ''
    case 'status.hostIPs':
      return context.hostIps.join(',')
    case 'status.podIP':
      return context.podIps[0] ?? ''
    case 'status.podIPs':
      return context.podIps.join(',')
    default:
      throw new ConfigError(`unsupported fieldPath: ${path}`)
  }
}

/** The value behind a `resourceFieldRef`, divided and rounded up. */
export function resourceValue(
  pod: Pod,
  own: Container | undefined,
  ref: { readonly containerName?: string | undefined; readonly resource: string; readonly divisor?: string | undefined },
  allocatable: Readonly<Record<string, string>>,
): string {
  const container = ref.containerName ? containersOf(pod).find(({ spec }) => spec.name === ref.containerName)?.spec : own
  if (!container) throw new ConfigError(`container ${ref.containerName ?? ''} not found`)
  const [list, ...rest] = ref.resource.split('.')
  const name = rest.join('.')
  if ((list !== 'limits' && list !== 'requests') || !name) throw new ConfigError(`unsupported container resource : ${ref.resource}`)
  const given = container.resources?.[list]?.[name] ?? (list === 'requests' ? container.resources?.limits?.[name] : undefined)
  // A limit that is not set is all the node has; a request that is not set is nothing.
  const value = given === undefined ? (list === 'limits' ? amount(allocatable[name]) : 0) : amount(given)
  const divisor = ref.divisor && amount(ref.divisor) > 0 ? amount(ref.divisor) : 1
  return String(Math.ceil(Number((value / divisor).toFixed(6))))
}
