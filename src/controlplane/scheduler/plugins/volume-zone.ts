// Volumes that say by labels in which zone they are: their pods go there.
import { type Plugin, rejection } from '../plugin.js'
import { claimKeys } from './volume-binding.js'

const name = 'VolumeZone'
const elsewhere = rejection(name, 'node(s) had no available volume zone', true)

const TOPOLOGY: readonly string[] = [
  'topology.kubernetes.io/zone',
  'topology.kubernetes.io/region',
  'failure-domain.beta.kubernetes.io/zone',
  'failure-domain.beta.kubernetes.io/region',
]

export const volumeZone: Plugin = {
  name,
  local: false,
  prepare({ pod, volumes }) {
    const wanted = claimKeys(pod.pod).flatMap((key) => {
      const labels = volumes.volume(volumes.claim(key)?.spec?.volumeName ?? '')?.metadata.labels ?? {}
      // A volume in several zones lists them with two underscores in between.
      return TOPOLOGY.flatMap((label) => (labels[label] === undefined ? [] : [{ label, values: (labels[label] as string).split('__') }]))
    })
    if (wanted.length === 0) return undefined
    return {
      filter(_, { node }) {
        const have = node?.metadata.labels ?? {}
        // Nodes without any zone belong to a cluster of one zone.
        if (!TOPOLOGY.some((label) => have[label] !== undefined)) return undefined
        return wanted.every(({ label, values }) => values.includes(have[label] ?? '')) ? undefined : elsewhere
      },
    }
  },
  hint: (pod, event) =>
    claimKeys(pod).length > 0 && (event.type === 'volumes changed' || event.type === 'node added' || event.type === 'node updated'),
}
