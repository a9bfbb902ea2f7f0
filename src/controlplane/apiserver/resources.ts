// Requests about resources: which verb, which kind, which door.
import {
  applyConfiguration,
  applyJsonPatch,
  applyMergePatch,
  applyStrategicPatch,
  type Body,
  checkConfiguration,
  cloneJson,
  conflictError,
  type DecodedBody,
  DecodeError,
  decodeAs,
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
  namedSchema,
  notFoundError,
  type Resource,
  type ResourceType,
  successStatus,
} from '../../api/index.js'
import { ApiError, type HttpResponse, rfc3339 } from '../../lib/index.js'
import { bodyBytes, contentType, parseBody, readObject, writeQuery } from './http/body.js'
import type { RequestContext } from './http/context.js'
import { presentList, presentObject, watchPresentation } from './http/present.js'
import { checkDeleteOptions, flagOf, integerOf, type WriteOptions } from './http/request-options.js'
import { answer, jsonBytes } from './http/respond.js'
import { type Backend, keyFor } from './registry/backend.js'
import type { Deleter, DeletionOptions } from './registry/deletion.js'
import { listEntries, parseRevision, waitForRevision } from './registry/list.js'
import { openWatch } from './registry/watch.js'
import type { UpdateOptions, WriteRequest, Writer, Written } from './registry/writer.js'

export interface ResourceServices {
  readonly backend: Backend
  readonly writer: Writer
  readonly deleter: Deleter
  readonly maxBodyBytes: number
  /** Registers what ends a watch when caches are made anew. */
  readonly onReset: (end: () => void) => () => void
  /** Where the lengths of a kind's watch events are counted. */
  readonly watchEvents: (type: ResourceType) => { observe(bytes: number): void }
}

/** A subresource with a shape of its own, or a resource that is not stored. */
export type SpecialHandler = (context: RequestContext, type: ResourceType, services: ResourceServices) => Promise<HttpResponse>

/** By `group/plural` or `group/plural/subresource`; `*` stands for any group/plural. */
export type SpecialHandlers = ReadonlyMap<string, SpecialHandler>

export const noSuchResource = (): ApiError => new ApiError('NotFound', 'the server could not find the requested resource', { details: {} })
export const noSuchMethod = (): ApiError =>
  new ApiError('MethodNotAllowed', 'the server does not allow this method on the requested resource')

export function writeRequest(
  context: RequestContext,
  type: ResourceType,
  query: Pick<WriteOptions, 'dryRun' | 'fieldManager'>,
): WriteRequest {
  const { info, user, warnings } = context
  const namespace = type.namespaced ? info.namespace : ''
  return {
    type,
    namespace,
    name: info.name,
    subresource: info.subresource,
    user,
    warnings,
    dryRun: query.dryRun,
    fieldManager: query.fieldManager,
  }
}

async function get(context: RequestContext, type: ResourceType, { backend }: ResourceServices): Promise<HttpResponse> {
  const { info } = context
  const revision = parseRevision(info.query.get('resourceVersion'))
  const cache = await (revision === undefined ? backend.feed.fresh(type.storagePrefix) : backend.feed.cache(type.storagePrefix))
  if (revision) await waitForRevision(backend, cache, revision)
  const entry = cache.get(keyFor(type, type.namespaced ? info.namespace : '', info.name))
  if (!entry) throw notFoundError(type, info.name)
  return presentObject(context, type, { entry }, { clock: backend.clock })
}

async function list(context: RequestContext, type: ResourceType, { backend }: ResourceServices): Promise<HttpResponse> {
  return presentList(context, type, await listEntries(backend, type, context.info), backend.clock)
}

async function watch(context: RequestContext, type: ResourceType, services: ResourceServices): Promise<HttpResponse> {
  const { backend, onReset, watchEvents } = services
  const presentation = watchPresentation(context, type, backend.clock)
  const { signal } = context.request
  const body = await openWatch(backend, type, context.info, presentation, { signal, onReset, sent: watchEvents(type) })
  return { status: 200, headers: { 'content-type': 'application/json' }, body }
}

const written = (context: RequestContext, type: ResourceType, result: Written, { backend }: ResourceServices): Promise<HttpResponse> =>
  presentObject(context, type, type.conversion || type.custom ? { object: result.object } : { entry: result.entry }, {
    status: result.created ? 201 : 200,
    clock: backend.clock,
  })

async function create(context: RequestContext, type: ResourceType, services: ResourceServices): Promise<HttpResponse> {
  const query = writeQuery(context)
  const { object, warnings } = decodeObject(type, await readObject(context, services.maxBodyBytes, type.kind), query.fieldValidation)
  context.warnings.push(...warnings)
  const { resourceVersion } = (object.metadata ?? {}) as JsonObject
  if (resourceVersion !== undefined && resourceVersion !== '' && resourceVersion !== '0')
    throw new ApiError('InternalError', 'resourceVersion should not be set on objects to be created')
  const result = await services.writer.create(writeRequest(context, type, query), object)
  return written(context, type, result, services)
}

function checkName(type: ResourceType, { info }: RequestContext, object: JsonObject): JsonObject {
  object.metadata ??= {}
  const metadata = object.metadata as JsonObject
  const { name, namespace } = metadata
  if (name === undefined || name === '') metadata.name = info.name
  else if (name !== info.name) {
    throw new ApiError('BadRequest', `the name of the object (${String(name)}) does not match the name on the URL (${info.name})`)
  }
  if (!type.namespaced) return metadata
  if (namespace === undefined || namespace === '') metadata.namespace = info.namespace
  else if (namespace !== info.namespace) {
    throw new ApiError(
      'BadRequest',
      `the namespace of the object (${String(namespace)}) does not match the namespace on the URL (${info.namespace})`,
    )
  }
  return metadata
}

/** What the client says it saw must be what is there. */
function checkSeen(type: ResourceType, next: JsonObject, previous: Resource): void {
  const { uid, name } = next.metadata as JsonObject
  const { uid: present, namespace = '' } = previous.metadata
  if (uid && uid !== present) {
    const where = `Key: ${keyFor(type, namespace, String(name))}, ResourceVersion: 0`
    const problem = `Precondition failed: UID in precondition: ${String(uid)}, UID in object meta: ${present}`
    throw conflictError(type, String(name), `StorageError: invalid object, Code: 4, ${where}, AdditionalErrorMsg: ${problem}`)
  }
  checkVersion(type, next, previous)
}

function checkVersion(type: ResourceType, next: JsonObject, previous: Resource): void {
  const { resourceVersion, name } = next.metadata as JsonObject
  if (resourceVersion && resourceVersion !== previous.metadata.resourceVersion) throw conflictError(type, String(name))
}

async function update(context: RequestContext, type: ResourceType, services: ResourceServices): Promise<HttpResponse> {
  const { info } = context
  const query = writeQuery(context)
  const { object, warnings } = decodeObject(type, await readObject(context, services.maxBodyBytes, type.kind), query.fieldValidation)
  context.warnings.push(...warnings)
  const metadata = checkName(type, context, object)
  const exact = Boolean(metadata.resourceVersion) && metadata.resourceVersion !== '0'
  if (!exact) delete metadata.resourceVersion
  const mayCreate = type.allowCreateOnUpdate && info.subresource === ''
  const options: UpdateOptions = {
    exact,
    create: mayCreate
      ? () => {
          if (exact) throw notFoundError(type, info.name)
          return cloneJson(object)
        }
      : undefined,
  }
  const result = await services.writer.update(
    writeRequest(context, type, query),
    (previous) => {
      if (!exact && !type.allowUnconditionalUpdate) {
        throw new ApiError(
          'Invalid',
          `${type.group ? `${type.kind}.${type.group}` : type.kind} ${JSON.stringify(info.name)} is invalid: metadata.resourceVersion: Invalid value: 0x0: must be specified for an update`,
          {
            details: {
              name: info.name,
              ...(type.group && { group: type.group }),
              kind: type.kind,
              causes: [
                {
                  reason: 'FieldValueInvalid',
                  message: 'Invalid value: 0x0: must be specified for an update',
                  field: 'metadata.resourceVersion',
                },
              ],
            },
          },
        )
      }
      checkSeen(type, object, previous)
      return cloneJson(object)
    },
    options,
  )
  return written(context, type, result, services)
}

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

function readConfiguration(bytes: Uint8Array): Body {
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

async function patch(context: RequestContext, type: ResourceType, services: ResourceServices): Promise<HttpResponse> {
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

/** From the body or, for clients that send none, from the query. */
async function deletionOptions(context: RequestContext, limit: number): Promise<DeletionOptions & { readonly dryRun: boolean }> {
  const { query } = context.info
  const bytes = await bodyBytes(context, limit)
  const body = bytes.length > 0 ? (await parseBody(bytes, contentType(context))).value : {}
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw new ApiError('BadRequest', 'DeleteOptions must be an object')
  if (body.kind !== undefined && body.kind !== 'DeleteOptions') {
    throw new ApiError(
      'BadRequest',
      `${String(body.kind)} in version ${JSON.stringify(body.apiVersion ?? '')} cannot be handled as a DeleteOptions`,
    )
  }
  const subject = { group: '', version: 'v1', kind: 'DeleteOptions' }
  const { apiVersion: _, ...said } = body
  const known = decodeAs(namedSchema('DeleteOptions'), subject, { value: said, duplicates: [] }, 'Ignore').object as DeletionOptions & {
    readonly dryRun?: readonly string[]
  }
  const dryRun = (known.dryRun ?? query.getAll('dryRun')).filter((word) => word !== '')
  const options = {
    gracePeriodSeconds: known.gracePeriodSeconds ?? integerOf(query, 'gracePeriodSeconds'),
    propagationPolicy: known.propagationPolicy ?? (query.get('propagationPolicy') || undefined),
    orphanDependents: known.orphanDependents ?? flagOf(query, 'orphanDependents'),
    preconditions: known.preconditions,
  }
  checkDeleteOptions({ ...options, dryRun })
  return { ...options, dryRun: dryRun.length > 0 }
}

/** Kinds whose deletion is answered with the object; the others' with a Status. */
const ANSWERED_WITH_OBJECT = new Set([
  'pods',
  'services',
  'persistentvolumeclaims',
  'persistentvolumes',
  'serviceaccounts',
  'resourcequotas',
  'podtemplates',
])

async function remove(context: RequestContext, type: ResourceType, services: ResourceServices): Promise<HttpResponse> {
  const { dryRun, ...options } = await deletionOptions(context, services.maxBodyBytes)
  const result = await services.deleter.delete(writeRequest(context, type, { dryRun, fieldManager: '' }), options)
  if (!result.gone) return written(context, type, result.written, services)
  if (type.group === '' && ANSWERED_WITH_OBJECT.has(type.plural))
    return presentObject(context, type, { object: result.object }, { clock: services.backend.clock })
  const { name, uid } = result.object.metadata
  return answer(200, jsonBytes(successStatus({ name, group: type.group, plural: type.plural, ...(uid && { uid }) })))
}

async function removeAll(context: RequestContext, type: ResourceType, services: ResourceServices): Promise<HttpResponse> {
  const { dryRun, ...options } = await deletionOptions(context, services.maxBodyBytes)
  const page = await listEntries(services.backend, type, context.info)
  for (const { namespace, name } of page.entries) {
    const request = { ...writeRequest(context, type, { dryRun, fieldManager: '' }), namespace, name }
    try {
      await services.deleter.delete(request, options)
    } catch (error) {
      if (!(error instanceof ApiError && error.reason === 'NotFound')) throw error
    }
  }
  return presentList(context, type, page, services.backend.clock)
}

const VERBS: Readonly<Record<string, SpecialHandler>> = {
  get,
  list,
  watch,
  create,
  update,
  patch,
  delete: remove,
  deletecollection: removeAll,
}

function specialFor(handlers: SpecialHandlers, type: ResourceType, subresource: string): SpecialHandler | undefined {
  const name = `${type.group}/${type.plural}${subresource ? `/${subresource}` : ''}`
  return handlers.get(name) ?? (subresource ? handlers.get(`*/${subresource}`) : undefined)
}

/** Answers a request about a resource. */
export async function handleResource(context: RequestContext, services: ResourceServices, special: SpecialHandlers): Promise<HttpResponse> {
  const { info } = context
  const type = services.backend.types.find(info.group, info.version, info.resource)
  if (!type) throw noSuchResource()
  const inNamespace = info.namespace !== '' && !(type.plural === 'namespaces' && type.group === '')
  if (!type.namespaced && inNamespace) throw noSuchResource()
  if (type.namespaced && !inNamespace && !['list', 'watch', 'deletecollection'].includes(info.verb)) throw noSuchMethod()
  // Objects are made at their collection, and changed at their own path.
  const atCollection = info.name === ''
  if (info.verb === 'create' && info.subresource === '' && !atCollection) throw noSuchMethod()
  if ((info.verb === 'update' || info.verb === 'patch') && atCollection) throw noSuchMethod()
  if (type.deprecation) context.warnings.push(type.deprecation)

  if (info.subresource !== '') {
    const subresource = type.subresourceTypes.find(({ name }) => name === info.subresource)
    if (!subresource) throw noSuchResource()
    const handler = specialFor(special, type, info.subresource)
    if (handler) return handler(context, type, services)
    if (!(subresource.verbs as readonly string[]).includes(info.verb)) throw noSuchMethod()
    const verb = { get, update, patch }[info.verb as 'get']
    if (!verb) throw noSuchMethod()
    return verb(context, type, services)
  }
  if (!(type.verbs as readonly string[]).includes(info.verb)) throw noSuchMethod()
  const handler = specialFor(special, type, '') ?? VERBS[info.verb]
  if (!handler) throw noSuchMethod()
  return handler(context, type, services)
}
