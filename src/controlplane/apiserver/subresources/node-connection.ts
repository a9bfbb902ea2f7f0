// From the API server to a kubelet, a pod or a service's endpoint: plain requests and upgraded connections.
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { Agent, request as httpsRequest } from 'node:https'
import { connect as connectPlain } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls, type PeerCertificate, type TLSSocket } from 'node:tls'
import { ApiError, asError, type HttpHeaders, type HttpRequest, type HttpResponse } from '../../../lib/index.js'
import type { KubeletClient } from '../options.js'

export interface Target {
  readonly protocol: 'http' | 'https'
  readonly host: string
  readonly port: number
  /** With its query, undecoded. */
  readonly path: string
  /** For a kubelet: its certificate is checked, and ours shown. Others (pods) are not known to us. */
  readonly node?: string
}

/** Headers that belong to one hop (RFC 9110 section 7.6.1), and those that name the user to us alone. */
const NOT_FORWARDED = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'host',
  'authorization',
  'content-length',
  'http2-settings',
])

const isPrivate = (name: string): boolean => name.startsWith('impersonate-') || name.startsWith('x-remote-')

const failed = (target: Target, error: unknown): ApiError =>
  new ApiError(
    'ServiceUnavailable',
    `error trying to reach service: ${target.protocol}://${target.host}:${target.port}: ${asError(error).message}`,
    { cause: error },
  )

export interface Connector {
  request(target: Target, request: HttpRequest): Promise<HttpResponse>
  /** Sends the upgrade on and joins both sides; resolves when either ends. */
  tunnel(target: Target, request: HttpRequest, socket: Duplex, head: Uint8Array): Promise<void>
  close(): void
}

export function createConnector(kubelet: KubeletClient | undefined): Connector {
  const agent = new Agent({ keepAlive: true, maxSockets: 256, timeout: 60_000 })
  const tlsOptions = ({ host, node }: Target) => {
    if (node === undefined) return { rejectUnauthorized: false }
    if (!kubelet) throw new ApiError('InternalError', 'Internal error occurred: the server was started without credentials for kubelets')
    return {
      ca: kubelet.ca,
      cert: kubelet.cert,
      key: kubelet.key,
      servername: '',
      // A kubelet is known by its address or by its node's name.
      checkServerIdentity: (_name: string, { subjectaltname = '' }: PeerCertificate): Error | undefined => {
        const names = subjectaltname.split(', ')
        const known = names.includes(`DNS:${node}`) || names.includes(`IP Address:${host}`) || names.includes(`DNS:${host}`)
        return known ? undefined : new Error(`the certificate at ${host} is not that of node ${node}`)
      },
    }
  }

  const forwardHeaders = (headers: HttpHeaders): Record<string, string> => {
    const kept: Record<string, string> = {}
    for (const [name, value] of Object.entries(headers)) if (!NOT_FORWARDED.has(name) && !isPrivate(name)) kept[name] = value
    return kept
  }

  return {
    request(target, request) {
      return new Promise((resolve, reject) => {
        const { headers, method, body, signal } = request
        const kept = forwardHeaders(headers)
        if (headers['content-length'] !== undefined) kept['content-length'] = headers['content-length']
        const options: RequestOptions = {
          host: target.host,
          port: target.port,
          path: target.path,
          method,
          headers: kept,
          ...(signal && { signal }),
        }
        const onResponse = (response: IncomingMessage): void => {
          const answered: Record<string, string> = {}
          for (const [name, value] of Object.entries(response.headers)) {
            if (value !== undefined && !NOT_FORWARDED.has(name)) answered[name] = Array.isArray(value) ? value.join(', ') : value
          }
          resolve({ status: response.statusCode ?? 502, headers: answered, body: response })
        }
        const outgoing =
          target.protocol === 'https'
            ? httpsRequest({ ...options, ...tlsOptions(target), ...(target.node !== undefined && { agent }) }, onResponse)
            : httpRequest(options, onResponse)
        outgoing.on('error', (error) => reject(failed(target, error)))
        if (!body) outgoing.end()
        else if (body instanceof Uint8Array) outgoing.end(body)
        else {
          void (async () => {
            for await (const chunk of body) if (!outgoing.write(chunk)) await new Promise((drained) => outgoing.once('drain', drained))
            outgoing.end()
          })().catch((error: unknown) => outgoing.destroy(asError(error)))
        }
      })
    },

    async tunnel(target, request, socket, head) {
      const { host, port } = target
      const upstream: Duplex = await new Promise((resolve, reject) => {
        const secure = target.protocol === 'https'
        const connection = secure
          ? connectTls({ host, port, ...tlsOptions(target), ALPNProtocols: ['http/1.1'] })
          : connectPlain({ host, port })
        connection.once('error', (error) => reject(failed(target, error)))
        connection.once(secure ? 'secureConnect' : 'connect', () => {
          ;(connection as TLSSocket).setNoDelay(true)
          resolve(connection)
        })
      })
      const lines = [`${request.method} ${target.path} HTTP/1.1`, `Host: ${host}:${port}`]
      for (const [name, value] of Object.entries(forwardHeaders(request.headers))) lines.push(`${name}: ${value}`)
      lines.push(`Connection: Upgrade`, `Upgrade: ${request.headers.upgrade ?? ''}`)
      upstream.write(`${lines.join('\r\n')}\r\n\r\n`)
      if (head.length > 0) upstream.write(head)
      await new Promise<void>((resolve) => {
        const end = (): void => {
          upstream.destroy()
          socket.destroy()
          resolve()
        }
        for (const side of [upstream, socket]) {
          side.on('error', end)
          side.on('close', end)
        }
        upstream.pipe(socket)
        socket.pipe(upstream)
      })
    },
    close: () => agent.destroy(),
  }
}
