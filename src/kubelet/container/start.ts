// From a container in a spec to a running one: image, environment, mounts, create, start, postStart.
import { promises as fs } from 'node:fs'
import { join } from 'node:path'
import type { Pod, Secret } from '../../api/index.js'
import { type PodSandboxConfig, sentence } from '../../cri/index.js'
import { explain } from '../../lib/index.js'
import { ImageError, type PresentImage } from '../image/puller.js'
import { containerEvent, type EventType, podEvent } from '../pod/events.js'
import { latest, type ObservedPod } from '../pod/observed.js'
import type { ContainerStart } from '../pod/plan.js'
import type { PodServices } from '../pod/services.js'
import { hostsFile, nodeHostsFile } from '../sandbox/hosts.js'
import type { ReadyVolume } from '../volume/volumes.js'
import { containerConfig } from './config.js'
import { type EnvSources, environment } from './env.js'
import type { FieldContext } from './fields.js'
import { runHook } from './hooks.js'
import { containerMounts } from './mounts.js'
import { checkNonRoot } from './security.js'

export type StartResult =
  | { readonly kind: 'started'; readonly id: string }
  /** `id` when a container was made: its end is reported by the runtime. */
  | { readonly kind: 'waiting'; readonly reason: string; readonly message: string; readonly retryAfter: number; readonly id?: string }

export interface StartInput {
  readonly services: PodServices
  readonly pod: Pod
  readonly start: ContainerStart
  readonly sandboxId: string
  readonly sandboxConfig: PodSandboxConfig
  readonly volumes: ReadonlyMap<string, ReadyVolume>
  readonly observed: ObservedPod
  readonly podIps: readonly string[]
  readonly signal: AbortSignal
  /** Called as soon as the process runs, before its hook has ended. */
  readonly running: (id: string) => Promise<void>
}

const RETRY_MS = 10_000

export const fieldContext = (services: PodServices, pod: Pod, podIps: readonly string[]): FieldContext => ({
  hostIps: services.node.hostIps(),
  podIps: pod.spec?.hostNetwork ? services.node.hostIps() : podIps,
  nodeName: services.node.name,
  allocatable: services.node.allocatable(),
})

/** Without those that are not there: the image may need none. */
export async function pullSecrets({ objects, recorder }: PodServices, pod: Pod): Promise<readonly Secret[]> {
  const { namespace = '', uid = '' } = pod.metadata
  const names = (pod.spec?.imagePullSecrets ?? []).map(({ name = '' }) => name)
  const found = await Promise.all(names.map((name) => objects.secret(namespace, name, uid).catch(() => undefined)))
  const missing = names.filter((_, i) => !found[i])
  if (missing.length > 0) {
    const what = `Unable to retrieve some image pull secrets (${missing.join(', ')}); attempting to pull the image may not succeed.`
    podEvent(recorder, pod, 'Warning', 'FailedToRetrieveImagePullSecret', what)
  }
  return found.filter((secret) => secret !== undefined)
}

function envSources({ services, pod, volumes }: StartInput): EnvSources {
  const { namespace = '', uid = '' } = pod.metadata
  return {
    configMap: (name) => services.objects.configMap(namespace, name, uid),
    secret: (name) => services.objects.secret(namespace, name, uid),
    services: services.services,
    async file(name, path) {
      const volume = volumes.get(name)
      if (volume?.kind !== 'path' || path.split('/').includes('..')) return undefined
      return await fs.readFile(join(volume.path, path), 'utf8').catch(() => undefined)
    },
  }
}

async function hostsOf({ services, pod, podIps }: StartInput): Promise<string | undefined> {
  if (pod.spec?.hostNetwork) return nodeHostsFile(pod, await fs.readFile('/etc/hosts', 'utf8').catch(() => ''))
  return podIps.length > 0 ? hostsFile(pod, podIps, services.settings.clusterDomain) : undefined
}

async function configure(input: StartInput, image: PresentImage) {
  const { services, pod, start, observed, podIps } = input
  const { container, attempt } = start
  checkNonRoot(pod, container.spec, image.image)
  const env = await environment(pod, container.spec, envSources(input), fieldContext(services, pod, podIps))
  const podFolder = services.volumes.podFolder(pod.metadata.uid ?? '')
  const { mounts, devices } = await containerMounts({
    pod,
    container: container.spec,
    attempt,
    podFolder,
    volumes: input.volumes,
    environment: env,
    host: services.volumeHost,
    hosts: await hostsOf(input),
    recursiveReadOnly: services.node.recursiveReadOnly(),
    image: async (reference, pullPolicy) => (await ensureImage(input, reference, pullPolicy)).ref,
  })
  const targetName = 'targetContainerName' in container.spec ? container.spec.targetContainerName : undefined
  return containerConfig({
    pod,
    container,
    attempt,
    imageRef: image.ref,
    environment: env,
    mounts,
    devices,
    volumeGroups: [],
    root: services.root,
    memoryCapacity: services.node.memoryCapacity,
    target: targetName ? latest(observed, targetName) : undefined,
  })
}

function ensureImage(input: StartInput, image: string, pullPolicy: string | undefined): Promise<PresentImage> {
  const { services, pod, start, signal } = input
  const event = (type: EventType, reason: string, message: string): void =>
    containerEvent(services.recorder, pod, start.container, { type, reason, message })
  return services.puller.ensure({ pod, image, pullPolicy, secrets: () => pullSecrets(services, pod), event, signal })
}

/** Log collectors look for all containers of a node in one folder. */
async function linkLog({ services, pod }: StartInput, name: string, id: string, logPath: string): Promise<void> {
  if (services.containerLogs === '') return
  const link = join(services.containerLogs, `${pod.metadata.name}_${pod.metadata.namespace}_${name}-${id}.log`)
  await fs.symlink(logPath, link).catch(() => {})
}

export async function startContainer(input: StartInput): Promise<StartResult> {
  const { services, pod, start, signal } = input
  const { container, attempt } = start
  const { name } = container.spec
  const event = (type: EventType, reason: string, message: string): void =>
    containerEvent(services.recorder, pod, container, { type, reason, message })
  const failed = (reason: string, error: unknown, more: { retryAfter?: number | undefined; id?: string } = {}): StartResult => {
    const message = sentence(error)
    if (!signal.aborted) event('Warning', 'Failed', `Error: ${error instanceof ImageError ? reason : message}`)
    return { kind: 'waiting', reason, message, retryAfter: more.retryAfter ?? RETRY_MS, ...(more.id ? { id: more.id } : {}) }
  }

  let image: PresentImage
  try {
    image = await ensureImage(input, container.spec.image ?? '', container.spec.imagePullPolicy)
  } catch (error) {
    if (error instanceof ImageError) return failed(error.reason, error, { retryAfter: error.retryAfter })
    return failed('ImageInspectError', error)
  }
  let id: string
  let config: Awaited<ReturnType<typeof configure>>
  try {
    config = await configure(input, image)
  } catch (error) {
    return failed('CreateContainerConfigError', error)
  }
  if (signal.aborted) return { kind: 'waiting', reason: 'ContainerCreating', message: '', retryAfter: RETRY_MS }
  try {
    const request = { podSandboxId: input.sandboxId, config, sandboxConfig: input.sandboxConfig }
    id = (await services.cri.createContainer(request)).containerId
  } catch (error) {
    return failed('CreateContainerError', error)
  }
  event('Normal', 'Created', `Created container: ${name}`)
  try {
    await services.cri.startContainer(id)
  } catch (error) {
    await input.running(id)
    return failed('RunContainerError', error, { id })
  }
  event('Normal', 'Started', `Started container ${name}`)
  const logs = input.sandboxConfig.logDirectory ?? ''
  await Promise.all([input.running(id), linkLog(input, name, id, join(logs, name, `${attempt}.log`))])

  const hook = container.spec.lifecycle?.postStart
  if (!hook) return { kind: 'started', id }
  try {
    const podIp = (pod.spec?.hostNetwork ? services.node.hostIps() : input.podIps)[0] ?? ''
    await runHook(hook, { cri: services.cri, clock: services.clock, container: container.spec, containerId: id, podIp, signal })
    return { kind: 'started', id }
  } catch (error) {
    if (signal.aborted) return { kind: 'started', id }
    event('Warning', 'FailedPostStartHook', `PostStartHook failed: ${explain(error)}`)
    event('Normal', 'Killing', 'FailedPostStartHook')
    const grace = pod.spec?.terminationGracePeriodSeconds ?? 30
    await services.cri.stopContainer(id, grace).catch(() => {})
    return { kind: 'waiting', reason: 'PostStartHookError', message: explain(error), retryAfter: RETRY_MS, id }
  }
}
