// What FailedScheduling says: how many nodes each reason ruled out. Pure.
import type { Diagnosis } from './placement.js'

/** `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s).` */
export function failureMessage(diagnosis: Diagnosis, postFilter = ''): string {
  if (diagnosis.nodes === 0 && !diagnosis.whole) return 'no nodes available to schedule pods'
  const counted = [...diagnosis.reasons].map(([reason, count]) => `${count} ${reason}`).sort()
  const why = diagnosis.whole ? diagnosis.whole.reason : counted.join(', ')
  const message = `0/${diagnosis.nodes} nodes are available: ${why}.`
  return postFilter ? `${message} ${postFilter}` : message
}

/** Kubernetes asks its plugin for devices first, and says so for every pod: tools compare the whole sentence. */
const NO_CLAIMS = 'no new claims to deallocate'

/** The second half of the message, in front of which stands what could not be done for devices. */
export const postFilterMessage = (preemption: string): string => `${NO_CLAIMS}, ${preemption}`

/** Why making room did not help either. */
export function preemptionMessage(nodes: number, helpable: number): string {
  const counts = [
    ...(helpable > 0 ? [`${helpable} No preemption victims found for incoming pod`] : []),
    ...(nodes - helpable > 0 ? [`${nodes - helpable} Preemption is not helpful for scheduling`] : []),
  ]
  return counts.length > 0 ? `preemption: 0/${nodes} nodes are available: ${counts.sort().join(', ')}.` : ''
}
