// A request's body as an object of a resource: media types, fieldValidation, apiVersion and kind. Answers 400 and 415 in Kubernetes' words.
import { ApiError } from '../lib/index.js'
import { prune } from './crd/structural.js'
import { fieldPositions, JsonSyntaxError, parseJsonText } from './json/parse.js'
import { isObject, type Json, type JsonObject } from './json/value.js'
import { parseYaml } from './json/yaml.js'
import type { ResourceType } from './resource-type.js'
import { type Decoded, DecodeError, decode } from './schema/decode.js'
import type { ObjectSchema } from './schema/schema.js'
import { namedSchema } from './schema/table.js'

export type FieldValidation = 'Strict' | 'Warn' | 'Ignore'

export interface Body {
  readonly value: Json
  /** `duplicate field "spec.a"` (JSON) or `line 3: key "a" already set in map` (YAML). */
  readonly duplicates: readonly string[]
  /** Its duplicates and these paths of unknown fields as sentences, in the order of the text. */
  readonly problems?: (unknown: readonly string[]) => readonly string[]
}

const duplicateText = (path: string): string => `duplicate field ${JSON.stringify(path)}`
const unknownText = (path: string): string => `unknown field ${JSON.stringify(path)}`

export interface DecodedBody {
  readonly object: JsonObject
  /** For `Warning` headers. */
  readonly warnings: readonly string[]
}

/** `application/json; charset=utf-8` to `application/json`. */
export const mediaTypeOf = (contentType: string): string => (contentType.split(';')[0] ?? '').trim().toLowerCase()

const yamlTypes = new Set(['application/yaml', 'application/x-yaml', 'text/yaml', 'application/apply-patch+yaml'])
const readable = 'accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf'

/** Parses bytes by their media type ('' is JSON). */
export function decodeBody(bytes: Uint8Array, contentType = 'application/json'): Body {
  const mediaType = mediaTypeOf(contentType)
  const text = new TextDecoder('utf-8').decode(bytes)
  try {
    if (yamlTypes.has(mediaType)) return parseYaml(text)
    if (mediaType === '' || /^application\/([\w.-]+\+)?json$/.test(mediaType)) {
      const { value, duplicates } = parseJsonText(text)
      if (duplicates.length === 0) return { value, duplicates: [] }
      const problems = (unknown: readonly string[]): readonly string[] => {
        const positions = fieldPositions(text)
        return [
          ...duplicates.map(({ path, at }) => ({ at, text: duplicateText(path) })),
          ...unknown.map((path) => ({ at: positions.get(path) ?? 0, text: unknownText(path) })),
        ]
          .sort((a, b) => a.at - b.at)
          .map((problem) => problem.text)
      }
      return { value, duplicates: duplicates.map(({ path }) => duplicateText(path)), problems }
    }
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error
    throw new ApiError('BadRequest', error.message, { cause: error })
  }
  throw new ApiError('UnsupportedMediaType', `the body of the request was in an unknown format - ${readable}`)
}

interface Subject {
  readonly group: string
  readonly version: string
  readonly kind: string
}

/** The one who sends no apiVersion or kind means those of the path; the one who sends others is told. */
function checkKind(subject: Subject, object: JsonObject): void {
  const expected = subject.group ? `${subject.group}/${subject.version}` : subject.version
  object.apiVersion ??= expected
  object.kind ??= subject.kind
  if (object.apiVersion === '') object.apiVersion = expected
  if (object.kind === '') object.kind = subject.kind
  if (object.apiVersion !== expected)
    throw new ApiError(
      'BadRequest',
      `the API version in the data (${String(object.apiVersion)}) does not match the expected API version (${expected})`,
    )
  if (object.kind !== subject.kind)
    throw new ApiError(
      'BadRequest',
      `${String(object.kind)} in version ${JSON.stringify(subject.version)} cannot be handled as a ${subject.kind}`,
    )
}

/** Custom objects keep values of wrong types: their schema says what is wrong with them, as 422. Metadata is like everyone's. */
function pruneCustom(schema: ObjectSchema, object: JsonObject): Decoded {
  const { metadata, ...rest } = object
  const unknown: string[] = []
  const meta =
    metadata === undefined || metadata === null ? { value: {}, unknown: [] } : decode(namedSchema('ObjectMeta'), metadata, 'metadata')
  const value = prune(schema, rest, unknown) as JsonObject
  return { value: { ...value, metadata: meta.value }, unknown: [...meta.unknown, ...unknown] }
}

/** An object of this shape out of a parsed body, or 400. Also for bodies that are no resource: DeleteOptions, Scale, Eviction. */
export function decodeAs(
  schema: ObjectSchema,
  subject: Subject & { readonly custom?: boolean },
  body: Body,
  fieldValidation: FieldValidation,
): DecodedBody {
  const custom = subject.custom ?? false
  const refuse = (detail: string, cause = new DecodeError(detail)): never => {
    throw new ApiError(
      'BadRequest',
      `${subject.kind} in version ${JSON.stringify(subject.version)} cannot be handled as a ${subject.kind}: ${detail}`,
      { cause },
    )
  }
  if (!isObject(body.value))
    return refuse(
      `json: cannot unmarshal ${Array.isArray(body.value) ? 'array' : typeof body.value} into Go value of type v1.${subject.kind}`,
    )
  const envelope: JsonObject = { ...body.value }
  checkKind(subject, envelope)
  try {
    const { value, unknown } = custom ? pruneCustom(schema, envelope) : decode(schema, envelope)
    const problems = body.problems?.(unknown) ?? [...body.duplicates, ...unknown.map(unknownText)]
    if (fieldValidation === 'Strict' && problems.length > 0) return refuse(`strict decoding error: ${problems.join(', ')}`)
    return { object: value, warnings: fieldValidation === 'Warn' ? problems : [] }
  } catch (error) {
    if (error instanceof DecodeError) return refuse(error.message, error)
    throw error
  }
}

export const decodeObject = (type: ResourceType, body: Body, fieldValidation: FieldValidation = 'Warn'): DecodedBody =>
  decodeAs(type.schema(), type, body, fieldValidation)
