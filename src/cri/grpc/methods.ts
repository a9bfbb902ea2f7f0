// What each method of the wire is in our interface: requests unpacked, answers packed.
import { CriError, invalid } from '../errors.js'
import type {
  AttachRequest,
  AuthConfig,
  ContainerConfig,
  ContainerFilter,
  ContainerStatsFilter,
  CreateContainerRequest,
  Cri,
  ExecRequest,
  ImageSpec,
  LinuxContainerResources,
  PodSandboxConfig,
  PodSandboxFilter,
  PodSandboxStatsFilter,
} from '../types.js'
import type { Message } from './codec.js'

/** Hands out addresses where a stream can be had; the streaming server does. */
export interface StreamUrls {
  exec(request: ExecRequest): string
  attach(request: AttachRequest): string
  portForward(podSandboxId: string, ports: readonly number[]): string
}

export interface CallContext {
  readonly signal: AbortSignal
}

type Unary = (request: Message, context: CallContext) => Promise<Message>
type Streaming = (request: Message, context: CallContext) => AsyncIterable<Message>

const text = (request: Message, name: string): string => String(request[name] ?? '')
const number = (request: Message, name: string): number => Number(request[name] ?? 0)
const words = (request: Message, name: string): readonly string[] => (request[name] as readonly string[] | undefined) ?? []

function wanted<T>(request: Message, name: string): T {
  const value = request[name]
  if (value === undefined) throw invalid(`the request has no ${name}`)
  return value as T
}

/**
 * What callers on the wire mean by what they leave out. No seccomp profile is none: kubelets name the default one when they want
 * it. An empty list of paths and none are the same there; it means "what is usual", except in a user namespace, where alone
 * kubelets ask for a /proc without masks.
 */
function asMeant(config: ContainerConfig): ContainerConfig {
  const { maskedPaths = [], readonlyPaths = [], ...rest } = config.linux?.securityContext ?? {}
  const unmasked = rest.namespaceOptions?.usernsOptions?.mode === 'POD'
  return {
    ...config,
    linux: {
      ...config.linux,
      securityContext: {
        ...rest,
        seccomp: rest.seccomp ?? { profileType: 'Unconfined' },
        ...(unmasked || maskedPaths.length > 0 ? { maskedPaths } : {}),
        ...(unmasked || readonlyPaths.length > 0 ? { readonlyPaths } : {}),
      },
    },
  }
}

/** gRPC has no way to say `stdout` was not asked for other than false, so at least one must be true. */
function checkStreams(request: ExecRequest | AttachRequest): void {
  if (request.tty && request.stderr) throw invalid('tty and stderr cannot both be true: a terminal has one output')
  if (!request.stdin && !request.stdout && !request.stderr) throw invalid('one of stdin, stdout or stderr must be set')
}

export function runtimeMethods(cri: Cri, urls: StreamUrls): Readonly<Record<string, Unary>> {
  return {
    Version: async () => ({ ...(await cri.version()) }),
    Status: async (request) => ({ ...(await cri.status({ verbose: request.verbose === true })) }),
    RuntimeConfig: async () => ({ ...(await cri.runtimeConfig()) }),
    async UpdateRuntimeConfig(request) {
      const config = request.runtimeConfig as { networkConfig?: { podCidr?: string } } | undefined
      await cri.updateRuntimeConfig({ podCidr: config?.networkConfig?.podCidr ?? '' })
      return {}
    },
    RunPodSandbox: async (request, { signal }) => ({
      ...(await cri.runPodSandbox(
        { config: wanted<PodSandboxConfig>(request, 'config'), runtimeHandler: text(request, 'runtimeHandler') },
        { signal },
      )),
    }),
    async StopPodSandbox(request) {
      await cri.stopPodSandbox(text(request, 'podSandboxId'))
      return {}
    },
    async RemovePodSandbox(request) {
      await cri.removePodSandbox(text(request, 'podSandboxId'))
      return {}
    },
    PodSandboxStatus: async (request) => ({
      ...(await cri.podSandboxStatus(text(request, 'podSandboxId'), { verbose: request.verbose === true })),
    }),
    ListPodSandbox: async (request) => ({ items: await cri.listPodSandbox(request.filter as PodSandboxFilter | undefined) }),
    async UpdatePodSandboxResources(request) {
      const { overhead, resources } = request as { overhead?: LinuxContainerResources; resources?: LinuxContainerResources }
      await cri.updatePodSandboxResources(text(request, 'podSandboxId'), {
        ...(overhead ? { overhead } : {}),
        ...(resources ? { resources } : {}),
      })
      return {}
    },
    async CreateContainer(request, { signal }) {
      const create: CreateContainerRequest = {
        podSandboxId: text(request, 'podSandboxId'),
        config: asMeant(wanted<ContainerConfig>(request, 'config')),
        sandboxConfig: wanted<PodSandboxConfig>(request, 'sandboxConfig'),
      }
      return { ...(await cri.createContainer(create, { signal })) }
    },
    async StartContainer(request) {
      await cri.startContainer(text(request, 'containerId'))
      return {}
    },
    async StopContainer(request) {
      await cri.stopContainer(text(request, 'containerId'), number(request, 'timeout'))
      return {}
    },
    async RemoveContainer(request) {
      await cri.removeContainer(text(request, 'containerId'))
      return {}
    },
    ListContainers: async (request) => ({ containers: await cri.listContainers(request.filter as ContainerFilter | undefined) }),
    ContainerStatus: async (request) => ({
      ...(await cri.containerStatus(text(request, 'containerId'), { verbose: request.verbose === true })),
    }),
    async UpdateContainerResources(request) {
      await cri.updateContainerResources(text(request, 'containerId'), (request.linux as LinuxContainerResources | undefined) ?? {})
      return {}
    },
    async ReopenContainerLog(request) {
      await cri.reopenContainerLog(text(request, 'containerId'))
      return {}
    },
    async CheckpointContainer(request) {
      await cri.checkpointContainer(text(request, 'containerId'), text(request, 'location'))
      return {}
    },
    ExecSync: async (request, { signal }) => ({
      ...(await cri.execSync(text(request, 'containerId'), words(request, 'cmd'), number(request, 'timeout'), { signal })),
    }),
    async Exec(request) {
      const exec = request as unknown as ExecRequest
      checkStreams(exec)
      await mustRun(cri, exec.containerId)
      return { url: urls.exec(exec) }
    },
    async Attach(request) {
      const attach = request as unknown as AttachRequest
      checkStreams(attach)
      await mustRun(cri, attach.containerId)
      return { url: urls.attach(attach) }
    },
    async PortForward(request) {
      const id = text(request, 'podSandboxId')
      const { status } = await cri.podSandboxStatus(id)
      if (status.state !== 'SANDBOX_READY') throw new CriError('FAILED_PRECONDITION', `pod sandbox ${id} is not running`)
      return { url: urls.portForward(id, (request.port as readonly number[] | undefined) ?? []) }
    },
    ContainerStats: async (request) => ({ stats: await cri.containerStats(text(request, 'containerId')) }),
    ListContainerStats: async (request) => ({ stats: await cri.listContainerStats(request.filter as ContainerStatsFilter | undefined) }),
    PodSandboxStats: async (request) => ({ stats: await cri.podSandboxStats(text(request, 'podSandboxId')) }),
    ListPodSandboxStats: async (request) => ({ stats: await cri.listPodSandboxStats(request.filter as PodSandboxStatsFilter | undefined) }),
    ListMetricDescriptors: async () => ({ descriptors: await cri.listMetricDescriptors() }),
    ListPodSandboxMetrics: async () => ({ podMetrics: await cri.listPodSandboxMetrics() }),
  }
}

/** Few enough for a message of the size that every client takes, whatever they contain. */
const ITEMS_PER_MESSAGE = 100

/** A list in messages of some items each; none when it is empty. */
async function* inParts(name: string, list: Promise<readonly unknown[]>): AsyncIterable<Message> {
  const all = await list
  for (let at = 0; at < all.length; at += ITEMS_PER_MESSAGE) yield { [name]: all.slice(at, at + ITEMS_PER_MESSAGE) }
}

export function runtimeStreams(cri: Cri): Readonly<Record<string, Streaming>> {
  return {
    GetContainerEvents: (_, { signal }) => events(cri, signal),
    StreamPodSandboxes: ({ filter }) => inParts('podSandboxes', cri.listPodSandbox(filter as PodSandboxFilter | undefined)),
    StreamContainers: ({ filter }) => inParts('containers', cri.listContainers(filter as ContainerFilter | undefined)),
    StreamContainerStats: ({ filter }) => inParts('containerStats', cri.listContainerStats(filter as ContainerStatsFilter | undefined)),
    StreamPodSandboxStats: ({ filter }) => inParts('podSandboxStats', cri.listPodSandboxStats(filter as PodSandboxStatsFilter | undefined)),
    StreamPodSandboxMetrics: () => inParts('podSandboxMetrics', cri.listPodSandboxMetrics()),
  }
}

async function* events(cri: Cri, signal: AbortSignal): AsyncIterable<Message> {
  for await (const event of cri.getContainerEvents(signal)) yield { ...event }
}

export function imageStreams(cri: Cri): Readonly<Record<string, Streaming>> {
  return { StreamImages: ({ filter }) => inParts('images', cri.listImages(filter as { image?: ImageSpec } | undefined)) }
}

async function mustRun(cri: Cri, containerId: string): Promise<void> {
  const { status } = await cri.containerStatus(containerId)
  if (status.state !== 'CONTAINER_RUNNING') throw new CriError('FAILED_PRECONDITION', `container ${containerId} is not running`)
}

export function imageMethods(cri: Cri): Readonly<Record<string, Unary>> {
  return {
    async ListImages(request) {
      const filter = request.filter as { image?: ImageSpec } | undefined
      return { images: await cri.listImages(filter) }
    },
    async ImageStatus(request) {
      const image = await cri.imageStatus(wanted<ImageSpec>(request, 'image'))
      return image ? { image } : {}
    },
    async PullImage(request, { signal }) {
      const auth = request.auth as AuthConfig | undefined
      return { ...(await cri.pullImage({ image: wanted<ImageSpec>(request, 'image'), ...(auth ? { auth } : {}) }, { signal })) }
    },
    async RemoveImage(request) {
      await cri.removeImage(wanted<ImageSpec>(request, 'image'))
      return {}
    },
    ImageFsInfo: async () => ({ ...(await cri.imageFsInfo()) }),
  }
}
