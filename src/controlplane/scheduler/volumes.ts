// What the scheduler knows of claims and volumes, with what it has promised and not yet written.
import type { CSINode, PersistentVolume, PersistentVolumeClaim, StorageClass } from '../../api/index.js'

export interface VolumeView {
  claim(key: string): PersistentVolumeClaim | undefined
  volume(name: string): PersistentVolume | undefined
  volumes(): readonly PersistentVolume[]
  storageClass(name: string): StorageClass | undefined
  csiNode(name: string): CSINode | undefined
  /** Volumes promised to claims of pods that are being bound. */
  readonly promised: Map<string, string>
  /** Keys of pods that use a claim. */
  usersOf(claimKey: string): readonly string[]
}

export const noVolumes: VolumeView = {
  claim: () => undefined,
  volume: () => undefined,
  volumes: () => [],
  storageClass: () => undefined,
  csiNode: () => undefined,
  promised: new Map(),
  usersOf: () => [],
}
