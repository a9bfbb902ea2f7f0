// Binds claims to volumes, both ways, and lets go of volumes as their reclaim policy says.
import { PersistentVolume, PersistentVolumeClaim, quantityValue, StorageClass, selects } from '../../../api/index.js'
import { compact, isDeleting, keyOf, nameOf, sameJson, uidOf } from '../objects.js'
import type { Context, Controller, ObjectKey, Outcome } from '../types.js'
import { watch } from '../types.js'

export const BOUND = 'pv.kubernetes.io/bind-completed'
export const BY_CONTROLLER = 'pv.kubernetes.io/bound-by-controller'
export const PROVISIONED_BY = 'pv.kubernetes.io/provisioned-by'
const PROVISIONER = 'volume.kubernetes.io/storage-provisioner'
const OLD_PROVISIONER = 'volume.beta.kubernetes.io/storage-provisioner'
export const SELECTED_NODE = 'volume.kubernetes.io/selected-node'
export const NO_PROVISIONER = 'kubernetes.io/no-provisioner'

export const refersToClaim = (volume: PersistentVolume, claim: PersistentVolumeClaim): boolean => {
  const reference = volume.spec?.claimRef
  if (!reference || reference.name !== claim.metadata.name || reference.namespace !== claim.metadata.namespace) return false
  return !reference.uid || reference.uid === uidOf(claim)
}

/** The smallest volume that will do; one that was made for this claim comes first. */
export function findVolume(claim: PersistentVolumeClaim, volumes: readonly PersistentVolume[]): PersistentVolume | undefined {
  const reserved = volumes.find((volume) => refersToClaim(volume, claim) && !isDeleting(volume) && suits(volume, claim))
  if (reserved) return reserved
  return volumes
    .filter((volume) => !volume.spec?.claimRef && !isDeleting(volume) && volume.status?.phase === 'Available' && suits(volume, claim))
    .sort(
      (a, b) =>
        quantityValue(a.spec?.capacity?.storage) - quantityValue(b.spec?.capacity?.storage) || (a.metadata.name < b.metadata.name ? -1 : 1),
    )[0]
}

function suits({ spec, metadata }: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  if ((spec?.storageClassName ?? '') !== (claim.spec?.storageClassName ?? '')) return false
  if ((spec?.volumeMode ?? 'Filesystem') !== (claim.spec?.volumeMode ?? 'Filesystem')) return false
  if (claim.spec?.selector && !selects(claim.spec.selector, metadata.labels)) return false
  if (!(claim.spec?.accessModes ?? []).every((mode) => spec?.accessModes?.includes(mode))) return false
  return quantityValue(spec?.capacity?.storage) >= quantityValue(claim.spec?.resources?.requests?.storage)
}

async function setClaimPhase({ client }: Context, claim: PersistentVolumeClaim, phase: string, volume?: PersistentVolume): Promise<void> {
  const status = compact({
    ...claim.status,
    phase,
    accessModes: volume?.spec?.accessModes,
    capacity: volume ? (claim.status?.capacity ?? volume.spec?.capacity) : undefined,
  })
  if (!sameJson(status, claim.status)) await client.updateStatus(PersistentVolumeClaim, { ...claim, status })
}

/** First the volume points to the claim, then the claim to the volume: whoever is stopped in between goes on from there. */
async function bind(context: Context, claim: PersistentVolumeClaim, volume: PersistentVolume): Promise<void> {
  const { client } = context
  const { name, namespace, uid, resourceVersion } = claim.metadata
  if (volume.spec?.claimRef?.uid !== uid) {
    const prebound = volume.spec?.claimRef !== undefined
    const annotations = prebound ? volume.metadata.annotations : { ...volume.metadata.annotations, [BY_CONTROLLER]: 'yes' }
    const claimRef = { kind: 'PersistentVolumeClaim', apiVersion: 'v1', namespace, name, uid, resourceVersion }
    await client.update(PersistentVolume, {
      ...volume,
      metadata: { ...volume.metadata, annotations },
      spec: { ...volume.spec, claimRef },
    })
  }
  let current = claim
  if (claim.spec?.volumeName !== volume.metadata.name || claim.metadata.annotations?.[BOUND] === undefined) {
    const chosen = claim.spec?.volumeName === volume.metadata.name ? {} : { [BY_CONTROLLER]: 'yes' }
    current = await client.update(PersistentVolumeClaim, {
      ...claim,
      metadata: { ...claim.metadata, annotations: { ...claim.metadata.annotations, [BOUND]: 'yes', ...chosen } },
      spec: { ...claim.spec, volumeName: volume.metadata.name },
    })
  }
  await setClaimPhase(context, current, 'Bound', volume)
}

async function reconcileClaim(key: ObjectKey, context: Context): Promise<Outcome | undefined> {
  const { cache, events } = context
  const claim = cache.get(PersistentVolumeClaim, key)
  if (!claim) return undefined
  const wanted = claim.spec?.volumeName
  if (wanted) {
    const volume = cache.get(PersistentVolume, wanted)
    const bound = claim.metadata.annotations?.[BOUND] !== undefined
    if (!volume) {
      if (bound) {
        events.warning(claim, 'ClaimLost', 'Bound claim has lost its PersistentVolume. Data on the volume is lost!')
        await setClaimPhase(context, claim, 'Lost')
      } else await setClaimPhase(context, claim, 'Pending')
      return undefined
    }
    if (volume.spec?.claimRef && !refersToClaim(volume, claim)) {
      if (bound) {
        events.warning(claim, 'ClaimMisbound', 'Two claims are bound to the same volume, this one is bound incorrectly')
        await setClaimPhase(context, claim, 'Lost')
      } else await setClaimPhase(context, claim, 'Pending')
      return undefined
    }
    if (!isDeleting(claim) || bound) await bind(context, claim, volume)
    return undefined
  }
  if (isDeleting(claim)) return undefined
  const className = claim.spec?.storageClassName ?? ''
  const storageClass = cache.get(StorageClass, className)
  const waits = storageClass?.volumeBindingMode === 'WaitForFirstConsumer'
  const volume = findVolume(claim, cache.list(PersistentVolume))
  const node = claim.metadata.annotations?.[SELECTED_NODE]
  // A volume that the scheduler has promised to this claim names it already.
  if (volume && (!waits || refersToClaim(volume, claim))) {
    await bind(context, claim, volume)
    return undefined
  }
  await setClaimPhase(context, claim, 'Pending')
  if (waits && !node) {
    events.normal(claim, 'WaitForFirstConsumer', 'waiting for first consumer to be created before binding')
  } else if (storageClass && storageClass.provisioner !== NO_PROVISIONER) {
    await askProvisioner(context, claim, storageClass)
  } else if (className !== '' && !storageClass) {
    events.warning(claim, 'ProvisioningFailed', `storageclass.storage.k8s.io "${className}" not found`)
  } else {
    events.normal(claim, 'FailedBinding', 'no persistent volumes available for this claim and no storage class is set')
  }
  return undefined
}

async function askProvisioner({ client, events }: Context, claim: PersistentVolumeClaim, { provisioner }: StorageClass): Promise<void> {
  if (claim.metadata.annotations?.[PROVISIONER] !== provisioner) {
    const annotations = { [PROVISIONER]: provisioner, [OLD_PROVISIONER]: provisioner }
    const { resourceVersion } = claim.metadata
    await client.patch(PersistentVolumeClaim, nameOf(claim), { metadata: { resourceVersion, annotations } }, { type: 'merge' })
  }
  const message = `Waiting for a volume to be created either by the external provisioner '${provisioner}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.`
  events.normal(claim, 'ExternalProvisioning', message)
}

export const claimBinder: Controller = {
  name: 'persistentvolume-binder',
  component: 'persistentvolume-controller',
  for: PersistentVolumeClaim,
  reads: [StorageClass],
  watches: [
    watch(PersistentVolume, (volume, cache) => {
      const reference = volume.spec?.claimRef
      if (reference) return [`${reference.namespace}/${reference.name}`]
      return cache
        .list(PersistentVolumeClaim)
        .filter(
          (claim) => !claim.metadata.annotations?.[BOUND] && (!claim.spec?.volumeName || claim.spec.volumeName === volume.metadata.name),
        )
        .map(keyOf)
    }),
    watch(StorageClass, (storageClass, cache) =>
      cache
        .list(PersistentVolumeClaim)
        .filter((claim) => !claim.spec?.volumeName && claim.spec?.storageClassName === storageClass.metadata.name)
        .map(keyOf),
    ),
  ],
  // One at a time: two claims must not choose the same volume.
  workers: 1,
  reconcile: reconcileClaim,
}

async function setVolumePhase(
  { client, clock }: Context,
  volume: PersistentVolume,
  phase: string,
  message?: string,
): Promise<PersistentVolume> {
  if (volume.status?.phase === phase && volume.status.message === message) return volume
  const changed =
    volume.status?.phase === phase ? volume.status.lastPhaseTransitionTime : new Date(clock.now()).toISOString().replace(/\.\d+Z$/, 'Z')
  return client.updateStatus(PersistentVolume, { ...volume, status: compact({ phase, message, lastPhaseTransitionTime: changed }) })
}

async function reconcileVolume(key: ObjectKey, context: Context): Promise<Outcome | undefined> {
  const { cache, client, events } = context
  const volume = cache.get(PersistentVolume, key)
  if (!volume) return undefined
  const reference = volume.spec?.claimRef
  if (!reference) {
    await setVolumePhase(context, volume, 'Available')
    return undefined
  }
  // Kept for a claim that nobody has seen yet.
  if (!reference.uid) {
    await setVolumePhase(context, volume, 'Available')
    return undefined
  }
  const name = { name: reference.name ?? '', namespace: reference.namespace }
  const cached = cache.get(PersistentVolumeClaim, `${reference.namespace}/${reference.name}`)
  const claim = cached && uidOf(cached) === reference.uid ? cached : await client.find(PersistentVolumeClaim, name)
  if (claim && uidOf(claim) === reference.uid) {
    if (claim.spec?.volumeName === volume.metadata.name) await setVolumePhase(context, volume, 'Bound')
    return undefined
  }
  // One that could not be deleted has said so already.
  const released = volume.status?.phase === 'Failed' ? volume : await setVolumePhase(context, volume, 'Released')
  const policy = volume.spec?.persistentVolumeReclaimPolicy ?? 'Retain'
  const provisioner = volume.metadata.annotations?.[PROVISIONED_BY]
  if (policy === 'Delete' && !provisioner) {
    const message = `error getting deleter volume plugin for volume "${volume.metadata.name}": no volume plugin matched`
    if (released.status?.phase !== 'Failed') events.warning(volume, 'VolumeFailedDelete', message)
    await setVolumePhase(context, released, 'Failed', message)
  }
  return undefined
}

export const volumeBinder: Controller = {
  name: 'persistentvolume-reclaimer',
  component: 'persistentvolume-controller',
  for: PersistentVolume,
  watches: [
    watch(PersistentVolumeClaim, (claim, cache) => [
      ...(claim.spec?.volumeName ? [claim.spec.volumeName] : []),
      ...cache
        .list(PersistentVolume)
        .filter((volume) => volume.spec?.claimRef?.uid === uidOf(claim))
        .map((volume) => volume.metadata.name),
    ]),
  ],
  reconcile: reconcileVolume,
}
