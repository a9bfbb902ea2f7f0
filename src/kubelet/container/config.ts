// What the runtime is told about one container, from values that are all at hand. Pure.
import { createHash } from 'node:crypto'
import type { Container, EphemeralContainer, Pod } from '../../api/index.js'
import type { ContainerConfig, Mount } from '../../cri/index.js'
import type { PodContainer } from '../pod/containers.js'
import type { ObservedContainer } from '../pod/observed.js'
import { containerResources } from '../pod/resources.js'
import { identityLabels, LABELS } from '../sandbox/config.js'
import { expand } from './expand.js'
import { securityContextOf } from './security.js'

export const ANNOTATIONS = {
  hash: 'io.kubernetes.container.hash',
  restartCount: 'io.kubernetes.container.restartCount',
  messagePath: 'io.kubernetes.container.terminationMessagePath',
  messagePolicy: 'io.kubernetes.container.terminationMessagePolicy',
  gracePeriod: 'io.kubernetes.pod.terminationGracePeriod',
  ports: 'io.kubernetes.container.ports',
} as const

/** Changes when a running container no longer is what the pod asks for: only its image may change in a pod. */
export const specHash = ({ spec }: PodContainer): string =>
  createHash('sha256')
    .update(JSON.stringify([spec.name, spec.image]))
    .digest('hex')
    .slice(0, 8)

export const DEFAULT_MESSAGE_PATH = '/dev/termination-log'

export interface ContainerInput {
  readonly pod: Pod
  readonly container: PodContainer
  readonly attempt: number
  /** What the pull resolved the image to. */
  readonly imageRef: string
  readonly environment: ReadonlyMap<string, string>
  readonly mounts: readonly Mount[]
  readonly volumeGroups: readonly number[]
  readonly root: string
  readonly memoryCapacity: number
  readonly target?: ObservedContainer | undefined
  readonly devices?: readonly { readonly containerPath: string; readonly hostPath: string; readonly permissions: string }[]
}

/** `0.log`, `1.log`, … in a folder for each container. */
export const logPathOf = (name: string, attempt: number): string => `${name}/${attempt}.log`

export function containerConfig(input: ContainerInput): ContainerConfig {
  const { pod, container, attempt, environment } = input
  const spec: Container | EphemeralContainer = container.spec
  const value = (name: string): string | undefined => environment.get(name)
  const stopSignal = spec.lifecycle?.stopSignal
  return {
    metadata: { name: spec.name, attempt },
    image: { image: input.imageRef, userSpecifiedImage: spec.image ?? '' },
    command: (spec.command ?? []).map((word) => expand(word, value)),
    args: (spec.args ?? []).map((word) => expand(word, value)),
    ...(spec.workingDir ? { workingDir: spec.workingDir } : {}),
    envs: [...environment].map(([key, of]) => ({ key, value: of })),
    mounts: input.mounts,
    ...(input.devices && input.devices.length > 0 ? { devices: input.devices } : {}),
    labels: { ...identityLabels(pod), [LABELS.containerName]: spec.name },
    annotations: {
      [ANNOTATIONS.hash]: specHash(container),
      [ANNOTATIONS.restartCount]: String(attempt),
      [ANNOTATIONS.messagePath]: spec.terminationMessagePath ?? DEFAULT_MESSAGE_PATH,
      [ANNOTATIONS.messagePolicy]: spec.terminationMessagePolicy ?? 'File',
      [ANNOTATIONS.gracePeriod]: String(pod.spec?.terminationGracePeriodSeconds ?? 30),
      ...(spec.ports ? { [ANNOTATIONS.ports]: JSON.stringify(spec.ports) } : {}),
    },
    logPath: logPathOf(spec.name, attempt),
    stdin: spec.stdin === true,
    stdinOnce: spec.stdinOnce === true,
    tty: spec.tty === true,
    linux: {
      resources: containerResources(pod, spec, input.memoryCapacity),
      securityContext: securityContextOf({
        pod,
        container: spec,
        root: input.root,
        volumeGroups: input.volumeGroups,
        targetId: input.target?.id,
      }),
    },
    ...(stopSignal ? { stopSignal } : {}),
  }
}
