// The containers of a pod with the part each one plays.
import type { Container, EphemeralContainer, Pod } from '../../api/index.js'

/** `sidecar` is an init container with restartPolicy Always: it starts in turn and then stays. */
export type ContainerRole = 'init' | 'sidecar' | 'main' | 'ephemeral'

export interface PodContainer {
  readonly spec: Container | EphemeralContainer
  readonly role: ContainerRole
}

export const isSidecar = (container: Container): boolean => container.restartPolicy === 'Always'

export const initContainersOf = (pod: Pod): readonly PodContainer[] =>
  (pod.spec?.initContainers ?? []).map((spec) => ({ spec, role: isSidecar(spec) ? 'sidecar' : 'init' }))

export const mainContainersOf = (pod: Pod): readonly PodContainer[] =>
  (pod.spec?.containers ?? []).map((spec) => ({ spec, role: 'main' as const }))

export const ephemeralContainersOf = (pod: Pod): readonly PodContainer[] =>
  (pod.spec?.ephemeralContainers ?? []).map((spec) => ({ spec, role: 'ephemeral' as const }))

/** Init containers, containers, ephemeral containers: the order in which `kubectl describe` shows them. */
export const containersOf = (pod: Pod): readonly PodContainer[] => [
  ...initContainersOf(pod),
  ...mainContainersOf(pod),
  ...ephemeralContainersOf(pod),
]

export const findContainer = (pod: Pod, name: string): PodContainer | undefined => containersOf(pod).find(({ spec }) => spec.name === name)

/** Where an event about a container points: `spec.initContainers{name}`. */
export function fieldPathOf({ role, spec }: PodContainer): string {
  const list = role === 'main' ? 'containers' : role === 'ephemeral' ? 'ephemeralContainers' : 'initContainers'
  return `spec.${list}{${spec.name}}`
}

export const podKey = (pod: Pod): string => `${pod.metadata.namespace}/${pod.metadata.name}`

/** As Kubernetes writes a pod in its messages: `name_namespace(uid)`. */
export const describePod = (pod: Pod): string => `${pod.metadata.name}_${pod.metadata.namespace}(${pod.metadata.uid})`
