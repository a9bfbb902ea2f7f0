// A CRI runtime of somebody else (`--container-runtime-endpoint`), behind the interface that our own has.
import { credentials, type CallOptions as GrpcCallOptions, Metadata, makeGenericClientConstructor, type ServiceError } from '@grpc/grpc-js'
import {
  type CallOptions,
  type Container,
  type ContainerEvent,
  type ContainerStats,
  CRI_CODES,
  type Cri,
  type CriCode,
  CriError,
  type Image,
  type MetricDescriptor,
  type PodSandbox,
  type PodSandboxMetrics,
  type PodSandboxStats,
  type StatusResponse,
  serviceDefinition,
} from '../../cri/index.js'
import type { Clock } from '../../lib/index.js'
import { pollEvents } from './poll.js'
import { exitCodeOf, openPort, openStdio } from './streams.js'

export interface RemoteRuntime extends Cri {
  close(): void
}

type Message = Readonly<Record<string, unknown>>
type Call = (name: string, request: Message, options?: CallOptions) => Promise<unknown>

const codeNames = new Map<number, CriCode>(Object.entries(CRI_CODES).map(([name, code]) => [code, name as CriCode]))

const toCriError = (error: ServiceError): CriError => new CriError(codeNames.get(error.code) ?? 'UNKNOWN', error.details || error.message)

/** `/run/containerd/containerd.sock` and `unix:///run/…` both name a socket. */
export const endpointTarget = (endpoint: string): string => (/^[a-z]+:/.test(endpoint) ? endpoint : `unix://${endpoint}`)

function service(name: 'RuntimeService' | 'ImageService', target: string) {
  const Client = makeGenericClientConstructor(serviceDefinition(name), name)
  return new Client(target, credentials.createInsecure(), { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 })
}

type Unary = (
  request: Message,
  metadata: Metadata,
  options: GrpcCallOptions,
  done: (error: ServiceError | null, answer: unknown) => void,
) => { cancel(): void }

function caller(client: ReturnType<typeof service>): Call {
  return (name, request, { signal } = {}) =>
    new Promise((resolve, reject) => {
      const method = (client as unknown as Record<string, Unary>)[name]
      if (!method) return reject(new CriError('UNIMPLEMENTED', `${name} is not part of the CRI`))
      const call = method.call(client, request, new Metadata({ waitForReady: true }), {}, (error, answer) => {
        signal?.removeEventListener('abort', cancel)
        if (error) reject(toCriError(error))
        else resolve(answer)
      })
      const cancel = (): void => call.cancel()
      signal?.addEventListener('abort', cancel, { once: true })
    })
}

/** Connects when first used. */
export function remoteRuntime(endpoint: string, clock: Clock): RemoteRuntime {
  const target = endpointTarget(endpoint)
  const runtimeClient = service('RuntimeService', target)
  const imageClient = service('ImageService', target)
  const runtime = caller(runtimeClient)
  const images = caller(imageClient)
  const ask = async <T>(call: Call, name: string, request: Message = {}, options?: CallOptions): Promise<T> =>
    (await call(name, request, options)) as T
  const filtered = (filter: object | undefined): Message => (filter ? { filter } : {})

  async function* events(signal: AbortSignal): AsyncGenerator<ContainerEvent> {
    const method = (runtimeClient as unknown as Record<string, (request: Message) => AsyncIterable<ContainerEvent> & { cancel(): void }>)
      .GetContainerEvents
    const stream = method?.call(runtimeClient, {})
    if (!stream) return
    const cancel = (): void => stream.cancel()
    signal.addEventListener('abort', cancel, { once: true })
    try {
      for await (const event of stream) yield event
    } catch (error) {
      if (signal.aborted) return
      // Older runtimes send no events: they are asked once a second.
      if ((error as ServiceError).code === CRI_CODES.UNIMPLEMENTED) yield* pollEvents(cri, clock, signal)
      else throw toCriError(error as ServiceError)
    } finally {
      signal.removeEventListener('abort', cancel)
    }
  }

  const cri: RemoteRuntime = {
    version: () => ask(runtime, 'Version'),
    async status({ verbose = false } = {}) {
      const answer = await ask<Partial<StatusResponse> & Pick<StatusResponse, 'status'>>(runtime, 'Status', { verbose })
      // Older runtimes tell nothing of handlers and features.
      const { info = {}, runtimeHandlers = [], features } = answer
      const known = { supplementalGroupsPolicy: false, userNamespacesHostNetwork: false, ...features }
      return { status: answer.status, info, runtimeHandlers, features: known }
    },
    runtimeConfig: () => ask(runtime, 'RuntimeConfig'),
    async updateRuntimeConfig({ podCidr = '' }) {
      await runtime('UpdateRuntimeConfig', { runtimeConfig: { networkConfig: { podCidr } } })
    },
    runPodSandbox: (request, options) => ask(runtime, 'RunPodSandbox', { ...request }, options),
    async stopPodSandbox(podSandboxId) {
      await runtime('StopPodSandbox', { podSandboxId })
    },
    async removePodSandbox(podSandboxId) {
      await runtime('RemovePodSandbox', { podSandboxId })
    },
    podSandboxStatus: (podSandboxId, { verbose = false } = {}) => ask(runtime, 'PodSandboxStatus', { podSandboxId, verbose }),
    listPodSandbox: async (filter) =>
      (await ask<{ items?: readonly PodSandbox[] }>(runtime, 'ListPodSandbox', filtered(filter))).items ?? [],
    async updatePodSandboxResources(podSandboxId, resources) {
      await runtime('UpdatePodSandboxResources', { podSandboxId, ...resources })
    },
    createContainer: (request, options) => ask(runtime, 'CreateContainer', { ...request }, options),
    async startContainer(containerId) {
      await runtime('StartContainer', { containerId })
    },
    async stopContainer(containerId, timeout = 0) {
      await runtime('StopContainer', { containerId, timeout })
    },
    async removeContainer(containerId) {
      await runtime('RemoveContainer', { containerId })
    },
    containerStatus: (containerId, { verbose = false } = {}) => ask(runtime, 'ContainerStatus', { containerId, verbose }),
    listContainers: async (filter) =>
      (await ask<{ containers?: readonly Container[] }>(runtime, 'ListContainers', filtered(filter))).containers ?? [],
    async updateContainerResources(containerId, linux) {
      await runtime('UpdateContainerResources', { containerId, linux })
    },
    async reopenContainerLog(containerId) {
      await runtime('ReopenContainerLog', { containerId })
    },
    async checkpointContainer(containerId, location) {
      await runtime('CheckpointContainer', { containerId, location })
    },
    execSync: (containerId, cmd, timeout = 0, options) => ask(runtime, 'ExecSync', { containerId, cmd, timeout }, options),
    async exec(request) {
      const { url } = await ask<{ url: string }>(runtime, 'Exec', { ...request })
      const session = await openStdio(url, request)
      return { ...session, exit: session.status.then((status) => ({ exitCode: exitCodeOf(status) })) }
    },
    async attach(request) {
      const { url } = await ask<{ url: string }>(runtime, 'Attach', { ...request })
      const session = await openStdio(url, request)
      return { ...session, done: session.status.then(() => {}) }
    },
    async portForward(podSandboxId, port) {
      const { url } = await ask<{ url: string }>(runtime, 'PortForward', { podSandboxId, port: [port] })
      return await openPort(url, port)
    },
    containerStats: async (containerId) => (await ask<{ stats: ContainerStats }>(runtime, 'ContainerStats', { containerId })).stats,
    listContainerStats: async (filter) =>
      (await ask<{ stats?: readonly ContainerStats[] }>(runtime, 'ListContainerStats', filtered(filter))).stats ?? [],
    podSandboxStats: async (podSandboxId) => (await ask<{ stats: PodSandboxStats }>(runtime, 'PodSandboxStats', { podSandboxId })).stats,
    async listPodSandboxStats(filter) {
      try {
        return (await ask<{ stats?: readonly PodSandboxStats[] }>(runtime, 'ListPodSandboxStats', filtered(filter))).stats ?? []
      } catch (error) {
        // containerd answers for all or for none, and a pod that has just ended is enough for none.
        if (error instanceof CriError && error.code === 'UNIMPLEMENTED') throw error
        const ready = await cri.listPodSandbox({ state: 'SANDBOX_READY' })
        const each = await Promise.allSettled(ready.map(({ id }) => cri.podSandboxStats(id)))
        return each.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
      }
    },
    listMetricDescriptors: async () =>
      (await ask<{ descriptors?: readonly MetricDescriptor[] }>(runtime, 'ListMetricDescriptors')).descriptors ?? [],
    listPodSandboxMetrics: async () =>
      (await ask<{ podMetrics?: readonly PodSandboxMetrics[] }>(runtime, 'ListPodSandboxMetrics')).podMetrics ?? [],
    getContainerEvents: events,
    listImages: async (filter) => (await ask<{ images?: readonly Image[] }>(images, 'ListImages', filtered(filter))).images ?? [],
    imageStatus: async (image) => (await ask<{ image?: Image }>(images, 'ImageStatus', { image })).image,
    pullImage: (request, options) => ask(images, 'PullImage', { ...request }, options),
    async removeImage(image) {
      await images('RemoveImage', { image })
    },
    imageFsInfo: () => ask(images, 'ImageFsInfo'),
    close() {
      runtimeClient.close()
      imageClient.close()
    },
  }
  return cri
}
