// The kinds that are served: the table's, and those that CustomResourceDefinitions describe.
import { CustomResourceDefinition, customResources, findResource, type ResourceType, resourceTypes } from '../../api/index.js'
import type { TypeRegistry } from './registry/backend.js'
import { rememberedObject } from './registry/backend.js'
import type { Feed } from './registry/feed.js'

export interface DynamicTypes extends TypeRegistry {
  /** Learns the definitions that are stored, and from then on each change. */
  follow(feed: Feed): Promise<void>
}

const keyOf = (group: string, version: string, plural: string): string => `${group}/${version}/${plural}`

const isEstablished = ({ status }: CustomResourceDefinition): boolean =>
  status?.conditions?.some(({ type, status: value }) => type === 'Established' && value === 'True') ?? false

export function createTypes(): DynamicTypes {
  let custom = new Map<string, ResourceType>()
  let all: readonly ResourceType[] = resourceTypes
  let generation = 0
  /** Types made from a definition, as long as it does not change. */
  const made = new Map<string, { readonly revision: number; readonly types: readonly ResourceType[] }>()

  return {
    find: (group, version, plural) => findResource(group, version, plural) ?? custom.get(keyOf(group, version, plural)),
    all: () => all,
    get generation() {
      return generation
    },
    async follow(feed) {
      const type = findResource(CustomResourceDefinition.group, CustomResourceDefinition.version, CustomResourceDefinition.plural)
      if (!type) throw new Error('CustomResourceDefinition is not in the table')
      const cache = await feed.cache(type.storagePrefix)
      const rebuild = (): void => {
        const next = new Map<string, ResourceType>()
        for (const entry of cache.slice()) {
          const definition = rememberedObject(entry) as CustomResourceDefinition
          if (!isEstablished(definition)) continue
          const known = made.get(entry.key)
          const types = known?.revision === entry.revision ? known.types : customResources(definition)
          made.set(entry.key, { revision: entry.revision, types })
          for (const one of types) next.set(keyOf(one.group, one.version, one.plural), one)
        }
        for (const key of made.keys()) if (!cache.get(key)) made.delete(key)
        custom = next
        all = [...resourceTypes, ...next.values()]
        generation++
      }
      rebuild()
      cache.subscribe(rebuild)
    },
  }
}
