// `/scale`: how many, of whatever kind.
import {
  applyConfiguration,
  applyJsonPatch,
  applyMergePatch,
  conflictError,
  encodeJson,
  formatLabelSelector,
  invalid,
  invalidObject,
  isObject,
  type Json,
  type JsonObject,
  notFoundError,
  type Resource,
  type ResourceType,
  type ScalePaths,
} from '../../../api/index.js'
import { ApiError, rfc3339 } from '../../../lib/index.js'
import { bodyBytes, contentType, decodeShape, parseBody, writeQuery } from '../http/body.js'
import type { RequestContext } from '../http/context.js'
import { noSuchMethod, noSuchResource } from '../http/errors.js'
import { negotiate } from '../http/negotiate.js'
import { answer } from '../http/respond.js'
import { readCached } from '../registry/storage.js'
import type { Written } from '../registry/writer.js'
import { readConfiguration } from '../verbs/patch.js'
import type { ResourceServices, SpecialHandler } from '../verbs/services.js'
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

const SCALE = { group: 'autoscaling', version: 'v1', kind: 'Scale' }

/** How many a decoded Scale asks for; throws when it means another object or less than none. */
function replicasOf(name: string, scale: JsonObject): number {
  const said = isObject(scale.metadata) ? scale.metadata.name : undefined
  if (said && said !== name)
    throw new ApiError('BadRequest', `the name of the object (${String(said)}) does not match the name on the URL (${name})`)
  const replicas = (isObject(scale.spec) ? (scale.spec.replicas as number | undefined) : undefined) ?? 0
  if (replicas < 0) throw invalidObject({ ...SCALE, name }, [invalid('spec.replicas', replicas, 'must be greater than or equal to 0')])
  return replicas
}

/** Server-side apply: the number becomes a field of whoever wishes for it, on the object itself. */
async function applyScale(
  context: RequestContext,
  type: ResourceType & { readonly scale: ScalePaths },
  services: ResourceServices,
): Promise<Written> {
  const { info } = context
  const query = writeQuery(context, { apply: true })
  const scale = decodeShape(context, SCALE, readConfiguration(await bodyBytes(context, services.maxBodyBytes)), query)
  const { apiVersion, kind } = type
  const bare = { apiVersion, kind, metadata: { name: info.name, ...(type.namespaced && { namespace: info.namespace }) } }
  const replicas = replicasOf(info.name, scale)
  const wish = withField(bare, steps(type.scale.specReplicas), replicas)
  const time = rfc3339(services.backend.clock.now())
  const options = { manager: query.fieldManager, force: query.force ?? false, time, subresource: 'scale' }
  return services.writer.update(
    writeRequest(context, type, query),
    (previous) => applyConfiguration(type, previous as unknown as JsonObject, wish, options),
    { exact: false, tracked: true },
  )
}

async function changeScale(
  context: RequestContext,
  type: ResourceType & { readonly scale: ScalePaths },
  services: ResourceServices,
): Promise<Written> {
  const { info } = context
  const query = writeQuery(context)
  const mediaType = contentType(context)
  const bytes = await bodyBytes(context, services.maxBodyBytes)
  const body = await parseBody(bytes, mediaType)
  const next = (previous: JsonObject): JsonObject => {
    if (info.verb === 'update') return decodeShape(context, SCALE, body, query)
    // A Scale holds no lists: strategic and plain merge are one.
    const value = mediaType === 'application/json-patch+json' ? applyJsonPatch(previous, body.value) : applyMergePatch(previous, body.value)
    return decodeShape(context, SCALE, { value, duplicates: body.duplicates }, query)
  }
  let exact = false
  return services.writer.update(
    writeRequest(context, type, query),
    (previous) => {
      const scale = next(scaleOf(type, previous))
      const seen = isObject(scale.metadata) ? scale.metadata.resourceVersion : undefined
      exact = Boolean(seen)
      if (seen && seen !== previous.metadata.resourceVersion) throw conflictError(type, info.name)
      return withField(previous as unknown as JsonObject, steps(type.scale.specReplicas), replicasOf(info.name, scale))
    },
    { exact: exact && info.verb === 'update' },
  )
}

const isScalable = (type: ResourceType): type is ResourceType & { readonly scale: ScalePaths } => type.scale !== undefined

export const scaleHandler: SpecialHandler = async (context, type, services) => {
  const { info, request } = context
  if (!isScalable(type)) throw noSuchResource()
  negotiate(request.headers.accept, { table: false, partial: false })
  if (info.verb === 'get') {
    const found = await readCached(services.backend, type, info.namespace, info.name)
    if (!found) throw notFoundError(type, info.name)
    return answer(200, encodeJson(scaleOf(type, found.object)))
  }
  if (info.verb !== 'update' && info.verb !== 'patch') throw noSuchMethod()
  const applies = info.verb === 'patch' && contentType(context).startsWith('application/apply-patch')
  const result = await (applies ? applyScale : changeScale)(context, type, services)
  return answer(200, encodeJson(scaleOf(type, result.object)))
}
