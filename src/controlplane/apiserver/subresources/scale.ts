// `/scale`: how many, of whatever kind.
import {
  applyJsonPatch,
  applyMergePatch,
  conflictError,
  encodeJson,
  formatLabelSelector,
  isObject,
  type Json,
  type JsonObject,
  notFoundError,
  type Resource,
  type ResourceType,
} from '../../../api/index.js'
import { ApiError } from '../../../lib/index.js'
import { bodyBytes, contentType, parseBody, writeQuery } from '../http/body.js'
import { noSuchMethod, noSuchResource } from '../http/errors.js'
import { negotiate } from '../http/negotiate.js'
import { answer } from '../http/respond.js'
import { readCached } from '../registry/storage.js'
import type { SpecialHandler } from '../verbs/services.js'
import { writeRequest } from '../verbs/written.js'

const steps = (path: string): string[] => path.replace(/^\./, '').split('.')

function at(object: JsonObject, path: string): Json | undefined {
  let value: Json | undefined = object
  for (const step of steps(path)) value = isObject(value) && Object.hasOwn(value, step) ? value[step] : undefined
  return value
}

/** A copy with one field changed. */
function withField(object: JsonObject, path: readonly string[], value: Json): JsonObject {
  const [step = '', ...rest] = path
  const inner = object[step]
  return { ...object, [step]: rest.length === 0 ? value : withField(isObject(inner) ? inner : {}, rest, value) }
}

function scaleOf(type: ResourceType, object: Resource): JsonObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata
  const paths = type.scale
  if (!paths) throw noSuchResource()
  const json = object as unknown as JsonObject
  const selector = paths.selector ? at(json, paths.selector) : undefined
  const selectorText = typeof selector === 'string' ? selector : isObject(selector) ? selectorString(selector) : ''
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: {
      name,
      ...(namespace && { namespace }),
      uid: uid ?? '',
      resourceVersion: resourceVersion ?? '',
      creationTimestamp: creationTimestamp ?? null,
    },
    spec: { ...(typeof at(json, paths.specReplicas) === 'number' && { replicas: at(json, paths.specReplicas) as number }) },
    status: { replicas: (at(json, paths.statusReplicas) as number | undefined) ?? 0, ...(selectorText && { selector: selectorText }) },
  }
}

/** A LabelSelector, or the plain labels of a ReplicationController, as text. */
function selectorString(selector: JsonObject): string {
  const isLabels = Object.values(selector).every((value) => typeof value === 'string')
  return formatLabelSelector((isLabels ? { matchLabels: selector } : selector) as never)
}

function replicasOf(type: ResourceType, name: string, scale: Json): number {
  const refuse = (field: string, value: unknown, message: string): never => {
    throw new ApiError(
      'Invalid',
      `Scale.autoscaling ${JSON.stringify(name)} is invalid: ${field}: Invalid value: ${JSON.stringify(value)}: ${message}`,
      {
        details: {
          name,
          group: 'autoscaling',
          kind: 'Scale',
          causes: [{ reason: 'FieldValueInvalid', message: `Invalid value: ${JSON.stringify(value)}: ${message}`, field }],
        },
      },
    )
  }
  if (!isObject(scale)) throw new ApiError('BadRequest', 'the body must be a Scale')
  if (scale.kind !== undefined && scale.kind !== 'Scale')
    throw new ApiError('BadRequest', `${String(scale.kind)} in version ${JSON.stringify(type.version)} cannot be handled as a Scale`)
  const replicas = isObject(scale.spec) ? (scale.spec.replicas ?? 0) : 0
  if (!Number.isSafeInteger(replicas)) return refuse('spec.replicas', replicas, 'must be an integer')
  if ((replicas as number) < 0) return refuse('spec.replicas', replicas, 'must be greater than or equal to 0')
  return replicas as number
}

export const scaleHandler: SpecialHandler = async (context, type, services) => {
  const { info, request } = context
  const paths = type.scale
  if (!paths) throw noSuchResource()
  negotiate(request.headers.accept, { table: false, partial: false })
  if (info.verb === 'get') {
    const found = await readCached(services.backend, type, info.namespace, info.name)
    if (!found) throw notFoundError(type, info.name)
    return answer(200, encodeJson(scaleOf(type, found.object)))
  }
  if (info.verb !== 'update' && info.verb !== 'patch') throw noSuchMethod()
  const query = writeQuery(context)
  const bytes = await bodyBytes(context, services.maxBodyBytes)
  const mediaType = contentType(context)
  const { value: body } = await parseBody(bytes, mediaType)
  const next = (previous: JsonObject): Json => {
    if (info.verb === 'update') return body
    if (mediaType === 'application/json-patch+json') return applyJsonPatch(previous, body)
    return applyMergePatch(previous, body) // Scale holds no lists: strategic and plain merge are one
  }
  let exact = false
  const result = await services.writer.update(
    { ...writeRequest(context, type, query) },
    (previous) => {
      const scale = next(scaleOf(type, previous))
      const seen = isObject(scale) && isObject(scale.metadata) ? scale.metadata.resourceVersion : undefined
      exact = Boolean(seen)
      if (seen && seen !== previous.metadata.resourceVersion) throw conflictError(type, info.name)
      return withField(previous as unknown as JsonObject, steps(paths.specReplicas), replicasOf(type, info.name, scale))
    },
    { exact: exact && info.verb === 'update' },
  )
  return answer(200, encodeJson(scaleOf(type, result.object)))
}
