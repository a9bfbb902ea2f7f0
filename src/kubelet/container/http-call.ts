// One HTTP request from the node into a pod: for probes and hooks.
import * as http from 'node:http'
import * as https from 'node:https'
import type { Container, HTTPGetAction } from '../../api/index.js'

export interface HttpTarget {
  readonly scheme: 'http' | 'https'
  readonly host: string
  readonly port: number
  readonly path: string
  readonly headers: readonly { readonly name: string; readonly value: string }[]
}

/** A number, or the name of one of the container's ports. */
export function portOf(port: number | string, container: Container): number {
  if (typeof port === 'number') return port
  const named = container.ports?.find(({ name }) => name === port)?.containerPort ?? Number(port)
  // As Go words it, because people search for it.
  if (!Number.isInteger(named)) throw new Error(`strconv.Atoi: parsing ${JSON.stringify(port)}: invalid syntax`)
  if (named < 1 || named > 65535) throw new Error(`invalid port number: ${named}`)
  return named
}

export const httpTarget = (action: HTTPGetAction, container: Container, podIp: string): HttpTarget => ({
  scheme: action.scheme?.toUpperCase() === 'HTTPS' ? 'https' : 'http',
  host: action.host || podIp,
  port: portOf(action.port, container),
  path: action.path?.startsWith('/') ? action.path : `/${action.path ?? ''}`,
  headers: action.httpHeaders ?? [],
})

const bracketed = (host: string): string => (host.includes(':') ? `[${host}]` : host)
export const urlOf = ({ scheme, host, port, path }: HttpTarget): string => `${scheme}://${bracketed(host)}:${port}${path}`

export interface HttpAnswer {
  readonly status: number
  readonly location: string | undefined
  readonly body: string
}

/** As Go words the common failures, because people search for them. */
export function dialError(error: unknown, host: string, port: number): string {
  const { code, message } = error as NodeJS.ErrnoException
  const words: Readonly<Record<string, string>> = {
    ECONNREFUSED: 'connect: connection refused',
    EHOSTUNREACH: 'connect: no route to host',
    ENETUNREACH: 'connect: network is unreachable',
    ETIMEDOUT: 'i/o timeout',
    ECONNRESET: 'read: connection reset by peer',
    ENOTFOUND: 'lookup: no such host',
  }
  return `dial tcp ${bracketed(host)}:${port}: ${words[code ?? ''] ?? message}`
}

const BODY_LIMIT = 10 * 1024

/** GET, once, on a connection of its own. The certificate is not checked: the pod is asked whether it lives, not who it is. */
export function httpGet(target: HttpTarget, timeoutMs: number, userAgent: string): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const headers: Record<string, string | string[]> = { 'user-agent': userAgent, accept: '*/*', connection: 'close' }
    for (const { name, value } of target.headers) {
      const key = name.toLowerCase()
      const before = headers[key]
      const isDefault = key === 'user-agent' || key === 'accept' || key === 'connection'
      headers[key] = before === undefined || isDefault ? value : [...(Array.isArray(before) ? before : [before]), value]
    }
    const signal = AbortSignal.timeout(timeoutMs)
    const options = { host: target.host, port: target.port, path: encodeURI(decodeIfPossible(target.path)), headers, agent: false, signal }
    const answered = (response: http.IncomingMessage): void => {
      const chunks: Buffer[] = []
      let length = 0
      const done = (): void =>
        resolve({
          status: response.statusCode ?? 0,
          location: response.headers.location,
          body: Buffer.concat(chunks).toString('utf8', 0, BODY_LIMIT),
        })
      response.on('data', (chunk: Buffer) => {
        length += chunk.length
        chunks.push(chunk)
        if (length > BODY_LIMIT) {
          done()
          response.destroy()
        }
      })
      response.on('end', done)
      response.on('error', failed)
    }
    const failed = (error: Error): void => {
      const what = `Get "${urlOf(target)}": `
      if (signal.aborted) reject(new Error(`${what}context deadline exceeded (Client.Timeout exceeded while awaiting headers)`))
      else reject(new Error(what + dialError(error, target.host, target.port)))
    }
    const request =
      target.scheme === 'https'
        ? https.request({ ...options, rejectUnauthorized: false, servername: '' }, answered)
        : http.request(options, answered)
    request.on('error', failed)
    request.end()
  })
}

function decodeIfPossible(path: string): string {
  try {
    return decodeURI(path)
  } catch {
    return path
  }
}
