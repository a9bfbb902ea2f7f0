// Who each pod of a StatefulSet is: its name, labels, claims. Pure.
import { type PersistentVolumeClaim, type Pod, StatefulSet } from '../../../api/index.js'
import { compact, controllerReference, sameJson } from '../objects.js'
import { podFromTemplate } from './pod-from-template.js'

export const REVISION_LABEL = 'controller-revision-hash'
const NAME_LABEL = 'statefulset.kubernetes.io/pod-name'
const INDEX_LABEL = 'apps.kubernetes.io/pod-index'

export const startOrdinal = (set: StatefulSet): number => set.spec?.ordinals?.start ?? 0

export const podName = (set: StatefulSet, ordinal: number): string => `${set.metadata.name}-${ordinal}`

/** The number at the end of the pod's name; undefined when the name is not of this set. */
export function ordinalOf(set: StatefulSet, pod: Pod): number | undefined {
  const prefix = `${set.metadata.name}-`
  const rest = pod.metadata.name.startsWith(prefix) ? pod.metadata.name.slice(prefix.length) : ''
  return /^(0|[1-9]\d{0,9})$/.test(rest) ? Number(rest) : undefined
}

export const claimName = (template: PersistentVolumeClaim, set: StatefulSet, ordinal: number): string =>
  `${template.metadata.name}-${set.metadata.name}-${ordinal}`

export const revisionOfPod = (pod: Pod): string => pod.metadata.labels?.[REVISION_LABEL] ?? ''

function identityLabels(set: StatefulSet, ordinal: number): Record<string, string> {
  return { [NAME_LABEL]: podName(set, ordinal), [INDEX_LABEL]: String(ordinal) }
}

/** The pod of this ordinal from the template of `revisionName`. */
export function planPod(set: StatefulSet, template: StatefulSet['spec'] & object, ordinal: number, revisionName: string): Pod {
  const name = podName(set, ordinal)
  const pod = podFromTemplate(template.template, StatefulSet, set, {
    name,
    labels: { ...identityLabels(set, ordinal), [REVISION_LABEL]: revisionName },
  })
  const templates = set.spec?.volumeClaimTemplates ?? []
  const claimed = new Set(templates.map((each) => each.metadata.name))
  const volumes = [
    ...templates.map((each) => ({ name: each.metadata.name, persistentVolumeClaim: { claimName: claimName(each, set, ordinal) } })),
    ...(pod.spec?.volumes ?? []).filter((volume) => !claimed.has(volume.name)),
  ]
  const spec = {
    ...(pod.spec ?? { containers: [] }),
    hostname: name,
    ...(set.spec?.serviceName ? { subdomain: set.spec.serviceName } : {}),
    ...(volumes.length > 0 ? { volumes } : {}),
  }
  return { ...pod, spec }
}

/** The pod with the labels of its identity put right; undefined when they are. */
export function repairIdentity(set: StatefulSet, pod: Pod, ordinal: number): Pod | undefined {
  const labels = { ...pod.metadata.labels, ...identityLabels(set, ordinal) }
  return sameJson(labels, pod.metadata.labels) ? undefined : { ...pod, metadata: { ...pod.metadata, labels } }
}

/** The claims of an ordinal, as they are when they are made. */
export function planClaims(set: StatefulSet, ordinal: number): PersistentVolumeClaim[] {
  return (set.spec?.volumeClaimTemplates ?? []).map((template) => ({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: compact({
      name: claimName(template, set, ordinal),
      namespace: set.metadata.namespace,
      labels: { ...template.metadata.labels, ...set.spec?.selector.matchLabels },
      annotations: template.metadata.annotations,
      ownerReferences: retention(set).whenDeleted === 'Delete' ? [controllerReference(StatefulSet, set)] : undefined,
    }),
    spec: template.spec,
  }))
}

export const retention = (set: StatefulSet): { readonly whenDeleted: string; readonly whenScaled: string } => ({
  whenDeleted: set.spec?.persistentVolumeClaimRetentionPolicy?.whenDeleted ?? 'Retain',
  whenScaled: set.spec?.persistentVolumeClaimRetentionPolicy?.whenScaled ?? 'Retain',
})

/**
 * Who owns a claim, by the retention policy: the set (deleted with it), a pod that is scaled away (deleted with that), or nobody.
 * Undefined when the claim says so already.
 */
export function repairClaimOwners(
  set: StatefulSet,
  claim: PersistentVolumeClaim,
  pod: Pod | undefined,
  condemned: boolean,
): PersistentVolumeClaim | undefined {
  const { whenDeleted, whenScaled } = retention(set)
  const before = claim.metadata.ownerReferences ?? []
  const others = before.filter(
    (reference) =>
      !(reference.kind === 'StatefulSet' && reference.name === set.metadata.name) &&
      !(reference.kind === 'Pod' && pod?.metadata.name === reference.name),
  )
  const owners = [...others]
  if (condemned && whenScaled === 'Delete' && pod) {
    owners.push({
      apiVersion: 'v1',
      kind: 'Pod',
      name: pod.metadata.name,
      uid: pod.metadata.uid ?? '',
      controller: true,
      blockOwnerDeletion: true,
    })
  } else if (whenDeleted === 'Delete') owners.push(controllerReference(StatefulSet, set))
  return sameJson(owners, before) ? undefined : { ...claim, metadata: { ...claim.metadata, ownerReferences: owners } }
}
