// What the server knows about a resource: one value per kind, made by `defineResource` for built-in kinds and by
// `customResources` for a CustomResourceDefinition. Data and pure functions; routes, discovery and OpenAPI are derived from it.
import type { FieldError } from './field-error.js'
import type { JsonObject } from './json/value.js'
import type { Kind, Resource } from './kind.js'
import type { ObjectSchema } from './schema/schema.js'

export type Verb = 'create' | 'delete' | 'deletecollection' | 'get' | 'list' | 'patch' | 'update' | 'watch'

/** `status`, `scale`, `log`, …: what is served under an object's own path. */
export interface Subresource {
  readonly name: string
  /** What the body is: `Scale` of autoscaling/v1, `Eviction` of policy/v1, the resource itself for `status`. */
  readonly group: string
  readonly version: string
  readonly kind: string
  readonly verbs: readonly ('create' | 'get' | 'patch' | 'update' | 'delete')[]
}

/** A column of `kubectl get`. */
export interface Column<T = Resource> {
  readonly name: string
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'date'
  readonly format?: string
  readonly description?: string
  /** 0 is shown always, 1 with `-o wide`. */
  readonly priority: number
  /** `now` in milliseconds, for ages. */
  readonly value: (object: T, now: number) => CellValue
}
export type CellValue = string | number | boolean | null

/** Facts the server adds to an object it stores. */
export interface WriteContext {
  /** Milliseconds since 1970. */
  readonly now: number
  /** A fresh uid (create only). */
  readonly uid: () => string
  /** Five letters for `generateName` (create only). */
  readonly suffix: () => string
}

/** Where scale finds its numbers; JSON paths without the leading dot. */
export interface ScalePaths {
  readonly specReplicas: string
  readonly statusReplicas: string
  /** The selector, as a string or a LabelSelector; '' when there is none. */
  readonly selector: string
}

export interface ResourceType<T extends Resource = Resource> extends Kind<T> {
  readonly singular: string
  readonly listKind: string
  readonly shortNames: readonly string[]
  /** `all`, `api-extensions`, … */
  readonly categories: readonly string[]
  readonly verbs: readonly Verb[]
  readonly subresourceTypes: readonly Subresource[]
  readonly scale: ScalePaths | undefined
  /** Below `/registry/`: `pods`, `services/specs`, `example.com/widgets`. */
  readonly storagePrefix: string
  /** How this version becomes the stored one and back; undefined when it is the stored one. Both return new objects. */
  readonly conversion:
    | { readonly toStored: (object: JsonObject) => JsonObject; readonly fromStored: (object: JsonObject) => JsonObject }
    | undefined
  /** `apiVersion` of the stored bytes. */
  readonly storedApiVersion: string
  readonly custom: boolean
  /** Custom resources: the schema as the definition wrote it, for OpenAPI. */
  readonly openApiSchema: JsonObject | undefined
  /** PUT of a name that does not exist creates it. */
  readonly allowCreateOnUpdate: boolean
  /** PUT without resourceVersion is accepted. */
  readonly allowUnconditionalUpdate: boolean
  /** Deprecated kinds: shown as a Warning header. */
  readonly deprecation: string | undefined

  /** The shape; built when first asked for. */
  readonly schema: () => ObjectSchema
  /** Fills what the client left out. In place. */
  readonly setDefaults: (object: JsonObject) => void
  /** Before validation of a create: drops what clients may not set, sets generation. In place. Metadata is done by `prepareCreate`. */
  readonly prepareForCreate: (object: JsonObject) => void
  /** Before validation of an update: keeps what this door may not change, bumps generation. In place on `next`. `subresource` is '' for the object itself. */
  readonly prepareForUpdate: (next: JsonObject, previous: JsonObject, subresource: string) => void
  readonly validate: (object: T) => readonly FieldError[]
  /** What only a new object must keep to; `validate` is asked too. */
  readonly validateCreate: (object: T) => readonly FieldError[]
  readonly validateUpdate: (next: T, previous: T, subresource: string) => readonly FieldError[]
  /** What is accepted, but should make the user think: `Warning` headers. */
  readonly warnings: (object: T, previous: T | undefined) => readonly string[]

  readonly columns: readonly Column<T>[]
  /** Field selectors: always `metadata.name` and `metadata.namespace`. */
  readonly selectableFields: ReadonlyMap<string, (object: T) => string>
}
