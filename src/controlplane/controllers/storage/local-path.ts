// Makes volumes of the StorageClass `standard`: a folder on the node that the scheduler chose.
import { PersistentVolume, PersistentVolumeClaim, StorageClass } from '../../../api/index.js'
import { isStatus } from '../../../lib/index.js'
import { isDeleting, nameOf, uidOf } from '../objects.js'
import type { Controller } from '../types.js'
import { PROVISIONED_BY, SELECTED_NODE } from './volume-binder.js'

export const PROVISIONER = 'knarr.io/local-path'
const CLASS = 'standard'
const DEFAULT_CLASS = 'storageclass.kubernetes.io/is-default-class'
const FOLDER = '/var/lib/knarr/volumes'
const ACCESS = ['ReadWriteOnce', 'ReadWriteOncePod', 'ReadOnlyMany']

export const volumeName = (claim: PersistentVolumeClaim): string => `pvc-${uidOf(claim)}`

/** The volume for a claim on a node. The kubelet makes the folder when it mounts it first. */
export function planVolume(claim: PersistentVolumeClaim, storageClass: StorageClass, node: string, folder: string): PersistentVolume {
  const { name, namespace, uid, resourceVersion } = claim.metadata
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name: volumeName(claim), annotations: { [PROVISIONED_BY]: PROVISIONER } },
    spec: {
      capacity: { storage: claim.spec?.resources?.requests?.storage ?? '1Gi' },
      accessModes: claim.spec?.accessModes ?? ['ReadWriteOnce'],
      volumeMode: 'Filesystem',
      persistentVolumeReclaimPolicy: storageClass.reclaimPolicy ?? 'Delete',
      storageClassName: storageClass.metadata.name,
      claimRef: { kind: 'PersistentVolumeClaim', apiVersion: 'v1', namespace, name, uid, resourceVersion },
      hostPath: { path: `${folder}/${volumeName(claim)}_${namespace}_${name}`, type: 'DirectoryOrCreate' },
      nodeAffinity: {
        required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [node] }] }] },
      },
    },
  }
}

export const localPath: Controller = {
  name: 'local-path-provisioner',
  component: PROVISIONER,
  for: PersistentVolumeClaim,
  reads: [StorageClass, PersistentVolume],
  async reconcile(key, { cache, client, events, options }) {
    const claim = cache.get(PersistentVolumeClaim, key)
    const storageClass = claim && cache.get(StorageClass, claim.spec?.storageClassName ?? '')
    if (!claim || isDeleting(claim) || claim.spec?.volumeName || storageClass?.provisioner !== PROVISIONER) return undefined
    const node = claim.metadata.annotations?.[SELECTED_NODE]
    if (!node || cache.get(PersistentVolume, volumeName(claim))) return undefined
    const refused =
      claim.spec?.volumeMode === 'Block'
        ? 'block volumes are not supported'
        : (claim.spec?.accessModes ?? []).find((mode) => !ACCESS.includes(mode)) &&
          'ReadWriteMany is not supported: the volume is a folder of one node'
    if (refused) {
      events.warning(
        claim,
        'ProvisioningFailed',
        `failed to provision volume with StorageClass "${storageClass.metadata.name}": ${refused}`,
      )
      return undefined
    }
    events.normal(claim, 'Provisioning', `External provisioner is provisioning volume for claim "${key}"`)
    try {
      await client.create(PersistentVolume, planVolume(claim, storageClass, node, options.localPath ?? FOLDER))
    } catch (error) {
      if (!isStatus(error, 'AlreadyExists')) throw error
    }
    events.normal(claim, 'ProvisioningSucceeded', `Successfully provisioned volume ${volumeName(claim)}`)
    return undefined
  },
  /** The class itself is made once; who deletes or changes it has the last word until the next start. */
  async background({ client, log }) {
    try {
      if (await client.find(StorageClass, { name: CLASS })) return
      await client.create(StorageClass, {
        apiVersion: 'storage.k8s.io/v1',
        kind: 'StorageClass',
        metadata: { name: CLASS, annotations: { [DEFAULT_CLASS]: 'true' } },
        provisioner: PROVISIONER,
        reclaimPolicy: 'Delete',
        volumeBindingMode: 'WaitForFirstConsumer',
      })
    } catch (error) {
      if (!isStatus(error, 'AlreadyExists')) log.warn('storage class not made', { err: error })
    }
  },
}

/** Removes released volumes of this provisioner; the kubelet of the node removes the folder (`knarr.io/local-path` in the annotation says so). */
export const localPathReclaimer: Controller = {
  name: 'local-path-reclaimer',
  component: PROVISIONER,
  for: PersistentVolume,
  async reconcile(key, { cache, client }) {
    const volume = cache.get(PersistentVolume, key)
    if (!volume || isDeleting(volume) || volume.metadata.annotations?.[PROVISIONED_BY] !== PROVISIONER) return undefined
    if (volume.status?.phase !== 'Released' || volume.spec?.persistentVolumeReclaimPolicy !== 'Delete') return undefined
    await client.delete(PersistentVolume, nameOf(volume), { preconditions: { uid: uidOf(volume) } })
    return undefined
  },
}
