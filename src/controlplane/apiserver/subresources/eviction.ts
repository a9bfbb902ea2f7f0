// pods/eviction: a deletion that asks the pod's disruption budget first.
import { type Eviction, type JsonObject, labelSelector, notFoundError, Pod, PodDisruptionBudget } from '../../../api/index.js'
import { ApiError, rfc3339 } from '../../../lib/index.js'
import { systemRequest, typeFor } from '../bootstrap.js'
import { readShape, writeQuery } from '../http/body.js'
import { noSuchMethod } from '../http/errors.js'
import { checkDeleteOptions } from '../http/request-options.js'
import { answer, jsonBytes } from '../http/respond.js'
import { createReader } from '../registry/backend.js'
import { readCached } from '../registry/storage.js'
import type { ResourceServices, SpecialHandler } from '../verbs/services.js'
import { admitBody, writeRequest } from '../verbs/written.js'

const EVICTION = { group: 'policy', version: 'v1', kind: 'Eviction', also: ['policy/v1beta1'] }

/** Pods remembered as on their way out, while the budget's controller has not seen them go. */
const MOST_DISRUPTED = 2000

/** Clients repeat by themselves what comes back with a time: only for what will change by itself. */
const refused = (cause: string, retryAfterSeconds?: number): ApiError =>
  new ApiError('TooManyRequests', "Cannot evict pod as it would violate the pod's disruption budget.", {
    details: { causes: [{ reason: 'DisruptionBudget', message: cause }], ...(retryAfterSeconds ? { retryAfterSeconds } : {}) },
  })

const isReady = (pod: Pod): boolean => pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false

/** Ended or never started, or on its way out: nobody misses it. */
const needsNoBudget = ({ metadata, status }: Pod): boolean =>
  status?.phase === 'Succeeded' || status?.phase === 'Failed' || status?.phase === 'Pending' || Boolean(metadata.deletionTimestamp)

/** An unhealthy pod may go without asking, when the budget says so or the application is healthy without it. */
function mayGoUnhealthy(pod: Pod, { spec, status }: PodDisruptionBudget): boolean {
  if (isReady(pod)) return false
  if (spec?.unhealthyPodEvictionPolicy === 'AlwaysAllow') return true
  return (status?.currentHealthy ?? 0) >= (status?.desiredHealthy ?? 0) && (status?.desiredHealthy ?? 0) > 0
}

/** The budget with one disruption fewer; throws 429 when none is left. */
export function spend(budget: PodDisruptionBudget, podName: string, now: string): PodDisruptionBudget {
  const { metadata, status } = budget
  const { name } = metadata
  if ((status?.observedGeneration ?? 0) < (metadata.generation ?? 0))
    throw refused(`The disruption budget ${name} is still being processed by the server.`, 10)
  const allowed = status?.disruptionsAllowed ?? 0
  if (!status || allowed < 0) throw new ApiError('Forbidden', `pdb disruptions allowed is negative`)
  if (Object.keys(status.disruptedPods ?? {}).length > MOST_DISRUPTED)
    throw new ApiError('Forbidden', 'DisruptedPods map too big - too many evictions not confirmed by PDB controller')
  const failed = status.conditions?.find(({ type, reason }) => type === 'DisruptionAllowed' && reason === 'SyncFailed')
  if (allowed === 0 && failed)
    throw refused(`The disruption budget ${name} does not allow evicting pods currently because it failed sync: ${failed.message}`)
  if (allowed === 0)
    throw refused(`The disruption budget ${name} needs ${status.desiredHealthy} healthy pods and has ${status.currentHealthy} currently`)
  return { ...budget, status: { ...status, disruptionsAllowed: allowed - 1, disruptedPods: { ...status.disruptedPods, [podName]: now } } }
}

async function askBudget(pod: Pod, services: ResourceServices, dryRun: boolean): Promise<void> {
  const { backend, writer } = services
  const { namespace = '', name, labels = {} } = pod.metadata
  const budgets = (await createReader(backend.feed).list(PodDisruptionBudget, namespace)).filter(({ spec }) =>
    labelSelector(spec?.selector).matches(labels),
  )
  if (budgets.length > 1) {
    throw new ApiError('InternalError', 'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.')
  }
  const [budget] = budgets
  if (!budget || mayGoUnhealthy(pod, budget)) return
  const now = rfc3339(backend.clock.now())
  const request = { ...systemRequest(PodDisruptionBudget, namespace, budget.metadata.name), dryRun, subresource: 'status' }
  await writer.modify(request, (current) => spend(current as PodDisruptionBudget, name, now) as unknown as JsonObject)
}

const withTarget = (pod: Pod, now: string): JsonObject => ({
  ...(pod as unknown as JsonObject),
  status: {
    ...(pod.status as unknown as JsonObject),
    conditions: [
      ...((pod.status?.conditions ?? []).filter(({ type }) => type !== 'DisruptionTarget') as unknown as JsonObject[]),
      {
        type: 'DisruptionTarget',
        status: 'True',
        reason: 'EvictionByEvictionAPI',
        message: 'Eviction API: evicting',
        lastProbeTime: null,
        lastTransitionTime: now,
      },
    ],
  },
})

export const evictPod: SpecialHandler = async (context, _type, services) => {
  if (context.info.verb !== 'create') throw noSuchMethod()
  const { backend, writer, deleter } = services
  const type = typeFor(Pod)
  const query = writeQuery(context)
  const value = await readShape(context, services.maxBodyBytes, EVICTION, query)
  const eviction = value as unknown as Partial<Eviction>
  const { name, namespace } = context.info
  if (eviction?.metadata?.name && eviction.metadata.name !== name)
    throw new ApiError('BadRequest', 'name in URL does not match name in Eviction object')
  const options = eviction?.deleteOptions ?? {}
  checkDeleteOptions({ ...options, dryRun: options.dryRun ?? [] })
  const dryRun = query.dryRun || (options.dryRun ?? []).includes('All')
  await admitBody(writeRequest(context, type, { ...query, dryRun }), value, services)
  const found = await readCached(backend, type, namespace, name)
  if (!found) throw notFoundError(type, name)
  const request = { ...writeRequest(context, type, { ...query, dryRun }), subresource: '' }
  const pod = found.object as Pod
  if (!needsNoBudget(pod)) {
    await askBudget(pod, services, dryRun)
    const now = rfc3339(backend.clock.now())
    await writer.modify({ ...request, subresource: 'status' }, (current) => withTarget(current as Pod, now))
  }
  const preconditions = { uid: pod.metadata.uid, ...options.preconditions }
  await deleter.delete(request, { ...options, preconditions })
  return answer(201, jsonBytes({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 }))
}
