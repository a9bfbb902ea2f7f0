// Events about a pod and its containers.
import type { ObjectReference, Pod } from '../../api/index.js'
import type { EventRecorder } from '../../client/index.js'
import { fieldPathOf, type PodContainer } from './containers.js'

export type EventType = 'Normal' | 'Warning'

export function podReference(pod: Pod, container?: PodContainer): ObjectReference {
  const { name, namespace, uid, resourceVersion } = pod.metadata
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    name,
    namespace,
    uid,
    resourceVersion,
    ...(container ? { fieldPath: fieldPathOf(container) } : {}),
  }
}

export const podEvent = (recorder: EventRecorder, pod: Pod, type: EventType, reason: string, message: string): void =>
  recorder.record(podReference(pod), type, reason, message)

export const containerEvent = (
  recorder: EventRecorder,
  pod: Pod,
  container: PodContainer,
  { type, reason, message }: { readonly type: EventType; readonly reason: string; readonly message: string },
): void => recorder.record(podReference(pod, container), type, reason, message)
