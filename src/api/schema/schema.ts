// The shape of API objects: one form for built-in kinds and for custom resources. Decoding, defaulting, pruning, patches and
// server-side apply all walk it.
import type { Json } from '../json/value.js'

export type Scalar =
  | 'string'
  | 'boolean'
  | 'int32'
  | 'int64'
  | 'number'
  /** base64 in JSON */
  | 'bytes'
  | 'time'
  | 'microTime'
  | 'quantity'
  | 'intOrString'

export interface ScalarSchema {
  readonly type: 'scalar'
  readonly scalar: Scalar
}

/** Any JSON value, kept as it is: RawExtension, FieldsV1, JSONSchema defaults. */
export interface AnySchema {
  readonly type: 'any'
}

export interface MapSchema {
  readonly type: 'map'
  readonly value: Schema
  /** Owned as a whole in server-side apply. */
  readonly atomic: boolean
}

export interface ListSchema {
  readonly type: 'list'
  readonly item: Schema
  /** Server-side apply: atomic lists have one owner, sets and maps one per item. */
  readonly listType: 'atomic' | 'set' | 'map'
  /** For `map`: what tells items apart. */
  readonly keys: readonly string[]
  /** For `map`: values of keys that an item leaves out. */
  readonly keyDefaults: Readonly<Record<string, Json>>
  /** Strategic merge: by `mergeKey` (or by value when it is ''), otherwise replaced. */
  readonly patchMerge: boolean
  readonly mergeKey: string
}

export interface FieldSchema {
  readonly schema: Schema
  readonly required: boolean
  /** `false`, 0, '' and empty collections say nothing here: they are dropped. */
  readonly omitZero: boolean
  /** Written when the field is absent. */
  readonly defaultValue: Json | undefined
  /** Strategic merge: the field is replaced, or its keys are kept as the patch lists them. */
  readonly patchStrategy: 'merge' | 'replace' | 'retainKeys' | 'merge,retainKeys' | ''
  readonly nullable: boolean
}

export interface ObjectSchema {
  readonly type: 'object'
  /** `Pod`, `Container`, …; '' inside custom resources. */
  readonly name: string
  readonly fields: ReadonlyMap<string, FieldSchema>
  /** Fields that are not listed: kept, or described by a schema; otherwise unknown. */
  readonly additional: Schema | 'keep' | undefined
  readonly atomic: boolean
  /** A whole API object inside: apiVersion, kind and metadata are always known. */
  readonly embedded: boolean
}

export type Schema = ScalarSchema | AnySchema | MapSchema | ListSchema | ObjectSchema
