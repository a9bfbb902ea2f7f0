/* biome-ignore-all lint/suspicious/noExplicitAny: answers of the API are looked at field by field */
// An API server over a store in a folder of its own, spoken to without a socket.
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { type ApiServer, type ApiServerOptions, createApiServer } from '../../src/controlplane/apiserver/index.js'
import {
  type Clock,
  type HttpHandler,
  type HttpPeer,
  type HttpResponse,
  type Logger,
  readBody,
  silentLog,
  systemClock,
  systemRandom,
} from '../../src/lib/index.js'
import { type LmdbStore, openLmdbStore } from '../../src/store/index.js'

export const ADMIN: NonNullable<HttpPeer['inProcessUser']> = { name: 'admin', groups: ['system:masters'] }

export interface Answer<T = any> {
  readonly status: number
  readonly headers: HttpResponse['headers']
  readonly body: T
}

export interface AskOptions {
  readonly headers?: Readonly<Record<string, string>>
  readonly user?: HttpPeer['inProcessUser'] | null
  readonly peer?: HttpPeer
  readonly signal?: AbortSignal
}

export interface TestServer extends ApiServer {
  readonly store: LmdbStore
  readonly path: string
  /** Sends JSON (or bytes as they are) and reads JSON. */
  ask(method: string, url: string, body?: unknown, options?: AskOptions): Promise<Answer>
  /** Events of a watch until `count` came. */
  watch(url: string, count: number, options?: AskOptions): Promise<{ type: string; object: any }[]>
}

export const signingKey = (): string =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()

export function askVia(handler: HttpHandler) {
  return async (
    method: string,
    url: string,
    body?: unknown,
    { headers = {}, user = ADMIN, peer, signal }: AskOptions = {},
  ): Promise<Answer> => {
    const isPatch = method === 'PATCH'
    const response = await handler({
      method,
      url,
      headers: {
        accept: 'application/json',
        ...(body !== undefined && { 'content-type': isPatch ? 'application/merge-patch+json' : 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && {
        body: body instanceof Uint8Array ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
      }),
      peer: peer ?? (user ? { inProcessUser: user } : {}),
      ...(signal && { signal }),
    })
    const bytes = await readBody(response.body)
    const text = Buffer.from(bytes).toString('utf8')
    let parsed: unknown = text
    try {
      parsed = JSON.parse(text)
    } catch {
      // not JSON: the text is the answer
    }
    return { status: response.status, headers: response.headers, body: parsed }
  }
}

/** Lines of a stream as JSON values; ends the stream after `count`. */
export async function readEvents(
  handler: HttpHandler,
  url: string,
  count: number,
  { headers = {}, user = ADMIN }: AskOptions = {},
): Promise<{ type: string; object: any }[]> {
  const response = await handler({
    method: 'GET',
    url,
    headers: { accept: 'application/json', ...headers },
    peer: user ? { inProcessUser: user } : {},
  })
  if (response.body instanceof Uint8Array)
    throw new Error(`watch was answered ${response.status}: ${Buffer.from(response.body).toString()}`)
  const events: { type: string; object: any }[] = []
  if (count === 0) return events
  let rest = ''
  for await (const chunk of response.body) {
    rest += Buffer.from(chunk).toString('utf8')
    const lines = rest.split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) events.push(JSON.parse(line) as { type: string; object: any })
    if (events.length >= count) break
  }
  return events
}

export async function startServer(
  t: Pick<Test, 'teardown'>,
  options: Partial<ApiServerOptions> & { readonly clock?: Clock; readonly log?: Logger } = {},
): Promise<TestServer> {
  const path = mkdtempSync(join(tmpdir(), 'knarr-apiserver-'))
  const clock = options.clock ?? systemClock
  const store = (options.store as LmdbStore | undefined) ?? (await openLmdbStore({ path: `${path}/store`, clock }))
  const api = await createApiServer({
    clock,
    random: systemRandom,
    log: silentLog,
    serviceAccounts: { issuer: 'https://kubernetes.default.svc.cluster.local', signingKey: signingKey() },
    ...options,
    store,
  })
  t.teardown(async () => {
    await api.close()
    await store.close()
    rmSync(path, { recursive: true, force: true })
  })
  return { ...api, store, path, ask: askVia(api.handler), watch: (url, count, more) => readEvents(api.handler, url, count, more) }
}

export const pod = (name: string, more: Record<string, unknown> = {}): Record<string, any> => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, ...((more.metadata as object | undefined) ?? {}) },
  spec: { containers: [{ name: 'main', image: 'busybox' }], ...((more.spec as object | undefined) ?? {}) },
})

/** The service account that pods of a namespace need; a controller makes it in a cluster. */
export const defaultAccount = (namespace = 'default'): [string, string, unknown] => [
  'POST',
  `/api/v1/namespaces/${namespace}/serviceaccounts`,
  { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default' } },
]

export const configMap = (name: string, data: Record<string, string> = {}): Record<string, any> => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name },
  data,
})

/** Asks again until it holds: for what happens by itself, soon. */
export async function until(holds: () => Promise<boolean | undefined>): Promise<void> {
  for (let tries = 0; !(await holds()); tries++) {
    if (tries > 500) throw new Error('it never came true')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
