// Discovery: which groups, versions and resources there are. The old documents, one for each version, and the aggregated ones.
import { compareVersions } from './crd/resources.js'
import type { JsonObject } from './json/value.js'
import type { ResourceType, Subresource } from './resource-type.js'

export interface DiscoveryDocuments {
  /** `/api` */
  readonly api: JsonObject
  /** `/apis` */
  readonly apis: JsonObject
  /** Group to the document at `/apis/GROUP`. */
  readonly groups: ReadonlyMap<string, JsonObject>
  /** Path (`/api/v1`, `/apis/apps/v1`) to its list of resources. */
  readonly versions: ReadonlyMap<string, JsonObject>
  /** The items of an APIGroupDiscoveryList, for `/api` and `/apis`. */
  readonly aggregated: { readonly api: JsonObject; readonly apis: JsonObject }
}

/** Built-in groups in the order of Kubernetes; groups of custom resources come after them. */
const groupOrder = [
  '',
  'apiregistration.k8s.io',
  'apps',
  'events.k8s.io',
  'authentication.k8s.io',
  'authorization.k8s.io',
  'autoscaling',
  'batch',
  'certificates.k8s.io',
  'networking.k8s.io',
  'policy',
  'rbac.authorization.k8s.io',
  'storage.k8s.io',
  'storagemigration.k8s.io',
  'admissionregistration.k8s.io',
  'apiextensions.k8s.io',
  'scheduling.k8s.io',
  'coordination.k8s.io',
  'node.k8s.io',
  'discovery.k8s.io',
  'flowcontrol.apiserver.k8s.io',
  'resource.k8s.io',
]

const sorted = (words: readonly string[]): string[] => [...words].sort()
const groupVersion = (group: string, version: string): string => (group ? `${group}/${version}` : version)

/** A short word that stays the same as long as the stored form does. */
function storageHash(type: ResourceType): string {
  const text = `${type.group}/${type.storedApiVersion}/${type.kind}`
  let hash = 0xcbf29ce484222325n
  for (const char of text) hash = BigInt.asUintN(64, (hash ^ BigInt(char.charCodeAt(0))) * 0x100000001b3n)
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(hash)
  return bytes.toString('base64')
}

function resourceDocument(type: ResourceType): JsonObject[] {
  const own: JsonObject = {
    name: type.plural,
    singularName: type.singular,
    namespaced: type.namespaced,
    kind: type.kind,
    verbs: sorted(type.verbs),
    ...(type.shortNames.length > 0 ? { shortNames: [...type.shortNames] } : {}),
    ...(type.categories.length > 0 ? { categories: [...type.categories] } : {}),
    ...(type.verbs.includes('get') ? { storageVersionHash: storageHash(type) } : {}),
  }
  const below = (sub: Subresource): JsonObject => ({
    name: `${type.plural}/${sub.name}`,
    singularName: '',
    namespaced: type.namespaced,
    ...(sub.group !== type.group || sub.version !== type.version ? { group: sub.group, version: sub.version } : {}),
    kind: sub.kind,
    verbs: sorted(sub.verbs),
  })
  return [own, ...type.subresourceTypes.map(below)]
}

const responseKind = (group: string, version: string, kind: string): JsonObject => ({ group, version, kind })

function aggregatedResource(type: ResourceType): JsonObject {
  return {
    resource: type.plural,
    responseKind: responseKind(type.group, type.version, type.kind),
    scope: type.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: type.singular,
    verbs: sorted(type.verbs),
    ...(type.shortNames.length > 0 ? { shortNames: [...type.shortNames] } : {}),
    ...(type.categories.length > 0 ? { categories: [...type.categories] } : {}),
    ...(type.subresourceTypes.length > 0
      ? {
          subresources: type.subresourceTypes.map((sub) => ({
            subresource: sub.name,
            responseKind: responseKind(sub.group, sub.version, sub.kind),
            verbs: sorted(sub.verbs),
          })),
        }
      : {}),
  }
}

interface Group {
  readonly name: string
  readonly versions: ReadonlyMap<string, readonly ResourceType[]>
}

const byName = (a: ResourceType, b: ResourceType): number => (a.plural < b.plural ? -1 : 1)

function groupsOf(types: readonly ResourceType[]): Group[] {
  const groups = new Map<string, Map<string, ResourceType[]>>()
  for (const type of types) {
    const versions = groups.get(type.group) ?? new Map<string, ResourceType[]>()
    groups.set(type.group, versions)
    versions.set(type.version, [...(versions.get(type.version) ?? []), type])
  }
  const rank = (name: string): number => {
    const at = groupOrder.indexOf(name)
    return at < 0 ? groupOrder.length : at
  }
  return [...groups]
    .sort(([a], [b]) => rank(a) - rank(b) || (a < b ? -1 : 1))
    .map(([name, versions]) => ({ name, versions: new Map([...versions].sort(([a], [b]) => compareVersions(a, b))) }))
}

function groupDocument({ name, versions }: Group): JsonObject {
  const list = [...versions.keys()].map((version) => ({ groupVersion: groupVersion(name, version), version }))
  return { name, versions: list, preferredVersion: list[0] ?? { groupVersion: '', version: '' } }
}

const aggregatedGroup = ({ name, versions }: Group): JsonObject => ({
  metadata: name ? { name, creationTimestamp: null } : { creationTimestamp: null },
  versions: [...versions].map(([version, types]) => ({
    version,
    resources: [...types].sort(byName).map(aggregatedResource),
    freshness: 'Current',
  })),
})

/** All documents for these resources. The server's address is left empty: clients know how they came. */
export function discoveryDocuments(types: readonly ResourceType[]): DiscoveryDocuments {
  const groups = groupsOf(types)
  const core = groups.find((group) => group.name === '')
  const named = groups.filter((group) => group.name !== '')
  const versions = new Map<string, JsonObject>()
  for (const { name, versions: list } of groups)
    for (const [version, members] of list)
      versions.set(name ? `/apis/${name}/${version}` : `/api/${version}`, {
        kind: 'APIResourceList',
        ...(name ? { apiVersion: 'v1' } : {}),
        groupVersion: groupVersion(name, version),
        resources: [...members].sort(byName).flatMap(resourceDocument),
      })
  const aggregated = (members: readonly Group[]): JsonObject => ({
    kind: 'APIGroupDiscoveryList',
    apiVersion: 'apidiscovery.k8s.io/v2',
    metadata: {},
    items: members.map(aggregatedGroup),
  })
  return {
    api: { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] },
    apis: { kind: 'APIGroupList', apiVersion: 'v1', groups: named.map(groupDocument) },
    groups: new Map(named.map((group) => [group.name, { kind: 'APIGroup', apiVersion: 'v1', ...groupDocument(group) }])),
    versions,
    aggregated: { api: aggregated(core ? [core] : []), apis: aggregated(named) },
  }
}
