// Claims that one pod at a time may use, and how many volumes of a CSI driver a node can hold.
import { type Plugin, rejection } from '../plugin.js'
import type { VolumeView } from '../volumes.js'
import { claimKeys } from './volume-binding.js'

const name = 'VolumeRestrictions'
const inUse = rejection(name, 'node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode')

export const volumeRestrictions: Plugin = {
  name,
  local: false,
  prepare({ pod, volumes, state }) {
    const single = claimKeys(pod.pod).filter((key) => volumes.claim(key)?.spec?.accessModes?.includes('ReadWriteOncePod'))
    if (single.length === 0) return undefined
    const taken = single.some((key) => volumes.usersOf(key).some((user) => user !== pod.key && state.pods.has(user)))
    // The claim is one for the whole cluster: every node is refused until its user is gone, which preemption may see to.
    return taken ? { filter: () => inUse } : undefined
  },
  hint: (pod, event) => event.type === 'pod removed' && claimKeys(pod).some((key) => claimKeys(event.pod).includes(key)),
}

const limits = 'NodeVolumeLimits'
const full = rejection(limits, 'node(s) exceed max volume count')

/** Whose volume a claim has, or will have when it is provisioned: that takes its place on the node as well. */
function driver(key: string, volumes: VolumeView): string | undefined {
  const spec = volumes.claim(key)?.spec
  const volume = volumes.volume(spec?.volumeName ?? '')
  return volume ? volume.spec?.csi?.driver : volumes.storageClass(spec?.storageClassName ?? '')?.provisioner
}

export const nodeVolumeLimits: Plugin = {
  name: limits,
  local: false,
  prepare({ pod, volumes }) {
    const driverOf = (key: string): string | undefined => driver(key, volumes)
    const wanted = [...new Set(claimKeys(pod.pod))].filter((key) => driverOf(key) !== undefined)
    if (wanted.length === 0) return undefined
    return {
      filter(_, node) {
        for (const { name: driverName, allocatable } of volumes.csiNode(node.name)?.spec.drivers ?? []) {
          if (allocatable?.count === undefined) continue
          const mine = wanted.filter((key) => driverOf(key) === driverName)
          if (mine.length === 0) continue
          const used = new Set(
            [...node.pods.values()].flatMap((other) => claimKeys(other.pod)).filter((key) => driverOf(key) === driverName),
          )
          const more = mine.filter((key) => !used.has(key)).length
          if (more > 0 && used.size + more > allocatable.count) return full
        }
        return undefined
      },
    }
  },
  hint: (_, event) => event.type === 'pod removed' || event.type === 'node added' || event.type === 'volumes changed',
}
