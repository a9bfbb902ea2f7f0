// A control plane in this process with hollow nodes: API server, controllers, scheduler.
import { setMaxListeners } from 'node:events'
import type { Test } from 'tap'
import { Namespace } from '../../src/api/index.js'
import { type Client, createClient } from '../../src/client/index.js'
import { runControllers } from '../../src/controlplane/controllers/index.js'
import { runScheduler } from '../../src/controlplane/scheduler/index.js'
import { type HttpHandler, type Logger, seededRandom, silentLog, systemClock, systemRandom } from '../../src/lib/index.js'
import { ADMIN, startServer, type TestServer } from '../apiserver/harness.js'
import { type HollowNodes, type HollowOptions, hollowNodes } from '../hollow/hollow-nodes.js'

export interface Plane {
  readonly server: TestServer
  readonly client: Client
  readonly nodes: HollowNodes
}

/** The handler with a user in front: callers in this process need no certificate. */
export const as =
  (handler: HttpHandler, name: string, groups: readonly string[] = ADMIN.groups): HttpHandler =>
  (request) =>
    handler({ ...request, peer: { inProcessUser: { name, groups } } })

const printing: Logger = {
  debug: (message, fields) => (process.env.KNARR_TEST_LOG === 'debug' ? console.error(message, fields) : undefined),
  info: () => {},
  warn: (message, fields) => console.error(message, fields),
  error: (message, fields) => console.error(message, fields),
  child: () => printing,
}

export async function startPlane(
  t: Pick<Test, 'teardown'>,
  options: { readonly nodes?: number; readonly server?: TestServer; readonly hollow?: Partial<HollowOptions> } = {},
): Promise<Plane> {
  const log = process.env.KNARR_TEST_LOG ? printing : silentLog
  const stop = new AbortController()
  const server = options.server ?? (await startServer(t))
  // Timers of the code under test do not keep the process alive.
  const alive = setInterval(() => {}, 1000)
  const { signal } = stop
  setMaxListeners(0, signal)
  const common = { clock: systemClock, random: systemRandom, log, signal }
  const client = createClient(as(server.handler, 'admin'))
  for (const name of ['kube-system', 'kube-node-lease']) {
    if (await client.find(Namespace, { name })) continue
    await client.create(Namespace, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
  }
  const names = Array.from({ length: options.nodes ?? 3 }, (_, index) => `node-${index + 1}`)
  const nodes = hollowNodes({ ...common, client, random: seededRandom(7), nodes: names, ...options.hollow })
  const controllers = runControllers({
    ...common,
    client: createClient(as(server.handler, 'system:kube-controller-manager'), { userAgent: 'kube-controller-manager' }),
    options: { rootCa: 'CA', clusterCidrs: ['10.244.0.0/16'] },
  })
  const scheduler = runScheduler({
    ...common,
    client: createClient(as(server.handler, 'system:kube-scheduler'), { userAgent: 'kube-scheduler' }),
  })
  t.teardown(async () => {
    stop.abort()
    clearInterval(alive)
    await Promise.all([controllers, scheduler, nodes.stopped])
  })
  await nodes.registered
  return { server, client, nodes }
}

/** Asks until `check` gives something; the last answer is in the error. */
export async function until<T>(what: string, check: () => Promise<T | undefined | false>, ms = 30_000): Promise<T> {
  const end = Date.now() + ms
  let last: unknown
  while (Date.now() < end) {
    const found = await check().catch((error: unknown) => {
      last = error
      return undefined
    })
    if (found !== undefined && found !== false) return found
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  throw new Error(`waited ${ms} ms for: ${what}`, { cause: last })
}
