// Where an object lives in the URL space of the API.
import type { Kind, Resource } from '../api/index.js'

/** Names one object; `namespace` is left out for cluster-scoped kinds. */
export interface ObjectKey {
  readonly namespace?: string | undefined
  readonly name: string
}

/** `namespace/name`, or `name` alone: how caches and queues name objects. */
export const keyOf = (object: { readonly metadata: { readonly namespace?: string | undefined; readonly name: string } }): string =>
  keyString(object.metadata)

export const keyString = ({ namespace, name }: ObjectKey): string => (namespace ? `${namespace}/${name}` : name)

/** The reverse of `keyString`. */
export function parseKey(key: string): ObjectKey {
  const slash = key.indexOf('/')
  return slash < 0 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) }
}

export type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>

/** `?a=1&b=2`, or '' when nothing is set. */
export function queryString(query: Query): string {
  const parts: string[] = []
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined || value === '') continue
    for (const each of Array.isArray(value) ? value : [value]) parts.push(`${name}=${encodeURIComponent(String(each))}`)
  }
  return parts.length > 0 ? `?${parts.join('&')}` : ''
}

/** `/apis/apps/v1/namespaces/default/deployments/web/status`. Without a name: the collection. */
export function resourcePath(
  kind: Kind<Resource>,
  at: { readonly namespace?: string | undefined; readonly name?: string | undefined },
  subresource?: string,
): string {
  const root = kind.group ? `/apis/${kind.group}/${kind.version}` : `/api/${kind.version}`
  const namespace = kind.namespaced && at.namespace ? `/namespaces/${encodeURIComponent(at.namespace)}` : ''
  const name = at.name ? `/${encodeURIComponent(at.name)}` : ''
  return `${root}${namespace}/${kind.plural}${name}${subresource ? `/${subresource}` : ''}`
}
