// Services without netfilter: every frontend is a socket of our own, every connection is relayed.
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { connect, createServer, isIPv6, type Server, type Socket } from 'node:net'
import { asError, type Clock, hasErrno, type Logger, type Random, randomInt, type Timer } from '../lib/index.js'
import type { Applier } from './applier.js'
import { rangeMatcher } from './cidr.js'
import { type Endpoint, type Frontend, frontendKey, type Ruleset } from './ruleset.js'

/** Gives the node the addresses that Services listen on. */
export interface AddressHost {
  add(ip: string): void | Promise<void>
  remove(ip: string): void | Promise<void>
  /** Those that were added and are still there. */
  list(): readonly string[]
  /** True for every address of the node. */
  isLocal(ip: string): boolean
}

export interface UserspaceOptions {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly addresses: AddressHost
  /** Ranges of the pod network, whose clients are led to endpoints elsewhere too when a Service keeps traffic from outside local. */
  readonly clusterCidrs: readonly string[]
  /** Where node ports listen. Default every address. */
  readonly nodePortAddress?: string
  /** Silence after which a UDP client is forgotten. Default 60 s. */
  readonly udpIdleMs?: number
  readonly connectTimeoutMs?: number
}

interface Listener {
  update(frontend: Frontend): void
  close(): Promise<void>
}

/** Chooses endpoints: random, and the same one again for a client with affinity. */
function chooser({ clock, random, clusterCidrs }: UserspaceOptions) {
  const sticky = new Map<string, { readonly endpoint: Endpoint; readonly until: number }>()
  const isPod = rangeMatcher(clusterCidrs)
  return (frontend: Frontend, client: string, onNode: boolean, not: ReadonlySet<Endpoint> = new Set()): Endpoint | undefined => {
    const meant = frontend.inside && (onNode || isPod(client)) ? frontend.inside : frontend.endpoints
    const candidates = meant.filter((each) => !not.has(each))
    if (candidates.length === 0) return undefined
    const now = clock.monotonic()
    const kept = frontend.affinitySeconds === undefined ? undefined : sticky.get(client)
    const same =
      kept && kept.until > now ? candidates.find(({ ip, port }) => ip === kept.endpoint.ip && port === kept.endpoint.port) : undefined
    const endpoint = same ?? (candidates[randomInt(random, candidates.length)] as Endpoint)
    if (frontend.affinitySeconds !== undefined) {
      sticky.delete(client)
      sticky.set(client, { endpoint, until: now + frontend.affinitySeconds * 1000 })
      if (sticky.size > 65_536) sticky.delete(sticky.keys().next().value as string)
    }
    return endpoint
  }
}

const admits = (frontend: Frontend): ((ip: string) => boolean) => (frontend.sourceRanges ? rangeMatcher(frontend.sourceRanges) : () => true)

async function listenTcp(first: Frontend, host: string, options: UserspaceOptions): Promise<Listener> {
  let frontend = first
  let admit = admits(first)
  const choose = chooser(options)
  const open = new Set<Socket>()

  /** Tries endpoints until one answers: a connection is lost only when all are dead. */
  function relay(client: Socket, tried: Set<Endpoint>): void {
    const from = client.remoteAddress ?? ''
    const endpoint = choose(frontend, from, from === client.localAddress, tried)
    if (!endpoint) return void client.resetAndDestroy()
    tried.add(endpoint)
    const server = connect({ host: endpoint.ip, port: endpoint.port, allowHalfOpen: true })
    const timer = options.clock.after(options.connectTimeoutMs ?? 5_000, () => server.destroy(new Error('connect timed out')))
    const next = (): void => {
      timer.cancel()
      relay(client, tried)
    }
    server.once('error', next)
    server.once('connect', () => {
      timer.cancel()
      server.removeListener('error', next)
      server.on('error', () => client.destroy())
      client.on('error', () => server.destroy())
      client.once('close', () => server.destroy())
      server.once('close', () => client.destroy())
      server.setNoDelay(true)
      client.setNoDelay(true)
      client.pipe(server)
      server.pipe(client)
    })
  }

  const server: Server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
    client.on('error', () => {})
    if (!admit(client.remoteAddress ?? '')) return void client.destroy()
    open.add(client)
    client.once('close', () => open.delete(client))
    relay(client, new Set())
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port: first.port, ipv6Only: isIPv6(host) }, resolve)
  })
  return {
    update(newer) {
      frontend = newer
      admit = admits(newer)
    },
    // Connections that are under way go on, as they do with netfilter.
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        if (open.size > 0) resolve()
      }),
  }
}

/** Clients that a UDP frontend remembers at once; each has a socket. */
const MOST_FLOWS = 4096

interface UdpFlow {
  readonly socket: UdpSocket
  readonly endpoint: Endpoint
  timer: Timer
}

async function listenUdp(first: Frontend, host: string, options: UserspaceOptions): Promise<Listener> {
  let frontend = first
  let admit = admits(first)
  const choose = chooser(options)
  const flows = new Map<string, UdpFlow>()
  const idleMs = options.udpIdleMs ?? 60_000
  const type = isIPv6(host) ? 'udp6' : 'udp4'
  const socket = createSocket({ type, ipv6Only: type === 'udp6' })

  const end = (client: string): void => {
    const flow = flows.get(client)
    flows.delete(client)
    flow?.timer.cancel()
    flow?.socket.close()
  }
  const open = (client: string, address: string, port: number): UdpFlow | undefined => {
    const endpoint = choose(frontend, address, options.addresses.isLocal(address))
    if (!endpoint) return undefined
    // Sources are easily forged: the oldest flow makes room.
    if (flows.size >= MOST_FLOWS) end(flows.keys().next().value as string)
    const out = createSocket(isIPv6(endpoint.ip) ? 'udp6' : 'udp4')
    out.on('message', (bytes) => socket.send(bytes, port, address, () => {}))
    out.on('error', () => end(client))
    out.connect(endpoint.port, endpoint.ip)
    const flow: UdpFlow = { socket: out, endpoint, timer: options.clock.after(idleMs, () => end(client)) }
    flows.set(client, flow)
    return flow
  }
  socket.on('message', (bytes, { address, port }) => {
    // Anybody can write port 0 into a packet; nobody can be answered there.
    if (port === 0 || !admit(address)) return
    const client = `${address} ${port}`
    const flow = flows.get(client) ?? open(client, address, port)
    if (!flow) return
    flow.timer.cancel()
    flow.timer = options.clock.after(idleMs, () => end(client))
    const send = (): void => flow.socket.send(bytes, () => {})
    try {
      flow.socket.remoteAddress()
      send()
    } catch {
      flow.socket.once('connect', send)
    }
  })
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.bind(first.port, host, resolve)
  })
  socket.on('error', (error) => options.log.warn('udp relay', { service: frontend.service, err: error }))
  return {
    update(newer) {
      frontend = newer
      admit = admits(newer)
      const alive = new Set([...newer.endpoints, ...(newer.inside ?? [])].map(({ ip, port }) => `${ip} ${port}`))
      for (const [client, { endpoint }] of flows) if (!alive.has(`${endpoint.ip} ${endpoint.port}`)) end(client)
    },
    close: () => {
      for (const client of [...flows.keys()]) end(client)
      return new Promise((resolve) => socket.close(() => resolve()))
    },
  }
}

export function userspaceApplier(options: UserspaceOptions): Applier {
  const { addresses, log, nodePortAddress = '0.0.0.0' } = options
  const listeners = new Map<string, Listener>()
  const ours = new Set<string>()

  async function open(key: string, frontend: Frontend): Promise<void> {
    const host = frontend.ip ?? (frontend.family === 'IPv6' ? '::' : nodePortAddress)
    try {
      const listen = frontend.protocol === 'TCP' ? listenTcp : listenUdp
      listeners.set(key, await listen(frontend, host, options))
    } catch (error) {
      // Somebody else has the port: the other Services must not suffer.
      if (!hasErrno(error, 'EADDRINUSE')) throw error
      log.warn('port is taken by another program', { service: frontend.service, port: frontend.port, err: asError(error) })
    }
  }
  async function close(key: string): Promise<void> {
    await listeners.get(key)?.close()
    listeners.delete(key)
  }

  /** Addresses are held also for Services without endpoints: the kernel then refuses connections at once, because nobody listens. */
  async function holdAddresses(frontends: readonly Frontend[]): Promise<void> {
    const wanted = new Set(frontends.flatMap(({ ip }) => ip ?? []))
    for (const ip of [...ours]) {
      if (wanted.has(ip)) continue
      await addresses.remove(ip)
      ours.delete(ip)
    }
    for (const ip of wanted) {
      if (ours.has(ip)) continue
      await addresses.add(ip)
      ours.add(ip)
    }
  }

  async function apply(ruleset: Ruleset): Promise<void> {
    // SCTP has no sockets in Node.
    const served = ruleset.frontends.filter((frontend) => frontend.protocol !== 'SCTP')
    const wanted = new Map(
      served
        .filter(({ endpoints, inside = [] }) => endpoints.length + inside.length > 0)
        .map((frontend) => [frontendKey(frontend), frontend] as const),
    )
    for (const key of [...listeners.keys()]) if (!wanted.has(key)) await close(key)
    await holdAddresses(served)
    for (const [key, frontend] of wanted) {
      const listener = listeners.get(key)
      if (listener) listener.update(frontend)
      else await open(key, frontend)
    }
  }

  async function intact(): Promise<boolean> {
    const there = new Set(addresses.list())
    const lost = [...ours].filter((ip) => !there.has(ip))
    for (const ip of lost) ours.delete(ip)
    return lost.length === 0
  }

  return { name: 'userspace', apply, intact, remove: () => apply({ frontends: [], healthChecks: [] }) }
}
