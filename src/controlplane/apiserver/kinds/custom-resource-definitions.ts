// CustomResourceDefinitions: their names are claimed, they are established, and their objects go with them.
import {
  CustomResourceDefinition,
  type CustomResourceDefinitionCondition,
  customResources,
  type JsonObject,
  resourceTypes,
} from '../../../api/index.js'
import { explain, isStatus, rfc3339 } from '../../../lib/index.js'
import { systemRequest, typeFor } from '../bootstrap.js'
import { type Backend, rememberedObject } from '../registry/backend.js'
import type { Deleter } from '../registry/deletion.js'
import type { Writer } from '../registry/writer.js'
import { eachChange } from './each-change.js'

/** Objects that their finalizers hold are looked for again after this. */
const HELD_MS = 500

export const CLEANUP = 'customresourcecleanup.apiextensions.k8s.io'

type Condition = CustomResourceDefinitionCondition

/** The same list when nothing changes; a new time only with a new status. */
export function withCondition(
  conditions: readonly Condition[],
  condition: Omit<Condition, 'lastTransitionTime'>,
  now: string,
): readonly Condition[] {
  const present = conditions.find(({ type }) => type === condition.type)
  if (present?.status === condition.status && present.reason === condition.reason && present.message === condition.message)
    return conditions
  const lastTransitionTime = present?.status === condition.status && present.lastTransitionTime ? present.lastTransitionTime : now
  return [...conditions.filter(({ type }) => type !== condition.type), { ...condition, lastTransitionTime }]
}

type Names = CustomResourceDefinition['spec']['names']

interface NamesDecision {
  /** What of the wished names nobody else of the group has. */
  readonly accepted: Names
  /** The last of what somebody else has, as the condition tells it. */
  readonly conflict: { readonly reason: string; readonly message: string } | undefined
}

/** Pure. */
export function decideNames(definition: CustomResourceDefinition, others: readonly CustomResourceDefinition[]): NamesDecision {
  const { group, names } = definition.spec
  const taken = { resources: new Set<string>(), kinds: new Set<string>() }
  const add = (one: Partial<Names>): void => {
    for (const word of [one.plural, one.singular, ...(one.shortNames ?? [])]) if (word) taken.resources.add(word)
    for (const word of [one.kind, one.listKind]) if (word) taken.kinds.add(word)
  }
  for (const other of others)
    if (other.metadata.name !== definition.metadata.name && other.spec.group === group) add(other.status?.acceptedNames ?? {})
  for (const type of resourceTypes)
    if (type.group === group)
      add({ plural: type.plural, singular: type.singular, shortNames: [...type.shortNames], kind: type.kind, listKind: type.listKind })

  let conflict: NamesDecision['conflict']
  const had: Partial<Names> = definition.status?.acceptedNames ?? {}
  const free = (words: readonly (string | undefined)[], all: ReadonlySet<string>, reason: string): boolean => {
    const clashes = words.filter((word) => word && all.has(word)).map((word) => `${JSON.stringify(word)} is already in use`)
    if (clashes.length > 0) conflict = { reason, message: clashes.length === 1 ? `${clashes[0]}` : `[${clashes.join(', ')}]` }
    return clashes.length === 0
  }
  const accepted: Names = {
    plural: free([names.plural], taken.resources, 'PluralConflict') ? names.plural : (had.plural ?? ''),
    singular: free([names.singular], taken.resources, 'SingularConflict') ? names.singular : had.singular,
    shortNames: free(names.shortNames ?? [], taken.resources, 'ShortNamesConflict') ? names.shortNames : had.shortNames,
    kind: free([names.kind], taken.kinds, 'KindConflict') ? names.kind : (had.kind ?? ''),
    listKind: free([names.listKind], taken.kinds, 'ListKindConflict') ? names.listKind : had.listKind,
    categories: names.categories,
  }
  return { accepted: JSON.parse(JSON.stringify(accepted)) as Names, conflict }
}

/** The status that a definition should have. Pure. */
export function definitionStatus(
  definition: CustomResourceDefinition,
  others: readonly CustomResourceDefinition[],
  now: string,
): NonNullable<CustomResourceDefinition['status']> {
  const { spec, status } = definition
  const { accepted, conflict } = decideNames(definition, others)
  let conditions: readonly Condition[] = status?.conditions ?? []
  if (conflict) {
    conditions = withCondition(conditions, { type: 'NamesAccepted', status: 'False', ...conflict }, now)
    if (!conditions.some(({ type, status: value }) => type === 'Established' && value === 'True')) {
      conditions = withCondition(
        conditions,
        { type: 'Established', status: 'False', reason: 'NotAccepted', message: 'not all names are accepted' },
        now,
      )
    }
  } else {
    conditions = withCondition(
      conditions,
      { type: 'NamesAccepted', status: 'True', reason: 'NoConflicts', message: 'no conflicts found' },
      now,
    )
    conditions = withCondition(
      conditions,
      { type: 'Established', status: 'True', reason: 'InitialNamesAccepted', message: 'the initial names have been accepted' },
      now,
    )
  }
  if (definition.metadata.deletionTimestamp) {
    conditions = withCondition(
      conditions,
      { type: 'Terminating', status: 'True', reason: 'InstanceDeletionInProgress', message: 'CustomResource deletion is in progress' },
      now,
    )
  }
  const stored = spec.versions.filter(({ storage }) => storage).map(({ name }) => name)
  const storedVersions = [...new Set([...(status?.storedVersions ?? []), ...stored])]
  return {
    ...status,
    acceptedNames: accepted,
    conditions,
    storedVersions,
  }
}

export async function customResourceDefinitions(backend: Backend, writer: Writer, deleter: Deleter, signal: AbortSignal): Promise<void> {
  const type = typeFor(CustomResourceDefinition)
  const cache = await backend.feed.cache(type.storagePrefix)

  /** Deletes all objects of a definition; false while some are held by their finalizers. */
  const removeObjects = async (definition: CustomResourceDefinition): Promise<boolean> => {
    const [custom] = customResources(definition)
    if (!custom) return true
    const objects = await backend.feed.fresh(custom.storagePrefix)
    for (const { namespace, name } of objects.slice()) {
      await deleter.delete({ ...systemRequest(CustomResourceDefinition, namespace, name), type: custom }, {}).catch((error: unknown) => {
        if (!isStatus(error, 'NotFound')) throw error
      })
    }
    return (await backend.feed.fresh(custom.storagePrefix)).size === 0
  }

  const reconcileOne = async (definition: CustomResourceDefinition, all: readonly CustomResourceDefinition[]): Promise<void> => {
    const { metadata } = definition
    const request = systemRequest(CustomResourceDefinition, '', metadata.name)
    const finalizers = metadata.finalizers ?? []
    const status = definitionStatus(definition, all, rfc3339(backend.clock.now()))
    if (JSON.stringify(status) !== JSON.stringify(definition.status) || (!metadata.deletionTimestamp && !finalizers.includes(CLEANUP))) {
      await writer.modify(request, (current) => {
        const now = current as CustomResourceDefinition
        const present = now.metadata.finalizers ?? []
        const wanted = now.metadata.deletionTimestamp || present.includes(CLEANUP) ? present : [...present, CLEANUP]
        return {
          ...now,
          metadata: { ...now.metadata, finalizers: wanted },
          status: definitionStatus(now, all, rfc3339(backend.clock.now())),
        } as unknown as JsonObject
      })
    }
    if (metadata.deletionTimestamp && finalizers.includes(CLEANUP) && (await removeObjects(definition))) {
      await writer.update(
        request,
        (current) =>
          ({
            ...current,
            metadata: { ...current.metadata, finalizers: (current.metadata.finalizers ?? []).filter((name) => name !== CLEANUP) },
          }) as unknown as JsonObject,
        { exact: false },
      )
    }
  }

  await eachChange(
    cache,
    async (again) => {
      const present = () => cache.slice().map((entry) => rememberedObject(entry) as CustomResourceDefinition)
      for (const definition of present()) {
        // With what the one before has claimed.
        await backend.feed.fresh(type.storagePrefix)
        const all = present()
        if (definition.metadata.deletionTimestamp) backend.clock.after(HELD_MS, again)
        await reconcileOne(definition, all).catch((error: unknown) => {
          if (!isStatus(error, 'NotFound', 'Conflict'))
            backend.log.warn('custom resource definition', { name: definition.metadata.name, err: explain(error) })
        })
      }
    },
    signal,
  )
}
