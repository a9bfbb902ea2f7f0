// Deployments, ReplicaSets, StatefulSets, DaemonSets, ReplicationControllers.
import { type FieldError, forbidden, invalid, notSupported, required } from '../field-error.js'
import type {
  ControllerRevision,
  DaemonSet,
  Deployment,
  LabelSelector,
  PodTemplate,
  PodTemplateSpec,
  ReplicaSet,
  ReplicationController,
  StatefulSet,
} from '../generated/kinds.js'
import { equalJson } from '../json/value.js'
import { dnsLabelErrors } from '../names.js'
import { labelErrors, labelSelector, labelSelectorErrors, mapSelector } from '../selector/labels.js'
import { immutableErrors, intOrPercentErrors, nonNegativeErrors, oneOfErrors, percentOf, textErrors } from './common.js'
import { templateErrors } from './pod.js'
import { claimSpecErrors } from './volumes-persistent.js'

interface TemplateRules {
  readonly selector: LabelSelector | undefined
  readonly noun: string
  readonly restart: readonly string[]
}

/** A template whose pods must carry the selector's labels and be restarted for ever. */
function workloadTemplateErrors(template: PodTemplateSpec | undefined, { selector, noun, restart }: TemplateRules): FieldError[] {
  const errors: FieldError[] = []
  if (!selector) errors.push(required('spec.selector'))
  else {
    errors.push(...labelSelectorErrors(selector, 'spec.selector'))
    if (Object.keys(selector.matchLabels ?? {}).length + (selector.matchExpressions?.length ?? 0) === 0)
      errors.push(invalid('spec.selector', selector, `empty selector is invalid for ${noun}`))
    else if (template && !labelSelector(selector).matches(template.metadata?.labels))
      errors.push(invalid('spec.template.metadata.labels', template.metadata?.labels ?? {}, '`selector` does not match template `labels`'))
  }
  errors.push(...templateErrors(template, 'spec.template'))
  const policy = template?.spec?.restartPolicy
  if (policy && !restart.includes(policy)) errors.push(notSupported('spec.template.spec.restartPolicy', policy, restart))
  if (template?.spec?.activeDeadlineSeconds !== undefined)
    errors.push(
      forbidden(
        'spec.template.spec.activeDeadlineSeconds',
        `activeDeadlineSeconds in ${noun === 'replica set' ? 'ReplicaSet' : title(noun)} is not Supported`,
      ),
    )
  return errors
}
const title = (noun: string): string =>
  ({ deployment: 'Deployment', statefulset: 'StatefulSet', daemonset: 'DaemonSet' })[noun] ?? 'ReplicationController'

export function deploymentErrors({ spec }: Deployment): FieldError[] {
  if (!spec) return [required('spec')]
  const errors = nonNegativeErrors(spec.replicas, 'spec.replicas')
  errors.push(...workloadTemplateErrors(spec.template, { selector: spec.selector, noun: 'deployment', restart: ['Always'] }))
  errors.push(...nonNegativeErrors(spec.minReadySeconds, 'spec.minReadySeconds'))
  errors.push(...nonNegativeErrors(spec.revisionHistoryLimit, 'spec.revisionHistoryLimit'))
  const deadline = spec.progressDeadlineSeconds
  errors.push(...nonNegativeErrors(deadline, 'spec.progressDeadlineSeconds'))
  if (deadline !== undefined && deadline <= (spec.minReadySeconds ?? 0))
    errors.push(invalid('spec.progressDeadlineSeconds', deadline, 'must be greater than minReadySeconds'))
  const { type, rollingUpdate } = spec.strategy ?? {}
  if (type === 'Recreate' && rollingUpdate)
    errors.push(forbidden('spec.strategy.rollingUpdate', "may not be specified when strategy `type` is 'Recreate'"))
  else if (type === 'RollingUpdate') {
    const { maxUnavailable, maxSurge } = rollingUpdate ?? {}
    errors.push(
      ...intOrPercentErrors(maxUnavailable, 'spec.strategy.rollingUpdate.maxUnavailable'),
      ...intOrPercentErrors(maxSurge, 'spec.strategy.rollingUpdate.maxSurge'),
    )
    const none = (value: number | string | undefined): boolean => value === undefined || value === 0 || percentOf(value) === 0
    if (none(maxUnavailable) && none(maxSurge))
      errors.push(invalid('spec.strategy.rollingUpdate.maxUnavailable', maxUnavailable ?? 0, 'may not be 0 when `maxSurge` is 0'))
    if ((percentOf(maxUnavailable) ?? 0) > 100)
      errors.push(invalid('spec.strategy.rollingUpdate.maxUnavailable', maxUnavailable, 'must not be greater than 100%'))
  } else if (type !== 'Recreate') errors.push(...oneOfErrors(type, ['Recreate', 'RollingUpdate'], 'spec.strategy.type'))
  return errors
}

export const deploymentUpdateErrors = (next: Deployment, previous: Deployment): FieldError[] =>
  immutableErrors(next.spec?.selector, previous.spec?.selector, 'spec.selector')

export function replicaSetErrors({ spec }: ReplicaSet): FieldError[] {
  if (!spec) return [required('spec')]
  return [
    ...nonNegativeErrors(spec.replicas, 'spec.replicas'),
    ...nonNegativeErrors(spec.minReadySeconds, 'spec.minReadySeconds'),
    ...workloadTemplateErrors(spec.template, { selector: spec.selector, noun: 'replica set', restart: ['Always'] }),
  ]
}

export const replicaSetUpdateErrors = (next: ReplicaSet, previous: ReplicaSet): FieldError[] =>
  immutableErrors(next.spec?.selector, previous.spec?.selector, 'spec.selector')

export function replicationControllerErrors({ spec }: ReplicationController): FieldError[] {
  if (!spec) return [required('spec')]
  const errors = [...nonNegativeErrors(spec.replicas, 'spec.replicas'), ...nonNegativeErrors(spec.minReadySeconds, 'spec.minReadySeconds')]
  if (Object.keys(spec.selector ?? {}).length === 0) errors.push(required('spec.selector'))
  errors.push(...labelErrors(spec.selector, 'spec.selector'))
  if (!spec.template) return [...errors, required('spec.template')]
  if (!mapSelector(spec.selector ?? {}).matches(spec.template.metadata?.labels))
    errors.push(
      invalid('spec.template.metadata.labels', spec.template.metadata?.labels ?? {}, '`selector` does not match template `labels`'),
    )
  errors.push(...templateErrors(spec.template, 'spec.template'))
  if (spec.template.spec?.restartPolicy && spec.template.spec.restartPolicy !== 'Always')
    errors.push(notSupported('spec.template.spec.restartPolicy', spec.template.spec.restartPolicy, ['Always']))
  if (spec.template.spec?.activeDeadlineSeconds !== undefined)
    errors.push(forbidden('spec.template.spec.activeDeadlineSeconds', 'activeDeadlineSeconds in ReplicationController is not Supported'))
  return errors
}

export function statefulSetErrors({ spec }: StatefulSet): FieldError[] {
  if (!spec) return [required('spec')]
  const errors: FieldError[] = []
  errors.push(...oneOfErrors(spec.podManagementPolicy, ['OrderedReady', 'Parallel'], 'spec.podManagementPolicy'))
  const { type, rollingUpdate } = spec.updateStrategy ?? {}
  if (!type) errors.push(required('spec.updateStrategy'))
  else if (type === 'OnDelete') {
    if (rollingUpdate)
      errors.push(invalid('spec.updateStrategy.rollingUpdate', rollingUpdate, "only allowed for updateStrategy 'RollingUpdate'"))
  } else if (type === 'RollingUpdate') {
    errors.push(...nonNegativeErrors(rollingUpdate?.partition, 'spec.updateStrategy.rollingUpdate.partition'))
    errors.push(...intOrPercentErrors(rollingUpdate?.maxUnavailable, 'spec.updateStrategy.rollingUpdate.maxUnavailable'))
  } else errors.push(invalid('spec.updateStrategy', spec.updateStrategy, "must be 'RollingUpdate' or 'OnDelete'"))
  for (const name of ['whenDeleted', 'whenScaled'] as const)
    errors.push(
      ...oneOfErrors(
        spec.persistentVolumeClaimRetentionPolicy?.[name],
        ['Delete', 'Retain'],
        `spec.persistentVolumeClaimRetentionPolicy.${name}`,
      ),
    )
  errors.push(...nonNegativeErrors(spec.replicas, 'spec.replicas'), ...nonNegativeErrors(spec.minReadySeconds, 'spec.minReadySeconds'))
  errors.push(...nonNegativeErrors(spec.ordinals?.start, 'spec.ordinals.start'))
  // Claims of the template become volumes of the pods.
  const claims = spec.volumeClaimTemplates ?? []
  const volumes = [
    ...(spec.template?.spec?.volumes ?? []).filter((v) => !claims.some((c) => c.metadata?.name === v.name)),
    ...claims.map((c) => ({ name: c.metadata?.name ?? '', persistentVolumeClaim: { claimName: 'from-template' } })),
  ]
  const template = spec.template?.spec ? { ...spec.template, spec: { ...spec.template.spec, volumes } } : spec.template
  errors.push(...workloadTemplateErrors(template, { selector: spec.selector, noun: 'statefulset', restart: ['Always'] }))
  claims.forEach((claim, index) => {
    errors.push(...claimSpecErrors(claim.spec, `spec.volumeClaimTemplates[${index}].spec`))
  })
  return errors
}

/** Older sets keep the name they were made with. */
export const statefulSetCreateErrors = ({ spec }: StatefulSet): FieldError[] =>
  spec?.serviceName ? textErrors(spec.serviceName, dnsLabelErrors, 'spec.serviceName') : []

const stsChangeable =
  "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"

export function statefulSetUpdateErrors(next: StatefulSet, previous: StatefulSet): FieldError[] {
  const fixed = ({ spec }: StatefulSet) => {
    const {
      replicas: _r,
      ordinals: _o,
      template: _t,
      updateStrategy: _u,
      revisionHistoryLimit: _h,
      persistentVolumeClaimRetentionPolicy: _p,
      minReadySeconds: _m,
      volumeClaimTemplates,
      ...rest
    } = spec ?? { selector: {}, serviceName: '', template: {} }
    return { ...rest, claims: volumeClaimTemplates?.map(({ status: _s, ...claim }) => claim) }
  }
  return equalJson(fixed(next), fixed(previous)) ? [] : [forbidden('spec', stsChangeable)]
}

export function daemonSetErrors({ spec }: DaemonSet): FieldError[] {
  if (!spec) return [required('spec')]
  const errors = workloadTemplateErrors(spec.template, { selector: spec.selector, noun: 'daemonset', restart: ['Always'] })
  errors.push(
    ...nonNegativeErrors(spec.minReadySeconds, 'spec.minReadySeconds'),
    ...nonNegativeErrors(spec.revisionHistoryLimit, 'spec.revisionHistoryLimit'),
  )
  const { type, rollingUpdate } = spec.updateStrategy ?? {}
  if (type === 'RollingUpdate') {
    if (!rollingUpdate) return [...errors, required('spec.updateStrategy.rollingUpdate')]
    const { maxUnavailable, maxSurge } = rollingUpdate
    errors.push(
      ...intOrPercentErrors(maxUnavailable, 'spec.updateStrategy.rollingUpdate.maxUnavailable'),
      ...intOrPercentErrors(maxSurge, 'spec.updateStrategy.rollingUpdate.maxSurge'),
    )
    for (const [name, value] of Object.entries({ maxUnavailable, maxSurge }))
      if ((percentOf(value) ?? 0) > 100)
        errors.push(invalid(`spec.updateStrategy.rollingUpdate.${name}`, value, 'must not be greater than 100%'))
    const some = (value: number | string | undefined): boolean => value !== undefined && value !== 0 && percentOf(value) !== 0
    if (some(maxUnavailable) && some(maxSurge))
      errors.push(invalid('spec.updateStrategy.rollingUpdate.maxSurge', maxSurge, 'may not be set when maxUnavailable is non-zero'))
    if (!some(maxUnavailable) && !some(maxSurge))
      errors.push(required('spec.updateStrategy.rollingUpdate.maxUnavailable', 'cannot be 0 when maxSurge is 0'))
  } else errors.push(...oneOfErrors(type, ['RollingUpdate', 'OnDelete'], 'spec.updateStrategy.type'))
  return errors
}

export const daemonSetUpdateErrors = (next: DaemonSet, previous: DaemonSet): FieldError[] =>
  immutableErrors(next.spec?.selector, previous.spec?.selector, 'spec.selector')

export const podTemplateErrors = ({ template }: PodTemplate): FieldError[] => templateErrors(template, 'template')

export function controllerRevisionErrors(revision: ControllerRevision): FieldError[] {
  const errors = nonNegativeErrors(revision.revision, 'revision')
  if (revision.data === undefined) errors.push(required('data', 'data is mandatory'))
  return errors
}

export const controllerRevisionUpdateErrors = (next: ControllerRevision, previous: ControllerRevision): FieldError[] =>
  immutableErrors(next.data, previous.data, 'data')
