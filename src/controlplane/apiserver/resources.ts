// Requests about resources: which verb, which kind, which door.
import { cloneJson, decodeObject, type JsonObject, notFoundError, type ResourceType } from '../../api/index.js'
import { ApiError, type HttpResponse } from '../../lib/index.js'
import { readObject, writeQuery } from './http/body.js'
import type { RequestContext } from './http/context.js'
import { noSuchMethod, noSuchResource } from './http/errors.js'
import { presentList, presentObject, watchPresentation } from './http/present.js'
import { keyFor } from './registry/backend.js'
import { listEntries, parseRevision, waitForRevision } from './registry/list.js'
import { openWatch } from './registry/watch.js'
import type { UpdateOptions } from './registry/writer.js'
import { remove, removeAll } from './verbs/delete.js'
import { patch } from './verbs/patch.js'
import type { ResourceServices, SpecialHandler, SpecialHandlers } from './verbs/services.js'
import { checkName, checkSeen, writeRequest, written } from './verbs/written.js'

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
