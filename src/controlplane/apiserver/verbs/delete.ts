// delete and deletecollection.
import { decodeAs, namedSchema, type ResourceType, successStatus } from '../../../api/index.js'
import { ApiError, type HttpResponse } from '../../../lib/index.js'
import { bodyBytes, contentType, parseBody } from '../http/body.js'
import type { RequestContext } from '../http/context.js'
import { presentList, presentObject } from '../http/present.js'
import { checkDeleteOptions, flagOf, integerOf } from '../http/request-options.js'
import { answer, jsonBytes } from '../http/respond.js'
import type { DeletionOptions } from '../registry/deletion.js'
import { listEntries } from '../registry/list.js'
import type { ResourceServices } from './services.js'
import { writeRequest, written } from './written.js'

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

export async function remove(context: RequestContext, type: ResourceType, services: ResourceServices): Promise<HttpResponse> {
  const { dryRun, ...options } = await deletionOptions(context, services.maxBodyBytes)
  const result = await services.deleter.delete(writeRequest(context, type, { dryRun, fieldManager: '' }), options)
  if (!result.gone) return written(context, type, result.written, services)
  if (type.group === '' && ANSWERED_WITH_OBJECT.has(type.plural))
    return presentObject(context, type, { object: result.object }, { clock: services.backend.clock })
  const { name, uid } = result.object.metadata
  return answer(200, jsonBytes(successStatus({ name, group: type.group, plural: type.plural, ...(uid && { uid }) })))
}

export async function removeAll(context: RequestContext, type: ResourceType, services: ResourceServices): Promise<HttpResponse> {
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
