// patch: JSON, merge and strategic patches, and server-side apply.
import {
  applyConfiguration,
  applyJsonPatch,
  applyMergePatch,
  applyStrategicPatch,
  type Body,
  checkConfiguration,
  conflictError,
  type DecodedBody,
  DecodeError,
  decodeBody,
  decodeObject,
  type FieldValidation,
  invalid,
  invalidObject,
  isObject,
  type Json,
  type JsonObject,
  JsonSyntaxError,
  jsonText,
  notFoundError,
  type ResourceType,
} from '../../../api/index.js'
import { ApiError, type HttpResponse, rfc3339 } from '../../../lib/index.js'
import { bodyBytes, contentType, writeQuery } from '../http/body.js'
import type { RequestContext } from '../http/context.js'
import type { ResourceServices } from './services.js'
import { checkName, checkSeen, checkVersion, writeRequest, written } from './written.js'

type Patch = (document: JsonObject) => Json

const STRATEGIC = 'application/strategic-merge-patch+json'
const PATCH_TYPES =
  'application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml'

const unsupportedPatch = (): ApiError =>
  new ApiError('UnsupportedMediaType', `the body of the request was in an unknown format - accepted media types include: ${PATCH_TYPES}`)

const objectPatch = ({ value }: Body): JsonObject => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new ApiError('BadRequest', 'the patch must be an object')
  return value
}

function patchFor(type: ResourceType, mediaType: string, body: Body): Patch {
  if (mediaType === 'application/json-patch+json') return (document) => applyJsonPatch(document, body.value)
  if (mediaType === 'application/merge-patch+json') {
    const patch = objectPatch(body)
    return (document) => applyMergePatch(document, patch)
  }
  if (mediaType === STRATEGIC && !type.custom) {
    const patch = objectPatch(body)
    return (document) => applyStrategicPatch(document, patch, type.schema())
  }
  throw unsupportedPatch()
}

/** YAML or JSON that somebody applies. */
export function readConfiguration(bytes: Uint8Array): Body {
  try {
    return decodeBody(bytes, 'application/yaml')
  } catch (error) {
    if (!(error instanceof ApiError && error.cause instanceof JsonSyntaxError)) throw error
    throw new ApiError('BadRequest', `error decoding YAML: ${error.message}`, { cause: error })
  }
}

async function apply(context: RequestContext, type: ResourceType, services: ResourceServices): Promise<HttpResponse> {
  const query = writeQuery(context, { apply: true })
  const { info } = context
  const body = readConfiguration(await bodyBytes(context, services.maxBodyBytes))
  if (isObject(body.value)) {
    const { apiVersion = '' } = body.value
    if (apiVersion !== type.apiVersion) {
      const versions = `Specified patch version: ${String(apiVersion)}, expected: ${type.apiVersion}`
      throw new ApiError('BadRequest', `Incorrect version specified in apply patch. ${versions}`)
    }
    checkConfiguration(type, body.value)
  }
  if (body.duplicates.length > 0) {
    const problem = ['error converting YAML to JSON: yaml: unmarshal errors:', ...body.duplicates].join('\n  ')
    if (query.fieldValidation === 'Strict') throw new ApiError('BadRequest', `error strict decoding YAML: ${problem}`)
    if (query.fieldValidation === 'Warn') context.warnings.push(problem)
  }
  const { object: wish } = decodeObject(type, { ...body, duplicates: [] }, 'Ignore')
  const metadata = checkName(type, context, wish)
  if (metadata.managedFields !== undefined) throw new ApiError('BadRequest', 'metadata.managedFields must be nil')
  const seen = metadata.resourceVersion
  const options = {
    manager: query.fieldManager,
    force: query.force ?? false,
    time: rfc3339(services.backend.clock.now()),
    subresource: info.subresource,
  }
  const result = await services.writer.update(
    writeRequest(context, type, query),
    (previous) => {
      checkSeen(type, wish, previous)
      return applyConfiguration(type, previous as unknown as JsonObject, wish, options)
    },
    {
      exact: false,
      tracked: true,
      create:
        info.subresource === ''
          ? () => {
              if (metadata.uid) {
                const { name, uid } = metadata
                const detail = `uid mismatch: the provided object specified uid ${String(uid)}, and no existing object was found`
                throw conflictError(type, String(name), detail)
              }
              if (seen) throw notFoundError(type, info.name)
              return applyConfiguration(type, undefined, wish, options)
            }
          : undefined,
    },
  )
  return written(context, type, result, services)
}

/** A value as Go prints a map: clients know strategic patches in this form from complaints about them. */
function goText(value: Json | undefined): string {
  if (Array.isArray(value)) return `[${value.map(goText).join(' ')}]`
  if (!isObject(value)) return value === null ? '<nil>' : String(value)
  return `map[${Object.keys(value)
    .sort()
    .map((name) => `${name}:${goText(value[name])}`)
    .join(' ')}]`
}

/** What a patch makes of an object may be no object of its kind: then the patch is what is wrong. */
function decodePatched(type: ResourceType, patched: Body, fieldValidation: FieldValidation, shown: () => string): DecodedBody {
  try {
    return decodeObject(type, patched, fieldValidation)
  } catch (error) {
    const { cause } = error as Error
    if (!(cause instanceof DecodeError)) throw error
    throw invalidObject({ group: '', kind: '', name: '' }, [invalid('patch', shown(), cause.message)])
  }
}

export async function patch(context: RequestContext, type: ResourceType, services: ResourceServices): Promise<HttpResponse> {
  const mediaType = contentType(context)
  if (mediaType === 'application/apply-patch+yaml' || mediaType === 'application/apply-patch+json') return apply(context, type, services)
  const query = writeQuery(context)
  if (query.force !== undefined) {
    throw new ApiError('Invalid', 'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch')
  }
  if (!mediaType.endsWith('+json')) throw unsupportedPatch()
  const body = decodeBody(await bodyBytes(context, services.maxBodyBytes), mediaType)
  const change = patchFor(type, mediaType, body)
  const warned = new Set<string>()
  const result = await services.writer.update(
    writeRequest(context, type, query),
    (previous) => {
      const value = change(previous as unknown as JsonObject)
      const { object, warnings } = decodePatched(type, { value, duplicates: body.duplicates }, query.fieldValidation, () =>
        mediaType === STRATEGIC ? goText(body.value) : jsonText(value),
      )
      for (const warning of warnings) warned.add(warning)
      checkName(type, context, object)
      checkVersion(type, object, previous)
      return object
    },
    { exact: false },
  )
  context.warnings.push(...warned)
  return written(context, type, result, services)
}
