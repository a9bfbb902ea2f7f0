// Claims stay while a pod uses them, volumes while a claim is bound to them: finalizers hold them.
import { type Kind, PersistentVolume, PersistentVolumeClaim, Pod, type Resource } from '../../../api/index.js'
import { isDeleting, keyOf, nameOf, uidOf } from '../objects.js'
import { isFinished } from '../pods.js'
import type { Controller, Writer } from '../types.js'
import { watch } from '../types.js'

const CLAIM_FINALIZER = 'kubernetes.io/pvc-protection'
const VOLUME_FINALIZER = 'kubernetes.io/pv-protection'

/** Claims that the pod names, also those made for it. */
export const claimsOf = (pod: Pod): readonly string[] =>
  (pod.spec?.volumes ?? []).flatMap((volume) => {
    if (volume.persistentVolumeClaim) return [`${pod.metadata.namespace}/${volume.persistentVolumeClaim.claimName}`]
    return volume.ephemeral ? [`${pod.metadata.namespace}/${pod.metadata.name}-${volume.name}`] : []
  })

async function setFinalizer<T extends Resource>(client: Writer, kind: Kind<T>, object: T, name: string, present: boolean): Promise<void> {
  const { uid, resourceVersion, finalizers = [] } = object.metadata
  if (finalizers.includes(name) === present) return
  const next = present ? [...finalizers, name] : finalizers.filter((each) => each !== name)
  await client.patch(kind, nameOf(object), { metadata: { uid, resourceVersion, finalizers: next } }, { type: 'merge' })
}

/** A pod that will run no more does not use its claims; one that is scheduled and not yet ended does, whatever else. */
const uses = (pod: Pod, key: string): boolean => claimsOf(pod).includes(key) && pod.spec?.nodeName !== undefined && !isFinished(pod)

export const claimProtection: Controller = {
  name: 'pvc-protection',
  for: PersistentVolumeClaim,
  watches: [watch(Pod, (pod, cache) => (isFinished(pod) || cache.get(Pod, keyOf(pod)) === undefined ? claimsOf(pod) : []))],
  async reconcile(key, { cache, client }) {
    const claim = cache.get(PersistentVolumeClaim, key)
    if (!claim) return undefined
    if (!isDeleting(claim)) {
      await setFinalizer(client, PersistentVolumeClaim, claim, CLAIM_FINALIZER, true)
      return undefined
    }
    if (!(claim.metadata.finalizers ?? []).includes(CLAIM_FINALIZER)) return undefined
    if (cache.list(Pod, claim.metadata.namespace).some((pod) => uses(pod, key))) return undefined
    // The cache may lag behind a pod that was scheduled a moment ago.
    if ((await client.listNow(Pod, claim.metadata.namespace)).some((pod) => uses(pod, key))) return { requeueAfterMs: 1000 }
    await setFinalizer(client, PersistentVolumeClaim, claim, CLAIM_FINALIZER, false)
    return undefined
  },
}

export const volumeProtection: Controller = {
  name: 'pv-protection',
  for: PersistentVolume,
  reads: [PersistentVolumeClaim],
  async reconcile(key, { cache, client }) {
    const volume = cache.get(PersistentVolume, key)
    if (!volume) return undefined
    const bound = volume.status?.phase === 'Bound' && isClaimed(volume, cache.get(PersistentVolumeClaim, claimKey(volume)))
    // Nothing can be put on what is going already.
    if (isDeleting(volume) && bound) return undefined
    await setFinalizer(client, PersistentVolume, volume, VOLUME_FINALIZER, !isDeleting(volume))
    return undefined
  },
  watches: [watch(PersistentVolumeClaim, (claim) => (claim.spec?.volumeName ? [claim.spec.volumeName] : []))],
}

const claimKey = ({ spec }: PersistentVolume): string => `${spec?.claimRef?.namespace}/${spec?.claimRef?.name}`
const isClaimed = (volume: PersistentVolume, claim: PersistentVolumeClaim | undefined): boolean =>
  claim !== undefined && uidOf(claim) === volume.spec?.claimRef?.uid
