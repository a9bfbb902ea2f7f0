// Which kinds the server serves, custom ones included: asked of the server, not of our own table.
import { type Kind, kind, type OwnerReference, type Resource, type Scale } from '../../api/index.js'
import { type Client, resourcePath } from '../../client/index.js'
import { readBody } from '../../lib/index.js'
import { groupOf } from './objects.js'
import type { ScaleAnswer } from './types.js'

interface ServedResource {
  readonly name: string
  readonly kind: string
  readonly namespaced: boolean
  readonly verbs: readonly string[]
}

interface ServedGroup {
  readonly name: string
  readonly preferredVersion: { readonly version: string }
}

async function find<T>(client: Client, url: string): Promise<T | undefined> {
  const response = await client.request({ method: 'GET', url, headers: {} })
  const bytes = await readBody(response.body)
  if (response.status === 404) return undefined
  if (response.status !== 200) throw new Error(`discovery: GET ${url} was answered with ${response.status}`)
  return JSON.parse(Buffer.from(bytes).toString('utf8')) as T
}

async function read<T>(client: Client, url: string): Promise<T> {
  const found = await find<T>(client, url)
  if (!found) throw new Error(`discovery: GET ${url} was answered with 404`)
  return found
}

/** Kinds of one group that can be collected: listed, watched and deleted. */
export function collectable(group: string, version: string, resources: readonly ServedResource[]): Kind[] {
  return resources
    .filter(({ name, verbs }) => !name.includes('/') && ['delete', 'list', 'watch'].every((verb) => verbs.includes(verb)))
    .map((resource) =>
      kind({ group, version, kind: resource.kind, plural: resource.name, namespaced: resource.namespaced, subresources: [] }),
    )
}

/** Throws when a group cannot be read: deciding on half a list would delete what still has an owner. */
export async function discoverKinds(client: Client): Promise<readonly Kind[]> {
  const core = await read<{ resources: readonly ServedResource[] }>(client, '/api/v1')
  const { groups } = await read<{ groups: readonly ServedGroup[] }>(client, '/apis')
  const lists = await Promise.all(
    groups.map(async ({ name, preferredVersion: { version } }) => {
      const { resources } = await read<{ resources: readonly ServedResource[] }>(client, `/apis/${name}/${version}`)
      return collectable(name, version, resources)
    }),
  )
  return [...collectable('', 'v1', core.resources), ...lists.flat()]
}

/** How many pods an owner of any kind wants, as its /scale says; undefined when the owner is gone. */
export async function readScale(client: Client, owner: OwnerReference, namespace: string): Promise<ScaleAnswer> {
  const { apiVersion, name, uid } = owner
  const group = groupOf(apiVersion)
  const version = apiVersion.slice(group ? group.length + 1 : 0)
  const list = await find<{ resources: readonly ServedResource[] }>(client, `/${group ? 'apis' : 'api'}/${apiVersion}`)
  const served = list?.resources.find((each) => each.kind === owner.kind && !each.name.includes('/'))
  if (!list || !served) return { error: `no matches for kind "${owner.kind}" in version "${apiVersion}"` }
  const plural = served.name
  if (!list.resources.some((each) => each.name === `${plural}/scale`)) {
    return { error: `${group ? `${plural}.${group}` : plural} does not implement the scale subresource` }
  }
  const of = kind<Resource>({ group, version, kind: owner.kind, plural, namespaced: served.namespaced, subresources: ['scale'] })
  const scale = await find<Scale>(client, resourcePath(of, { namespace, name }, 'scale'))
  return scale?.metadata?.uid === uid ? (scale.spec?.replicas ?? 0) : undefined
}
