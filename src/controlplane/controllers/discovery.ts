// Which kinds the server serves, custom ones included: asked of the server, not of our own table.
import { type Kind, kind } from '../../api/index.js'
import type { Client } from '../../client/index.js'
import { readBody } from '../../lib/index.js'

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

async function read<T>(client: Client, url: string): Promise<T> {
  const response = await client.request({ method: 'GET', url, headers: {} })
  const bytes = await readBody(response.body)
  if (response.status !== 200) throw new Error(`discovery: GET ${url} was answered with ${response.status}`)
  return JSON.parse(Buffer.from(bytes).toString('utf8')) as T
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
