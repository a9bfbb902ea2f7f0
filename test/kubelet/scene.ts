// A node of its own for a test: our runtime, images and network, the kubelet, and an API server to tell it what to do.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { type Event as ApiEvent, type ContainerStatus, Event, Namespace, Pod, type PodSpec, ServiceAccount } from '../../src/api/index.js'
import { type Client, createClient } from '../../src/client/index.js'
import type { RunningCri } from '../../src/cri/index.js'
import { type Kubelet, type KubeletSettings, serveNodeApi } from '../../src/kubelet/index.js'
import { type HttpHandler, readBody } from '../../src/lib/index.js'
import type { Runtime } from '../../src/runtime/index.js'
import { openCgroup } from '../../src/sys/index.js'
import { scene as criScene, IMAGE, type Scene, until } from '../cri/scene.js'
import { apiServer, type TestApi } from './api.js'
import { kubeletIn, NODE, PORT } from './node.js'

export { IMAGE, options, slowness, until } from '../cri/scene.js'

export { NODE } from './node.js'

const inProcessUser = { name: 'system:apiserver', groups: ['system:masters'] }

export interface Daemon {
  readonly kubelet: Kubelet
  readonly cri: RunningCri
  /** Our own, if it is. */
  readonly runtime: Runtime | undefined
  /** As when the daemon is upgraded: pods go on. */
  stop(): Promise<void>
}

export interface NodeScene {
  readonly client: Client
  readonly s: Scene
  /** The cgroup of its pods. */
  readonly cgroupRoot: string
  /** The API server as the node speaks to it. */
  readonly handler: HttpHandler
  readonly api: TestApi
  daemon(): Daemon
  /** `ready`: wait until it knows its pods, default yes. */
  start(settings?: Partial<KubeletSettings>, through?: { readonly client?: Client; readonly ready?: boolean }): Promise<Daemon>
  run(name: string, spec: Partial<PodSpec>, metadata?: Partial<Pod['metadata']>): Promise<Pod>
  get(name: string): Promise<Pod | undefined>
  /** Waits until the pod is as wanted; a pod that never becomes so fails with its last state. */
  wait(name: string, what: (pod: Pod) => boolean, ms?: number): Promise<Pod>
  gone(name: string): Promise<void>
  remove(name: string, graceSeconds?: number): Promise<void>
  logs(name: string, container: string, query?: string): Promise<string>
  request(url: string): Promise<{ status: number; text: string }>
  exec(name: string, container: string, ...command: readonly string[]): Promise<string>
  events(name: string): Promise<readonly ApiEvent[]>
  eventWith(name: string, reason: string, words?: RegExp): Promise<ApiEvent>
  end(): Promise<void>
}

/** One container that runs a line of shell. */
export const shell = (script: string, more: Partial<PodSpec['containers'][number]> = {}): PodSpec['containers'][number] => ({
  name: 'main',
  image: IMAGE,
  imagePullPolicy: 'IfNotPresent',
  command: ['sh', '-c', script],
  ...more,
})

/** Ends at once when asked to. */
export const FOREVER = 'trap "exit 0" TERM; while true; do sleep 0.1; done'

export const statusOf = (pod: Pod | undefined, name = 'main'): ContainerStatus | undefined =>
  [
    ...(pod?.status?.initContainerStatuses ?? []),
    ...(pod?.status?.containerStatuses ?? []),
    ...(pod?.status?.ephemeralContainerStatuses ?? []),
  ].find((status) => status.name === name)

export const conditionOf = (pod: Pod | undefined, type: string): string | undefined =>
  pod?.status?.conditions?.find((condition) => condition.type === type)?.status

export const isReady = (pod: Pod): boolean => conditionOf(pod, 'Ready') === 'True'

export interface SceneOptions {
  /** Sees every call to the runtime, for benchmarks. */
  readonly watchCri?: (cri: RunningCri) => RunningCri
  /** Another runtime than our own, on the scene's folders. */
  readonly otherRuntime?: (s: Scene) => Promise<{ connect(): Promise<RunningCri>; end(): Promise<void> }>
}

export async function nodeScene(settings: Partial<KubeletSettings> = {}, options: SceneOptions = {}): Promise<NodeScene> {
  const { watchCri = (cri) => cri } = options
  const s = await criScene()
  const other = await options.otherRuntime?.(s)
  async function openRuntime(): Promise<{ readonly cri: RunningCri; readonly runtime: Runtime | undefined; close(): void }> {
    if (!other) return await s.open()
    const cri = await other.connect()
    return { cri, runtime: undefined, close: () => cri.close() }
  }
  const api = await apiServer(s.dir, NODE)
  const client = createClient(api.as())
  // The daemon has a node's rights and no more.
  const handler = api.as(`system:node:${NODE}`, 'system:nodes', 'system:authenticated')
  const ofNode = createClient(handler)
  const cgroupRoot = `/knarr-test-${process.pid}`
  let current: Daemon | undefined

  async function start(
    more: Partial<KubeletSettings> = {},
    { client: through = ofNode, ready = true }: { readonly client?: Client; readonly ready?: boolean } = {},
  ): Promise<Daemon> {
    const { cri: real, runtime, close } = await openRuntime()
    const cri = watchCri(real)
    const kubelet = kubeletIn(s.dir, { client: through, cri, clientCa: api.ca.cert, settings: { cgroupRoot, ...settings, ...more } })
    const server = await serveNodeApi(kubelet, {
      tls: { ...api.node, clientCa: api.ca.cert },
      host: '127.0.0.1',
      port: PORT,
    })
    const abort = new AbortController()
    const running = kubelet.run(abort.signal)
    current = {
      kubelet,
      cri,
      runtime,
      async stop() {
        abort.abort()
        await server.close()
        await running
        close()
        current = undefined
      },
    }
    if (ready) await kubelet.ready
    return current
  }

  const daemon = (): Daemon => {
    if (!current) throw new Error('no daemon runs')
    return current
  }
  const get = (name: string): Promise<Pod | undefined> => client.find(Pod, { namespace: 'default', name })

  const scene: NodeScene = {
    client,
    s,
    cgroupRoot,
    handler,
    api,
    daemon,
    start,
    get,
    async run(name, spec, metadata = {}) {
      return await client.create(Pod, {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, namespace: 'default', ...metadata },
        spec: { nodeName: NODE, terminationGracePeriodSeconds: 2, automountServiceAccountToken: false, containers: [], ...spec },
      })
    },
    async wait(name, what, ms = 60_000) {
      let last: Pod | undefined
      try {
        return await until(async () => {
          last = await get(name)
          return last && what(last) ? last : undefined
        }, ms)
      } catch {
        throw new Error(`pod ${name} is not as wanted: ${JSON.stringify(last?.status)}`)
      }
    },
    async gone(name) {
      await until(async () => ((await get(name)) === undefined ? true : undefined))
    },
    async remove(name, gracePeriodSeconds) {
      await client.delete(Pod, { namespace: 'default', name }, gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds })
    },
    async request(url) {
      const response = await daemon().kubelet.handler({ method: 'GET', url, headers: {}, peer: { inProcessUser } })
      return { status: response.status, text: Buffer.from(await readBody(response.body)).toString() }
    },
    async logs(name, container, query = '') {
      const { status, text } = await scene.request(`/containerLogs/default/${name}/${container}${query}`)
      if (status !== 200) throw new Error(`${status} ${text}`)
      return text
    },
    async exec(name, container, ...command) {
      const id = statusOf(await get(name), container)?.containerID?.replace(/^.*:\/\//, '') ?? ''
      const { stdout, stderr } = await daemon().cri.execSync(id, command, 20)
      return Buffer.concat([stdout, stderr]).toString()
    },
    async events(name) {
      const { items } = await client.list(Event, { namespace: 'default' })
      return items.filter(({ involvedObject }) => involvedObject.name === name)
    },
    async eventWith(name, reason, words = /(?:)/) {
      try {
        return await until(async () =>
          (await scene.events(name)).find((event) => event.reason === reason && words.test(event.message ?? '')),
        )
      } catch {
        const seen = (await scene.events(name)).map(({ reason: of, message }) => `${of} ${message}`)
        throw new Error(`no event ${reason} ${words} of pod ${name}, but ${JSON.stringify(seen)}`)
      }
    },
    async end() {
      try {
        for (const { metadata } of (await client.list(Pod, { namespace: 'default' })).items) await scene.remove(metadata.name, 0)
        await current?.stop()
        const { cri, close } = await openRuntime()
        for (const { id } of await cri.listPodSandbox()) {
          await cri.stopPodSandbox(id)
          await cri.removePodSandbox(id)
        }
        close()
        await other?.end()
      } finally {
        await api.close()
        await openCgroup(cgroupRoot).delete()
        await s.end()
      }
    },
  }
  await ensure(client, 'default')
  await start()
  return scene
}

async function ensure(client: Client, name: string): Promise<void> {
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name } } as const
  if (!(await client.find(Namespace, { name }))) await client.create(Namespace, namespace)
  const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace: name } } as const
  await client.create(ServiceAccount, account)
  await client.create(Namespace, { ...namespace, metadata: { name: 'kube-node-lease' } }).catch(() => {})
}

/** Names of what is left in a folder; nothing when there is none. */
export function left(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

export const scratch = (prefix: string): { readonly dir: string; remove(): void } => {
  const dir = mkdtempSync(prefix)
  return { dir, remove: () => rmSync(dir, { recursive: true, force: true }) }
}
