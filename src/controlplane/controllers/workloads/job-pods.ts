// The pods of a Job: how they are made, which index they have, what their failure means. Pure.
import { Job, type Pod } from '../../../api/index.js'
import { isDeleting, millis } from '../objects.js'
import { podFromTemplate } from './pod-from-template.js'

export const TRACKING = 'batch.kubernetes.io/job-tracking'
export const INDEX = 'batch.kubernetes.io/job-completion-index'
const INDEX_FAILURES = 'batch.kubernetes.io/job-index-failure-count'
const INDEX_IGNORED = 'batch.kubernetes.io/job-index-ignored-failure-count'

export const isIndexed = (job: Job): boolean => job.spec?.completionMode === 'Indexed'
export const isTracked = (pod: Pod): boolean => (pod.metadata.finalizers ?? []).includes(TRACKING)
/** Whether failures are counted by index. */
export const isPerIndex = (job: Job): boolean => isIndexed(job) && job.spec?.backoffLimitPerIndex !== undefined

export function indexOf(pod: Pod): number | undefined {
  const text = pod.metadata.annotations?.[INDEX]
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined
}

export const indexFailures = (pod: Pod): number => Number(pod.metadata.annotations?.[INDEX_FAILURES] ?? 0) || 0

/** Failures of its index that the Job's policy did not count. */
export const indexIgnored = (pod: Pod): number => Number(pod.metadata.annotations?.[INDEX_IGNORED] ?? 0) || 0

/** A pod that is on its way out will not succeed any more; whether that already counts as failure is the Job's choice. */
export function hasFailed(job: Job, pod: Pod): boolean {
  if (pod.status?.phase === 'Failed') return true
  if (job.spec?.podReplacementPolicy === 'Failed' || job.spec?.podFailurePolicy) return false
  return isDeleting(pod) && pod.status?.phase !== 'Succeeded'
}

export interface NewPod {
  readonly index?: number
  /** Failures of this index so far. */
  readonly failures?: number
  readonly ignored?: number
}

const indexEnv = { name: 'JOB_COMPLETION_INDEX', valueFrom: { fieldRef: { fieldPath: `metadata.labels['${INDEX}']` } } }

export function planJobPod(job: Job, { index, failures, ignored }: NewPod): Pod {
  const pod = podFromTemplate(job.spec?.template, Job, job, {
    finalizers: [TRACKING],
    ...(index === undefined
      ? {}
      : {
          generateName: `${`${job.metadata.name}-${index}`.slice(0, 57)}-`,
          labels: { [INDEX]: String(index) },
          annotations: {
            [INDEX]: String(index),
            ...(failures === undefined ? {} : { [INDEX_FAILURES]: String(failures) }),
            ...(ignored ? { [INDEX_IGNORED]: String(ignored) } : {}),
          },
        }),
  })
  if (index === undefined) return pod
  type Containers = NonNullable<Pod['spec']>['containers']
  const numbered = (containers: Containers | undefined): Containers =>
    (containers ?? []).map((container) =>
      container.env?.some((variable) => variable.name === indexEnv.name)
        ? container
        : { ...container, env: [...(container.env ?? []), indexEnv] },
    )
  const spec = pod.spec ?? { containers: [] }
  return {
    ...pod,
    spec: {
      ...spec,
      hostname: spec.hostname ?? `${job.metadata.name}-${index}`,
      containers: numbered(spec.containers),
      ...(spec.initContainers ? { initContainers: numbered(spec.initContainers) } : {}),
    },
  }
}

export type FailureAction =
  | { readonly action: 'Count' }
  | { readonly action: 'Ignore' }
  | { readonly action: 'FailIndex' }
  | { readonly action: 'FailJob'; readonly message: string }

/** What the Job's failure policy says about a failed pod: the first rule that matches. */
export function failureAction(job: Job, pod: Pod): FailureAction {
  const rules = job.spec?.podFailurePolicy?.rules ?? []
  for (const [position, rule] of rules.entries()) {
    const why = rule.onExitCodes ? exitCodeMatch(rule.onExitCodes, pod) : conditionMatch(rule.onPodConditions ?? [], pod)
    if (!why) continue
    if (rule.action === 'FailJob') {
      return { action: 'FailJob', message: `${why} matching FailJob rule at index ${position}` }
    }
    if (rule.action === 'Ignore') return { action: 'Ignore' }
    return { action: rule.action === 'FailIndex' && isPerIndex(job) ? 'FailIndex' : 'Count' }
  }
  return { action: 'Count' }
}

type ExitCodes = NonNullable<NonNullable<NonNullable<Job['spec']>['podFailurePolicy']>['rules'][number]['onExitCodes']>

function exitCodeMatch({ containerName, operator, values }: ExitCodes, pod: Pod): string | undefined {
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])]
  for (const { name, state } of statuses) {
    const code = state?.terminated?.exitCode
    if (code === undefined || code === 0 || (containerName && containerName !== name)) continue
    if (values.includes(code) !== (operator === 'In')) continue
    return `Container ${name} for pod ${pod.metadata.namespace}/${pod.metadata.name} failed with exit code ${code}`
  }
  return undefined
}

function conditionMatch(
  patterns: readonly { readonly type: string; readonly status?: string | undefined }[],
  pod: Pod,
): string | undefined {
  for (const { type, status = 'True' } of patterns) {
    if (pod.status?.conditions?.some((condition) => condition.type === type && condition.status === status)) {
      return `Pod ${pod.metadata.namespace}/${pod.metadata.name} has condition ${type}`
    }
  }
  return undefined
}

/** When the pod ended, as well as can be told. */
export function finishedAt(pod: Pod, now: number): number {
  const times = (pod.status?.containerStatuses ?? []).map(({ state }) => millis(state?.terminated?.finishedAt))
  const latest = Math.max(0, ...times)
  if (latest > 0) return latest
  const { deletionTimestamp, deletionGracePeriodSeconds = 0 } = pod.metadata
  return deletionTimestamp ? millis(deletionTimestamp) - deletionGracePeriodSeconds * 1000 : now
}

export const jobBackoff = (failures: number): number => (failures <= 0 ? 0 : Math.min(600_000, 10_000 * 2 ** Math.min(failures - 1, 20)))
