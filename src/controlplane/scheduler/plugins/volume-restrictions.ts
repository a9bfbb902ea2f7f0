// Claims that one pod at a time may use, and how many volumes of a CSI driver a node can hold.
import { type Plugin, rejection } from '../plugin.js'
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

export const nodeVolumeLimits: Plugin = {
  name: limits,
  local: false,
  prepare({ pod, volumes }) {
    const driverOf = (key: string): string | undefined => volumes.volume(volumes.claim(key)?.spec?.volumeName ?? '')?.spec?.csi?.driver
    const wanted = new Set(claimKeys(pod.pod).filter((key) => driverOf(key) !== undefined))
    if (wanted.size === 0) return undefined
    return {
      filter(_, node) {
        const drivers = volumes.csiNode(node.name)?.spec.drivers ?? []
        for (const driver of drivers) {
          const count = driver.allocatable?.count
          if (count === undefined) continue
          const keys = new Set(
            [...node.pods.values()].flatMap((other) => claimKeys(other.pod)).filter((key) => driverOf(key) === driver.name),
          )
          for (const key of wanted) if (driverOf(key) === driver.name) keys.add(key)
          if (keys.size > count) return full
        }
        return undefined
      },
    }
  },
  hint: (_, event) => event.type === 'pod removed' || event.type === 'node added' || event.type === 'volumes changed',
}
