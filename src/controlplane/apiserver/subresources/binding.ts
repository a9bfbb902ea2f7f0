// pods/binding (and the older `bindings`): a pod gets its node.
import {
  type Binding,
  conflictError,
  type FieldError,
  invalidObject,
  type JsonObject,
  notSupported,
  Pod,
  type ResourceType,
  required,
} from '../../../api/index.js'
import { ApiError, rfc3339 } from '../../../lib/index.js'
import { typeFor } from '../bootstrap.js'
import { readShape, writeQuery } from '../http/body.js'
import { answer, jsonBytes } from '../http/respond.js'
import type { SpecialHandler } from '../verbs/services.js'
import { admitBody, writeRequest } from '../verbs/written.js'

const BINDING = { group: '', version: 'v1', kind: 'Binding' }

const refused = (name: string, error: FieldError): ApiError => invalidObject({ group: '', kind: 'Binding', name }, [error])

/** The pod with its node; throws Conflict when it has one or is going. */
function bound(pod: Pod, { target, metadata }: Binding, type: ResourceType, now: string): JsonObject {
  const { name } = pod.metadata
  if (pod.metadata.deletionTimestamp)
    throw conflictError({ ...type, plural: 'pods/binding' }, name, `pod ${name} is being deleted, cannot be assigned to a host`)
  if (pod.spec?.nodeName)
    throw conflictError(
      { ...type, plural: 'pods/binding' },
      name,
      `pod ${name} is already assigned to node ${JSON.stringify(pod.spec.nodeName)}`,
    )
  if (pod.spec?.schedulingGates?.length)
    throw conflictError({ ...type, plural: 'pods/binding' }, name, `pod ${name} has non-empty .spec.schedulingGates`)
  if (metadata?.uid && metadata.uid !== pod.metadata.uid) {
    throw conflictError(
      { ...type, plural: 'pods/binding' },
      name,
      `Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${pod.metadata.uid}`,
    )
  }
  const scheduled = { type: 'PodScheduled', status: 'True', lastProbeTime: null, lastTransitionTime: now }
  const conditions = (pod.status?.conditions ?? []).filter(({ type }) => type !== 'PodScheduled')
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      ...(metadata?.annotations && { annotations: { ...pod.metadata.annotations, ...metadata.annotations } }),
      ...(metadata?.labels && { labels: { ...pod.metadata.labels, ...metadata.labels } }),
    },
    spec: { ...pod.spec, nodeName: target.name },
    status: { ...pod.status, conditions: [...conditions, scheduled] },
  } as unknown as JsonObject
}

export const bindPod: SpecialHandler = async (context, _type, services) => {
  if (context.info.verb !== 'create')
    throw new ApiError('MethodNotAllowed', 'the server does not allow this method on the requested resource')
  const query = writeQuery(context)
  const value = await readShape(context, services.maxBodyBytes, BINDING, query)
  const binding = value as unknown as Partial<Binding>
  const name = context.info.name || binding.metadata?.name || ''
  const target = binding?.target
  if (binding?.metadata?.name && binding.metadata.name !== name)
    throw new ApiError('BadRequest', 'name in URL does not match name in Binding object')
  if (!name) throw refused('', required('metadata.name'))
  if (target?.kind && target.kind !== 'Node')
    throw refused(name, {
      ...notSupported('target.kind', target.kind, []),
      message: `Unsupported value: ${JSON.stringify(target.kind)}: supported values: "Node", "<empty>"`,
    })
  if (typeof target?.name !== 'string' || target.name === '') throw refused(name, required('target.name'))
  const type = typeFor(Pod)
  await admitBody({ ...writeRequest(context, type, query), name, subresource: 'binding' }, value, services)
  const now = rfc3339(services.backend.clock.now())
  await services.writer.modify({ ...writeRequest(context, type, query), name, subresource: 'binding' }, (pod) =>
    bound(pod as Pod, binding as Binding, type, now),
  )
  return answer(201, jsonBytes({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 }))
}
