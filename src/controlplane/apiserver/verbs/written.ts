// What writes share: who asks, what must fit the path and what was seen, and how the result is shown.
import { conflictError, type JsonObject, type Resource, type ResourceType } from '../../../api/index.js'
import { ApiError, type HttpResponse } from '../../../lib/index.js'
import type { RequestContext } from '../http/context.js'
import { presentObject } from '../http/present.js'
import type { WriteOptions } from '../http/request-options.js'
import { keyFor } from '../registry/backend.js'
import type { WriteRequest, Written } from '../registry/writer.js'
import type { ResourceServices } from './services.js'

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

/** The plugins' word on a subresource whose body has a shape of its own. */
export async function admitBody(request: WriteRequest, object: JsonObject, { admission }: ResourceServices): Promise<void> {
  const asked = { ...request, operation: 'CREATE' as const, object, old: undefined }
  await admission.admit(asked)
  await admission.validate(asked)
}

export const written = (
  context: RequestContext,
  type: ResourceType,
  result: Written,
  { backend }: ResourceServices,
): Promise<HttpResponse> =>
  presentObject(context, type, type.conversion || type.custom ? { object: result.object } : { entry: result.entry }, {
    status: result.created ? 201 : 200,
    clock: backend.clock,
  })

export function checkName(type: ResourceType, { info }: RequestContext, object: JsonObject): JsonObject {
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
export function checkSeen(type: ResourceType, next: JsonObject, previous: Resource): void {
  const { uid, name } = next.metadata as JsonObject
  const { uid: present, namespace = '' } = previous.metadata
  if (uid && uid !== present) {
    const where = `Key: ${keyFor(type, namespace, String(name))}, ResourceVersion: 0`
    const problem = `Precondition failed: UID in precondition: ${String(uid)}, UID in object meta: ${present}`
    throw conflictError(type, String(name), `StorageError: invalid object, Code: 4, ${where}, AdditionalErrorMsg: ${problem}`)
  }
  checkVersion(type, next, previous)
}

export function checkVersion(type: ResourceType, next: JsonObject, previous: Resource): void {
  const { resourceVersion, name } = next.metadata as JsonObject
  if (resourceVersion && resourceVersion !== previous.metadata.resourceVersion) throw conflictError(type, String(name))
}
