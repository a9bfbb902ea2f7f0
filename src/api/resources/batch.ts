// Jobs, CronJobs, autoscalers, disruption budgets.
import { ageOf, column, containerCells, humanDuration, since } from '../columns.js'
import { defineResource } from '../define-resource.js'
import {
  CronJob,
  HorizontalPodAutoscaler,
  HorizontalPodAutoscalerV1,
  Job,
  type MetricSpec,
  type MetricStatus,
  PodDisruptionBudget,
} from '../generated/kinds.js'
import { hpaFromV1, hpaToV1 } from '../hpa.js'
import { isObject, type JsonObject } from '../json/value.js'
import { formatLabelSelector } from '../selector/labels.js'
import { cronJobErrors, cronJobUpdateErrors, jobErrors, jobUpdateErrors } from '../validation/batch.js'
import { hpaErrors, podDisruptionBudgetErrors } from '../validation/scaling.js'

const integer = { type: 'integer' } as const

function completions({ spec, status }: Job): string {
  if (spec?.completions !== undefined) return `${status?.succeeded ?? 0}/${spec.completions}`
  const parallelism = spec?.parallelism ?? 0
  return parallelism > 1 ? `${status?.succeeded ?? 0}/1 of ${parallelism}` : `${status?.succeeded ?? 0}/1`
}

function duration({ status }: Job, now: number): string {
  if (!status?.startTime) return ''
  const end = status.completionTime ? Date.parse(status.completionTime) : now
  return humanDuration(end - Date.parse(status.startTime))
}

function jobStatus({ metadata, status }: Job): string {
  const has = (type: string): boolean => status?.conditions?.some((c) => c.type === type && c.status === 'True') ?? false
  if (has('Complete')) return 'Complete'
  if (has('Failed')) return 'Failed'
  if (metadata.deletionTimestamp) return 'Terminating'
  if (has('Suspended')) return 'Suspended'
  if (has('FailureTarget')) return 'FailureTarget'
  if (has('SuccessCriteriaMet')) return 'SuccessCriteriaMet'
  return 'Running'
}

/** A job without a selector of its own gets one from its uid; its pods carry the labels that match. */
function generateSelector(job: JsonObject): void {
  const spec = job.spec
  if (!isObject(spec) || spec.manualSelector === true || !isObject(spec.template)) return
  const metadata = isObject(job.metadata) ? job.metadata : {}
  const templateMetadata = isObject(spec.template.metadata) ? spec.template.metadata : {}
  spec.template.metadata = templateMetadata
  const labels = isObject(templateMetadata.labels) ? templateMetadata.labels : {}
  const uid = String(metadata.uid ?? '')
  const name = String(metadata.name ?? '')
  const mine: JsonObject = {
    'controller-uid': uid,
    'job-name': name,
    'batch.kubernetes.io/controller-uid': uid,
    'batch.kubernetes.io/job-name': name,
  }
  for (const [key, value] of Object.entries(mine)) labels[key] ??= value
  templateMetadata.labels = labels
  const selector = isObject(spec.selector) ? spec.selector : {}
  const match = isObject(selector.matchLabels) ? selector.matchLabels : {}
  match['batch.kubernetes.io/controller-uid'] ??= uid
  selector.matchLabels = match
  spec.selector = selector
}

export const jobResource = defineResource<Job>({
  of: Job,
  categories: ['all'],
  generation: 'spec',
  columns: [
    column('Status', jobStatus),
    column('Completions', completions, { description: 'Pods that ended well, of all that must.' }),
    column('Duration', duration, { description: 'From start to end, or until now.' }),
    ageOf(),
    column('Containers', ({ spec }) => containerCells(spec?.template?.spec?.containers).names, { wide: true }),
    column('Images', ({ spec }) => containerCells(spec?.template?.spec?.containers).images, { wide: true }),
    column('Selector', ({ spec }) => formatLabelSelector(spec?.selector), { wide: true }),
  ],
  selectableFields: { 'status.successful': ({ status }) => String(status?.succeeded ?? 0) },
  prepareForCreate: generateSelector,
  validate: jobErrors,
  validateUpdate: jobUpdateErrors,
})

export const cronJobResource = defineResource<CronJob>({
  of: CronJob,
  shortNames: ['cj'],
  categories: ['all'],
  generation: 'spec',
  columns: [
    column('Schedule', ({ spec }) => spec?.schedule ?? ''),
    column('Timezone', ({ spec }) => spec?.timeZone ?? '<none>'),
    column('Suspend', ({ spec }) => (spec?.suspend === undefined ? '<unset>' : spec.suspend ? 'True' : 'False')),
    column('Active', ({ status }) => status?.active?.length ?? 0, integer),
    column('Last Schedule', ({ status }, now) => (status?.lastScheduleTime ? since(status.lastScheduleTime, now) : '<none>')),
    ageOf(),
    column('Containers', ({ spec }) => containerCells(spec?.jobTemplate?.spec?.template?.spec?.containers).names, { wide: true }),
    column('Images', ({ spec }) => containerCells(spec?.jobTemplate?.spec?.template?.spec?.containers).images, { wide: true }),
    column('Selector', ({ spec }) => formatLabelSelector(spec?.jobTemplate?.spec?.selector), { wide: true }),
  ],
  validate: cronJobErrors,
  validateUpdate: cronJobUpdateErrors,
})

export const podDisruptionBudgetResource = defineResource<PodDisruptionBudget>({
  of: PodDisruptionBudget,
  shortNames: ['pdb'],
  generation: 'spec',
  columns: [
    column('Min Available', ({ spec }) => (spec?.minAvailable === undefined ? 'N/A' : String(spec.minAvailable))),
    column('Max Unavailable', ({ spec }) => (spec?.maxUnavailable === undefined ? 'N/A' : String(spec.maxUnavailable))),
    column('Allowed Disruptions', ({ status }) => status?.disruptionsAllowed ?? 0, integer),
    ageOf(),
  ],
  validate: podDisruptionBudgetErrors,
})

const unknownAmount = '<unknown>'

function targetText(spec: MetricSpec, status: MetricStatus | undefined): string {
  const source = spec.resource ?? spec.containerResource ?? spec.pods ?? spec.object ?? spec.external
  const current = (status?.resource ?? status?.containerResource ?? status?.pods ?? status?.object ?? status?.external)?.current
  const target = source?.target
  const prefix = spec.resource ? `${spec.resource.name}: ` : spec.containerResource ? `${spec.containerResource.name}: ` : ''
  if (target?.averageUtilization !== undefined)
    return `${prefix}${current?.averageUtilization === undefined ? unknownAmount : `${current.averageUtilization}%`}/${target.averageUtilization}%`
  if (target?.averageValue !== undefined) {
    const suffix = spec.pods || spec.resource || spec.containerResource ? '' : ' (avg)'
    return `${prefix}${current?.averageValue ?? unknownAmount}/${target.averageValue}${suffix}`
  }
  return `${prefix}${current?.value ?? unknownAmount}/${target?.value ?? '<auto>'}`
}

function targets(hpa: HorizontalPodAutoscaler): string {
  const metrics = hpa.spec?.metrics ?? []
  if (metrics.length === 0) return '<none>'
  const shown = metrics.slice(0, 2).map((metric, index) => targetText(metric, hpa.status?.currentMetrics?.[index]))
  return metrics.length > 2 ? `${shown.join(', ')} + ${metrics.length - 2} more...` : shown.join(', ')
}

const hpaColumns = [
  column<HorizontalPodAutoscaler>('Reference', ({ spec }) => `${spec?.scaleTargetRef?.kind}/${spec?.scaleTargetRef?.name}`),
  column<HorizontalPodAutoscaler>('Targets', targets),
  column<HorizontalPodAutoscaler>('MinPods', ({ spec }) => (spec?.minReplicas === undefined ? '<unset>' : String(spec.minReplicas))),
  column<HorizontalPodAutoscaler>('MaxPods', ({ spec }) => spec?.maxReplicas ?? 0, integer),
  column<HorizontalPodAutoscaler>('Replicas', ({ status }) => status?.currentReplicas ?? 0, integer),
  ageOf<HorizontalPodAutoscaler>(),
]

export const hpaResource = defineResource<HorizontalPodAutoscaler>({
  of: HorizontalPodAutoscaler,
  shortNames: ['hpa'],
  categories: ['all'],
  columns: hpaColumns,
  validate: hpaErrors,
})

const asV2 = (object: HorizontalPodAutoscalerV1): HorizontalPodAutoscaler =>
  hpaFromV1(object as unknown as JsonObject) as unknown as HorizontalPodAutoscaler

export const hpaV1Resource = defineResource<HorizontalPodAutoscalerV1>({
  of: HorizontalPodAutoscalerV1,
  typeName: 'HorizontalPodAutoscalerV1',
  shortNames: ['hpa'],
  categories: ['all'],
  storedApiVersion: 'autoscaling/v2',
  conversion: { toStored: hpaFromV1, fromStored: hpaToV1 },
  columns: hpaColumns.map((c) => ({ ...c, value: (object: HorizontalPodAutoscalerV1, now: number) => c.value(asV2(object), now) })),
  validate: (object) => hpaErrors(asV2(object)),
})
