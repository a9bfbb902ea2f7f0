// The node API: what the API server, metrics collectors and kubectl (through the API server) ask a node.
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Client } from '../../client/index.js'
import { serveAttach as attach, serveExec as exec, servePortForward as portForward, streamsWanted } from '../../cri/index.js'
import {
  ApiError,
  type Clock,
  explain,
  type HttpHandler,
  type HttpRequest,
  type HttpResponse,
  isStatus,
  type Logger,
  readBody,
} from '../../lib/index.js'
import type { KubeletSettings } from '../options.js'
import { findContainer } from '../pod/containers.js'
import { latest, type ObservedContainer, previous } from '../pod/observed.js'
import type { Pods } from '../pod/pods.js'
import type { PodServices } from '../pod/services.js'
import type { PodWorker } from '../pod/worker.js'
import { type Auth, createAuth } from './auth.js'
import { type LogOptions, readLog } from './log-reader.js'
import { cadvisorMetrics, kubeletMetrics, probeMetrics, resourceMetrics } from './metrics.js'
import { createStats } from './stats.js'

export interface NodeApiOptions {
  readonly services: PodServices
  readonly settings: KubeletSettings
  readonly client: Client
  readonly clock: Clock
  readonly log: Logger
  readonly nodeName: string
  readonly clientCa: () => string | undefined
  readonly pods: () => Pods | undefined
}

export interface NodeApi {
  readonly handler: HttpHandler
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void
}

const text = (status: number, body: string, type = 'text/plain; charset=utf-8'): HttpResponse => ({
  status,
  headers: { 'content-type': type },
  body: Buffer.from(body),
})
const json = (value: unknown): HttpResponse => text(200, JSON.stringify(value), 'application/json')

interface Target {
  readonly worker: PodWorker
  readonly container: string
}

export function createNodeApi(options: NodeApiOptions): NodeApi {
  const { services, settings, clock, log, pods } = options
  let authenticator: Auth | undefined
  const auth = (): Auth => {
    authenticator ??= createAuth({ client: options.client, clock, nodeName: options.nodeName, clientCa: options.clientCa() })
    return authenticator
  }
  const summary = createStats(services, pods)

  function findPod(namespace: string, name: string, uid?: string): PodWorker {
    const worker = pods()
      ?.all()
      // Of several with one name the newest: the others are on their way out.
      .findLast(({ pod }) => pod.metadata.name === name && pod.metadata.namespace === namespace && (!uid || pod.metadata.uid === uid))
    if (!worker) throw new ApiError('NotFound', `pod ${namespace}/${name} does not exist`)
    return worker
  }

  /** `/VERB/NAMESPACE/POD[/UID]/CONTAINER` */
  function target(parts: readonly string[]): Target {
    const [namespace = '', name = '', third = '', fourth] = parts
    const worker = findPod(namespace, name, fourth === undefined ? undefined : third)
    const container = fourth ?? third
    if (!findContainer(worker.pod, container)) throw new ApiError('NotFound', `container ${container} is not valid for pod ${name}`)
    return { worker, container }
  }

  function runningContainer({ worker, container }: Target): ObservedContainer {
    const found = latest(worker.observed, container)
    if (found?.phase !== 'running') throw new ApiError('NotFound', `container not found ("${container}")`)
    return found
  }

  function waitingReason({ worker, container }: Target): string | undefined {
    const all = [
      ...(worker.status?.initContainerStatuses ?? []),
      ...(worker.status?.containerStatuses ?? []),
      ...(worker.status?.ephemeralContainerStatuses ?? []),
    ]
    const { waiting } = all.find(({ name }) => name === container)?.state ?? {}
    return waiting ? (waiting.reason ?? 'ContainerCreating') : undefined
  }

  function logs(parts: readonly string[], query: URLSearchParams, signal: AbortSignal): HttpResponse {
    const at = target(parts)
    const { worker, container } = at
    const wantsPrevious = query.get('previous') === 'true'
    const current = latest(worker.observed, container)
    const waiting = waitingReason(at)
    // While it waits for its next run, the last run is both the current and the previous one.
    const before = previous(worker.observed, container) ?? (waiting && current?.phase === 'exited' ? current : undefined)
    const chosen = wantsPrevious ? before : current
    const { name } = worker.pod.metadata
    if (!chosen && wantsPrevious)
      throw new ApiError('BadRequest', `previous terminated container "${container}" in pod "${name}" not found`)
    if (!chosen || chosen.startedAt === 0)
      throw new ApiError('BadRequest', `container "${container}" in pod "${name}" is waiting to start: ${waiting ?? 'ContainerCreating'}`)
    const logOptions = parseLogOptions(query, clock.now())
    const source = {
      path: chosen.logPath,
      signal,
      alive: () => worker.observed.containers.find(({ id }) => id === chosen.id)?.phase === 'running',
      onChange: (listener: () => void) => worker.onChange(listener),
    }
    return { status: 200, headers: { 'content-type': 'text/plain' }, body: readLog(source, logOptions) }
  }

  async function run(parts: readonly string[], query: URLSearchParams): Promise<HttpResponse> {
    const { id } = runningContainer(target(parts))
    const command = (query.get('cmd') ?? query.getAll('command').join(' ')).split(' ').filter(Boolean)
    const { stdout, stderr, exitCode } = await services.cri.execSync(id, command, 0)
    return text(exitCode === 0 ? 200 : 500, Buffer.concat([stdout, stderr]).toString('utf8'))
  }

  const podList = (which: readonly PodWorker[]): unknown => ({
    kind: 'PodList',
    apiVersion: 'v1',
    metadata: {},
    items: which.map(({ pod, status }) => ({ ...pod, status: status ?? pod.status })),
  })

  async function route(request: HttpRequest): Promise<HttpResponse> {
    const url = new URL(request.url, 'https://node')
    const [verb = '', ...parts] = url.pathname.split('/').filter(Boolean).map(decodeURIComponent)
    const all = pods()?.all() ?? []
    const reads = request.method === 'GET' || request.method === 'HEAD'
    if (verb === 'run' && request.method === 'POST') return await run(parts, url.searchParams)
    if (!reads) return text(405, 'Method Not Allowed\n')
    switch (verb) {
      case 'healthz':
        return text(200, 'ok')
      case 'pods':
        return json(podList(all))
      case 'runningpods':
        return json(podList(all.filter(({ observed }) => observed.sandboxes[0]?.ready)))
      case 'containerLogs':
        return logs(parts, url.searchParams, request.signal ?? new AbortController().signal)
      case 'stats':
        return json(await summary())
      case 'metrics': {
        const type = 'text/plain; version=0.0.4; charset=utf-8'
        if (parts[0] === 'resource') return text(200, await resourceMetrics(services), type)
        if (parts[0] === 'cadvisor') return text(200, await cadvisorMetrics(services), type)
        if (parts[0] === 'probes') return text(200, probeMetrics(services), type)
        return text(200, kubeletMetrics(services, pods()), type)
      }
      case 'configz':
        return json({ kubeletconfig: { kind: 'KubeletConfiguration', apiVersion: 'kubelet.config.k8s.io/v1beta1', ...settings } })
      case 'exec':
      case 'attach':
      case 'portForward':
        return text(400, 'unable to upgrade: missing upgrade headers in request\n')
      default:
        return text(404, '404 page not found\n')
    }
  }

  function failure(error: unknown): HttpResponse {
    if (error instanceof ApiError) return text(error.code, `${error.message}\n`)
    log.warn('node API request failed', { err: error })
    return text(500, `${explain(error)}\n`)
  }

  async function stream(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const url = new URL(request.url ?? '/', 'https://node')
    const [verb = '', ...parts] = url.pathname.split('/').filter(Boolean).map(decodeURIComponent)
    const query = url.searchParams
    if (verb === 'portForward') {
      const worker = findPod(parts[0] ?? '', parts[1] ?? '', parts[2])
      const sandbox = worker.observed.sandboxes[0]
      if (!sandbox?.ready) throw new ApiError('BadRequest', `pod ${parts[1]} is not running`)
      const ports = [...query.getAll('ports'), ...query.getAll('port')]
        .flatMap((list) => list.split(','))
        .map(Number)
        .filter(Number.isInteger)
      return await portForward({ cri: services.cri, sandboxId: sandbox.id, request, socket, head, ports })
    }
    if (verb !== 'exec' && verb !== 'attach') throw new ApiError('NotFound', '404 page not found')
    const { id } = runningContainer(target(parts))
    const command = { cri: services.cri, containerId: id, request, socket, head, wanted: streamsWanted(query) }
    const { stdin, stdout, stderr } = command.wanted
    if (!stdin && !stdout && !stderr) throw new ApiError('BadRequest', 'you must specify at least 1 of stdin, stdout, stderr')
    if (verb === 'exec') await exec(command, query.getAll('command'))
    else await attach(command)
  }

  return {
    async handler(request) {
      try {
        if (request.body && request.method !== 'POST') await readBody(request.body, 1024 * 1024)
        await auth().check(request)
        return await route(request)
      } catch (error) {
        return failure(error)
      }
    },
    upgrade(request, socket, head) {
      socket.on('error', () => socket.destroy())
      const check = async (): Promise<void> => {
        await auth().check(toRequest(request))
        await stream(request, socket, head)
      }
      check().catch((error: unknown) => {
        const { status, body } = failure(error)
        if (socket.destroyed || socket.writableEnded) return
        const reason = isStatus(error, 'Forbidden') ? 'Forbidden' : 'Error'
        socket.end(
          `HTTP/1.1 ${status} ${reason}\r\nContent-Type: text/plain\r\nContent-Length: ${(body as Uint8Array).length}\r\nConnection: close\r\n\r\n${Buffer.from(body as Uint8Array).toString('utf8')}`,
        )
      })
    },
  }
}

/** What is known of the speaker of a plain Node request. */
export function toRequest(request: IncomingMessage): HttpRequest {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(request.headers))
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(', ') : value
  const socket = request.socket as { getPeerCertificate?: () => { raw?: Uint8Array } }
  const certificate = socket.getPeerCertificate?.().raw
  return {
    method: request.method ?? 'GET',
    url: request.url ?? '/',
    headers,
    peer: {
      address: request.socket?.remoteAddress ?? '',
      ...(certificate ? { clientCertificate: certificate } : {}),
    },
  }
}

function parseLogOptions(query: URLSearchParams, now: number): LogOptions {
  const number = (name: string): number | undefined => {
    const value = query.get(name)
    if (value === null || value === '') return undefined
    const parsed = Number(value)
    if (!Number.isInteger(parsed) || parsed < 0) throw new ApiError('BadRequest', `invalid ${name}: ${value}`)
    return parsed
  }
  const seconds = number('sinceSeconds')
  const sinceTime = query.get('sinceTime')
  const since = seconds !== undefined ? now - seconds * 1000 : sinceTime ? Date.parse(sinceTime) : undefined
  if (since !== undefined && Number.isNaN(since)) throw new ApiError('BadRequest', `invalid sinceTime: ${sinceTime}`)
  const stream = query.get('stream')
  return {
    follow: query.get('follow') === 'true',
    tailLines: number('tailLines'),
    since,
    timestamps: query.get('timestamps') === 'true',
    limitBytes: number('limitBytes'),
    stream: stream === 'Stdout' || stream === 'Stderr' ? stream : 'All',
  }
}
