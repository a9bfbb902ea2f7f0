// persistentVolumeClaim: from the claim to the bound volume to a path on this node.
import { PersistentVolume, PersistentVolumeClaim, type Pod, type Volume } from '../../api/index.js'
import type { Client } from '../../client/index.js'

export interface ClaimedVolume {
  /** A folder, or a block device when `block`. */
  readonly path: string
  readonly block: boolean
  readonly readOnly: boolean
  /** hostPath volumes keep their owner; local ones take the pod's group. */
  readonly takesGroup: boolean
  readonly hostPathType: string | undefined
}

/** The claim that a volume names, or that was made for it. */
export const claimNameOf = (pod: Pod, volume: Volume): string | undefined =>
  volume.persistentVolumeClaim?.claimName ?? (volume.ephemeral ? `${pod.metadata.name}-${volume.name}` : undefined)

export async function claimedVolume(client: Client, pod: Pod, volume: Volume): Promise<ClaimedVolume> {
  const { namespace } = pod.metadata
  const name = claimNameOf(pod, volume) ?? ''
  const claim = await client.find(PersistentVolumeClaim, { namespace, name })
  if (!claim) throw new Error(`error getting PVC ${namespace}/${name}: persistentvolumeclaim "${name}" not found`)
  if (volume.ephemeral && !claim.metadata.ownerReferences?.some(({ uid }) => uid === pod.metadata.uid))
    throw new Error(`PVC ${namespace}/${name} was not created for pod ${namespace}/${pod.metadata.name} (pod is not owner)`)
  if (claim.metadata.deletionTimestamp) throw new Error(`PVC ${namespace}/${name} is being deleted`)
  const volumeName = claim.spec?.volumeName
  if (!volumeName || claim.status?.phase !== 'Bound') throw new Error(`PVC ${namespace}/${name} is not bound`)
  const persistent = await client.find(PersistentVolume, { name: volumeName })
  if (!persistent) throw new Error(`PV ${volumeName} of PVC ${namespace}/${name} not found`)
  const { hostPath, local, claimRef, volumeMode } = persistent.spec ?? {}
  if (claimRef?.uid && claimRef.uid !== claim.metadata.uid)
    throw new Error(`PV ${volumeName} is bound to another claim than ${namespace}/${name}`)
  const block = (claim.spec?.volumeMode ?? volumeMode) === 'Block'
  const readOnly =
    volume.persistentVolumeClaim?.readOnly === true || (persistent.spec?.accessModes ?? []).every((mode) => mode === 'ReadOnlyMany')
  if (hostPath) return { path: hostPath.path, block, readOnly, takesGroup: false, hostPathType: hostPath.type }
  if (local) return { path: local.path, block, readOnly, takesGroup: true, hostPathType: undefined }
  throw new Error(`PV ${volumeName} is of a kind that this node has no driver for`)
}
