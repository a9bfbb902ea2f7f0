// Other faces of objects: tables for `kubectl get`, and metadata alone.
import type { JsonObject } from './json/value.js'
import type { Resource } from './kind.js'
import type { ResourceType } from './resource-type.js'

/** `meta.k8s.io/v1` PartialObjectMetadata of an object. */
export const partialObject = (object: Resource, version = 'v1'): JsonObject => ({
  kind: 'PartialObjectMetadata',
  apiVersion: `meta.k8s.io/${version}`,
  metadata: object.metadata as unknown as JsonObject,
})

export const partialList = (objects: readonly Resource[], metadata: JsonObject, version = 'v1'): JsonObject => ({
  kind: 'PartialObjectMetadataList',
  apiVersion: `meta.k8s.io/${version}`,
  metadata,
  items: objects.map((object) => partialObject(object, version)),
})

export type IncludeObject = 'None' | 'Metadata' | 'Object'

export interface TableOptions {
  /** Milliseconds, for ages. */
  readonly now: number
  readonly includeObject?: IncludeObject
  /** `resourceVersion`, `continue`, `remainingItemCount` of the list. */
  readonly metadata?: JsonObject
  /** False in all but the first table of a watch. */
  readonly headers?: boolean
  readonly version?: string
}

const rowObject = (object: Resource, include: IncludeObject, version: string): JsonObject => {
  if (include === 'None') return {}
  return { object: include === 'Object' ? (object as unknown as JsonObject) : partialObject(object, version) }
}

/** `meta.k8s.io/v1` Table of these objects. */
export function tableOf(type: ResourceType, objects: readonly Resource[], options: TableOptions): JsonObject {
  const { now, includeObject = 'Metadata', version = 'v1' } = options
  return {
    kind: 'Table',
    apiVersion: `meta.k8s.io/${version}`,
    metadata: options.metadata ?? {},
    columnDefinitions:
      options.headers === false
        ? []
        : type.columns.map(({ name, type: cell, format, description, priority }) => ({
            name,
            type: cell,
            format: format ?? '',
            description: description ?? '',
            priority,
          })),
    rows: objects.map((object) => ({
      cells: type.columns.map((column) => column.value(object, now)),
      ...rowObject(object, includeObject, version),
    })),
  }
}
