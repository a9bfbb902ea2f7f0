// Claims that a pod brings along: made for it, and gone with it.
import { PersistentVolumeClaim, Pod } from '../../../api/index.js'
import { compact, controllerReference, isControlledBy, isDeleting } from '../objects.js'
import type { Controller } from '../types.js'

export function planEphemeralClaims(pod: Pod): PersistentVolumeClaim[] {
  return (pod.spec?.volumes ?? []).flatMap((volume): PersistentVolumeClaim[] => {
    const template = volume.ephemeral?.volumeClaimTemplate
    if (!template) return []
    const metadata = compact({
      name: `${pod.metadata.name}-${volume.name}`,
      namespace: pod.metadata.namespace,
      labels: template.metadata?.labels,
      annotations: template.metadata?.annotations,
      ownerReferences: [controllerReference(Pod, pod)],
    })
    return [{ apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata, spec: template.spec }]
  })
}

export const ephemeralVolume: Controller = {
  name: 'ephemeral-volume',
  component: 'ephemeral_volume',
  for: Pod,
  owns: [PersistentVolumeClaim],
  async reconcile(key, { cache, client, events }) {
    const pod = cache.get(Pod, key)
    if (!pod || isDeleting(pod)) return undefined
    for (const claim of planEphemeralClaims(pod)) {
      const existing = cache.get(PersistentVolumeClaim, `${claim.metadata.namespace}/${claim.metadata.name}`)
      if (existing && !isControlledBy(existing, pod)) {
        const message = `PVC ${claim.metadata.namespace}/${claim.metadata.name} was not created for pod ${key} (pod is not owner)`
        events.warning(pod, 'EphemeralVolumeFailed', message)
        throw new Error(message)
      }
      if (!existing) await client.create(PersistentVolumeClaim, claim)
    }
    return undefined
  },
}
