// log, exec, attach, portforward and proxy: which kubelet, pod or endpoint a request goes on to.
import type { Duplex } from 'node:stream'
import { EndpointSlice, Node, notFoundError, Pod, Service } from '../../../api/index.js'
import { ApiError, readBody } from '../../../lib/index.js'
import { typeFor } from '../bootstrap.js'
import type { RequestContext } from '../http/context.js'
import { noSuchMethod } from '../http/errors.js'
import { createReader, type Reader } from '../registry/backend.js'
import { readCached } from '../registry/storage.js'
import type { ResourceServices, SpecialHandler, SpecialHandlers } from '../verbs/services.js'
import type { Connector, Target } from './node-connection.js'
import { behindProxy } from './proxy-links.js'

const badRequest = (message: string): ApiError => new ApiError('BadRequest', message)

async function nodeTarget(reader: Reader, name: string, path: string): Promise<Target> {
  const node = await reader.find(Node, '', name)
  if (!node) throw notFoundError(typeFor(Node), name)
  const addresses = node.status?.addresses ?? []
  const address = ['InternalIP', 'Hostname', 'InternalDNS', 'ExternalIP']
    .map((type) => addresses.find((one) => one.type === type)?.address)
    .find(Boolean)
  if (!address) throw new ApiError('InternalError', `Internal error occurred: no preferred addresses found; known addresses: []`)
  return { protocol: 'https', host: address, port: node.status?.daemonEndpoints?.kubeletEndpoint?.Port || 10250, path, node: name }
}

async function findPod(context: RequestContext, services: ResourceServices): Promise<Pod> {
  const { namespace, name } = context.info
  const type = typeFor(Pod)
  const found = await readCached(services.backend, type, namespace, name)
  if (!found) throw notFoundError(type, name)
  return found.object as Pod
}

function containerOf(pod: Pod, asked: string | null, action: string): string {
  const { spec, metadata } = pod
  const names = (list: readonly { readonly name: string }[] | undefined): string[] => (list ?? []).map(({ name }) => name)
  const containers = names(spec?.containers)
  const all = [...containers, ...names(spec?.initContainers), ...names(spec?.ephemeralContainers)]
  if (asked) {
    if (!all.includes(asked)) throw badRequest(`container ${asked} is not valid for pod ${metadata.name}`)
    return asked
  }
  const preset = metadata.annotations?.['kubectl.kubernetes.io/default-container']
  if (preset && all.includes(preset) && action !== 'log') return preset
  if (containers.length === 1) return containers[0] as string
  const inits = names(spec?.initContainers)
  const more = inits.length > 0 ? ` or one of the init containers: [${inits.join(' ')}]` : ''
  throw badRequest(`a container name must be specified for pod ${metadata.name}, choose one of: [${containers.join(' ')}]${more}`)
}

/** The options of the API under the names that the kubelet knows. */
function kubeletQuery(query: URLSearchParams, names: Readonly<Record<string, string>>): string {
  const parameters = new URLSearchParams()
  for (const [name, value] of query) {
    const known = names[name]
    if (known === undefined) continue
    if (known.startsWith('?')) {
      if (value === 'true' || value === '1') parameters.append(known.slice(1), '1')
    } else parameters.append(known, value)
  }
  const text = parameters.toString()
  return text ? `?${text}` : ''
}

const LOG_OPTIONS = {
  follow: 'follow',
  previous: 'previous',
  sinceSeconds: 'sinceSeconds',
  sinceTime: 'sinceTime',
  timestamps: 'timestamps',
  tailLines: 'tailLines',
  limitBytes: 'limitBytes',
  stream: 'stream',
}
/** `?` marks switches, which the kubelet wants as `1`. */
const STREAM_OPTIONS = { stdin: '?input', stdout: '?output', stderr: '?error', tty: '?tty', command: 'command' }

const hostOf = (pod: Pod, action: string): string => {
  const name = pod.spec?.nodeName
  if (!name)
    throw badRequest(
      action === 'log'
        ? `pod ${pod.metadata.name} does not have a host assigned`
        : `pod ${pod.metadata.name} does not have a host assigned`,
    )
  return name
}

function checkLogOptions({ info: { query } }: RequestContext): void {
  const number = (name: string, least: number): void => {
    const text = query.get(name)
    if (text === null || text === '') return
    if (!/^-?\d+$/.test(text)) throw badRequest(`${name}: invalid value ${JSON.stringify(text)}`)
    if (Number(text) < least) {
      throw new ApiError(
        'Invalid',
        `PodLogOptions "" is invalid: ${name}: Invalid value: ${text}: must be greater than or equal to ${least}`,
      )
    }
  }
  number('tailLines', 0)
  number('limitBytes', 1)
  number('sinceSeconds', 1)
  if (query.get('sinceSeconds') && query.get('sinceTime')) {
    throw new ApiError(
      'Invalid',
      'PodLogOptions "" is invalid: sinceSeconds: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified',
    )
  }
}

async function podTarget(context: RequestContext, services: ResourceServices, reader: Reader): Promise<Target> {
  const { info } = context
  const { subresource: action, query, namespace, name } = info
  const pod = await findPod(context, services)
  if (action === 'portforward')
    return nodeTarget(
      reader,
      hostOf(pod, action),
      `/portForward/${namespace}/${name}${kubeletQuery(query, { port: 'port', ports: 'port' })}`,
    )
  if (action === 'log') {
    checkLogOptions(context)
    const container = containerOf(pod, query.get('container'), action)
    return nodeTarget(reader, hostOf(pod, action), `/containerLogs/${namespace}/${name}/${container}${kubeletQuery(query, LOG_OPTIONS)}`)
  }
  const container = containerOf(pod, query.get('container'), action)
  if (pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') {
    throw badRequest(`cannot exec into a container in a completed pod; current phase is ${pod.status.phase}`)
  }
  const streams = new URLSearchParams(query)
  // Without a word about streams, attach means output and errors.
  if (action === 'attach' && !['stdin', 'stdout', 'stderr'].some((stream) => streams.has(stream))) {
    streams.set('stdout', 'true')
    streams.set('stderr', 'true')
  }
  return nodeTarget(reader, hostOf(pod, action), `/${action}/${namespace}/${name}/${container}${kubeletQuery(streams, STREAM_OPTIONS)}`)
}

/** `https:name:port`, `name:port`, `name`. */
function splitProxyName(text: string): { readonly scheme: 'http' | 'https'; readonly name: string; readonly port: string } {
  const parts = text.split(':')
  if (parts.length === 3 && (parts[0] === 'http' || parts[0] === 'https' || parts[0] === '')) {
    return { scheme: parts[0] === 'https' ? 'https' : 'http', name: parts[1] as string, port: parts[2] as string }
  }
  if (parts.length > 2) throw badRequest(`invalid proxy target ${JSON.stringify(text)}: want [https:]name[:port]`)
  return { scheme: 'http', name: parts[0] as string, port: parts[1] ?? '' }
}

const queryOf = ({ request: { url } }: RequestContext): string => {
  const mark = url.indexOf('?')
  return mark < 0 ? '' : url.slice(mark)
}

async function proxyTarget(context: RequestContext, reader: Reader): Promise<Target> {
  const { info } = context
  const { scheme, name, port } = splitProxyName(info.name)
  const path = `${info.rawRest || '/'}${queryOf(context)}`
  if (info.resource === 'nodes') {
    const target = await nodeTarget(reader, name, path)
    return port ? { ...target, port: Number(port) } : target
  }
  if (info.resource === 'pods') {
    const pod = await reader.find(Pod, info.namespace, name)
    if (!pod) throw notFoundError(typeFor(Pod), name)
    const host = pod.status?.podIP
    if (!host) throw badRequest('address not allowed')
    const ports = (pod.spec?.containers ?? []).flatMap(({ ports = [] }) => ports)
    const named = ports.find((one) => one.name === port)?.containerPort
    const number = port === '' ? (ports[0]?.containerPort ?? (scheme === 'https' ? 443 : 80)) : (named ?? Number(port))
    if (!Number.isInteger(number)) throw badRequest(`pod ${name} has no port named ${port}`)
    return { protocol: scheme, host, port: number, path }
  }
  const service = await reader.find(Service, info.namespace, name)
  if (!service) throw notFoundError(typeFor(Service), name)
  const ports = service.spec?.ports ?? []
  const wanted =
    port === '' ? (ports.length === 1 ? ports[0] : undefined) : ports.find((one) => one.name === port || String(one.port) === port)
  if (!wanted) throw new ApiError('ServiceUnavailable', `no service port ${JSON.stringify(port)} found for service ${JSON.stringify(name)}`)
  const slices = (await reader.list(EndpointSlice, info.namespace)).filter(
    ({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === name,
  )
  for (const slice of slices) {
    const number = slice.ports?.find((one) => (one.name ?? '') === (wanted.name ?? ''))?.port
    const ready = slice.endpoints?.filter(({ conditions }) => conditions?.ready !== false) ?? []
    const [endpoint] = ready // spreading load is the business of the service proxy
    if (number && endpoint?.addresses[0]) return { protocol: scheme, host: endpoint.addresses[0], port: number, path }
  }
  throw new ApiError('ServiceUnavailable', `no endpoints available for service ${JSON.stringify(info.name)}`)
}

/** Bytes. */
const LONGEST_COMPLAINT = 64 * 1024

const STREAMING = ['exec', 'attach', 'portforward']

/** The same targets for plain requests and for connections that ask for an upgrade. */
export function createForwarder(connector: Connector) {
  const targetFor = (context: RequestContext, services: ResourceServices): Promise<Target> => {
    const reader = createReader(services.backend.feed)
    return context.info.subresource === 'proxy' ? proxyTarget(context, reader) : podTarget(context, services, reader)
  }
  const forward: SpecialHandler = async (context, type, services) => {
    const { info } = context
    const subresource = type.subresourceTypes.find(({ name }) => name === info.subresource)
    if (info.subresource !== 'proxy' && !(subresource?.verbs as readonly string[] | undefined)?.includes(info.verb)) throw noSuchMethod()
    const target = await targetFor(context, services)
    const [path = '', query] = context.request.url.split('?')
    // A page's relative links work only below a folder.
    if (info.subresource === 'proxy' && info.rawRest === '')
      return { status: 301, headers: { location: `${path}/${query === undefined ? '' : `?${query}`}` }, body: new Uint8Array(0) }
    if (STREAMING.includes(info.subresource)) throw badRequest('Upgrade request required')
    const response = await connector.request(target, context.request)
    if (info.subresource === 'proxy') {
      const prefix = path.slice(0, path.length - info.rawRest.length)
      const { method, headers } = context.request
      return behindProxy(response, method, {
        prefix,
        scheme: 'https',
        host: headers.host ?? '',
        target: `${target.host}:${target.port}`,
      })
    }
    // A kubelet says in plain text what is wrong with a log; clients of the API expect a Status.
    if (info.subresource !== 'log' || response.status < 400) return response
    const text = Buffer.from(await readBody(response.body, LONGEST_COMPLAINT))
      .toString('utf8')
      .trim()
    const reason = response.status === 404 ? 'NotFound' : response.status === 400 ? 'BadRequest' : 'InternalError'
    throw new ApiError(reason, text || `the kubelet answered ${response.status}`, { code: response.status })
  }
  const handlers: SpecialHandlers = new Map([
    ['/pods/log', forward],
    ['/pods/exec', forward],
    ['/pods/attach', forward],
    ['/pods/portforward', forward],
    ['*/proxy', forward],
  ])
  const upgrade = async (context: RequestContext, services: ResourceServices, socket: Duplex, head: Uint8Array): Promise<void> => {
    const { info, request } = context
    if (info.group !== '' || ![...STREAMING, 'proxy'].includes(info.subresource)) throw badRequest('this request cannot be upgraded')
    await connector.tunnel(await targetFor(context, services), request, socket, head)
  }
  return { handlers, upgrade }
}
