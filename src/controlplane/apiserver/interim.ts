// Documents and field ownership until src/api brings them: discovery in full, OpenAPI without schemas.
import type { CustomResourceDefinition, JsonObject, ResourceType } from '../../api/index.js'

interface TrackOptions {
  readonly manager: string
  readonly time: string
  readonly subresource: string
}

export function trackUpdate(_type: ResourceType, _next: JsonObject, _previous: JsonObject | undefined, _options: TrackOptions): void {}

export function applyConfiguration(
  _type: ResourceType,
  _previous: JsonObject | undefined,
  wish: JsonObject,
  _options: TrackOptions & { readonly force: boolean },
): JsonObject {
  return wish
}

export const customResources = (_definition: CustomResourceDefinition): readonly ResourceType[] => []

function groupBy<T, K>(items: readonly T[], keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>()
  for (const item of items) {
    const key = keyOf(item)
    const group = groups.get(key)
    if (group) group.push(item)
    else groups.set(key, [item])
  }
  return groups
}

const pathOf = ({ group, version, apiVersion }: ResourceType): string => (group ? `/apis/${apiVersion}` : `/api/${version}`)

function resourceList(types: readonly ResourceType[]): JsonObject {
  const resources = types.flatMap((type) => [
    {
      name: type.plural,
      singularName: type.singular,
      namespaced: type.namespaced,
      kind: type.kind,
      verbs: [...type.verbs],
      ...(type.shortNames.length > 0 && { shortNames: [...type.shortNames] }),
      ...(type.categories.length > 0 && { categories: [...type.categories] }),
    },
    ...type.subresourceTypes.map(({ name, group, version, kind, verbs }) => ({
      name: `${type.plural}/${name}`,
      singularName: '',
      namespaced: type.namespaced,
      kind,
      verbs: [...verbs],
      ...(group !== type.group && { group, version }),
    })),
  ])
  return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion: types[0]?.apiVersion ?? '', resources }
}

function aggregatedList(types: readonly ResourceType[]): JsonObject {
  const groups = groupBy(types, ({ group }) => group)
  const items = [...groups].map(([group, ofGroup]) => ({
    metadata: group ? { name: group, creationTimestamp: null } : { creationTimestamp: null },
    versions: [...groupBy(ofGroup, ({ version }) => version)].map(([version, ofVersion]) => ({
      version,
      freshness: 'Current',
      resources: ofVersion.map((type) => ({
        resource: type.plural,
        responseKind: { group, version, kind: type.kind },
        scope: type.namespaced ? 'Namespaced' : 'Cluster',
        singularResource: type.singular,
        verbs: [...type.verbs],
        ...(type.shortNames.length > 0 && { shortNames: [...type.shortNames] }),
        ...(type.categories.length > 0 && { categories: [...type.categories] }),
        subresources: type.subresourceTypes.map((one) => ({
          subresource: one.name,
          responseKind: { group: one.group, version: one.version, kind: one.kind },
          verbs: [...one.verbs],
        })),
      })),
    })),
  }))
  return { metadata: {}, items } as unknown as JsonObject
}

export function discoveryDocuments(types: readonly ResourceType[]) {
  const versions = new Map([...groupBy(types, pathOf)].map(([path, list]) => [path, resourceList(list)]))
  const named = types.filter(({ group }) => group !== '')
  const groups = new Map(
    [...groupBy(named, ({ group }) => group)].map(([name, list]) => {
      const all = [...new Set(list.map(({ version }) => version))].sort((a, b) => (a < b ? 1 : -1))
      const entries = all.map((version) => ({ groupVersion: `${name}/${version}`, version }))
      return [name, { kind: 'APIGroup', apiVersion: 'v1', name, versions: entries, preferredVersion: entries[0] }] as const
    }),
  )
  return {
    api: { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] },
    apis: { kind: 'APIGroupList', apiVersion: 'v1', groups: [...groups.values()].map(({ kind: _, apiVersion: __, ...group }) => group) },
    groups,
    versions,
    aggregated: { api: aggregatedList(types.filter(({ group }) => group === '')), apis: aggregatedList(named) },
  }
}

export const openApiV2 = (_types: readonly ResourceType[], version: string): JsonObject => ({
  swagger: '2.0',
  info: { title: 'Kubernetes', version },
  paths: {},
  definitions: {},
})

export const openApiV3 = (_types: readonly ResourceType[], _version: string): ReadonlyMap<string, JsonObject> => new Map()
