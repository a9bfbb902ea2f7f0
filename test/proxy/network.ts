// Two nodes with pods, and a stranger between them, as network namespaces: where Services are tried with real packets.
//
//   pods a, b ── node1 ──┐
//                        outside (a bridge and a router)
//   pod  c ───── node2 ──┘
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { EndpointSlice, Service } from '../../src/api/index.js'
import { type Deferred, deferred } from '../../src/lib/index.js'
import { must, run } from '../machines/shell.js'

export const CLUSTER_CIDRS = ['10.244.0.0/16', 'fd44::/32']
export const NODES = {
  node1: { v4: '192.168.99.1', v6: 'fd99::1', zone: 'east', number: 1, pods: ['a', 'b'] },
  node2: { v4: '192.168.99.3', v6: 'fd99::3', zone: 'west', number: 2, pods: ['c'] },
} as const
export const PODS = {
  a: { v4: '10.244.1.2', v6: 'fd44:0:1::2', node: 'node1' },
  b: { v4: '10.244.1.3', v6: 'fd44:0:1::3', node: 'node1' },
  c: { v4: '10.244.2.2', v6: 'fd44:0:2::2', node: 'node2' },
} as const
export const OUTSIDE = { v4: '192.168.99.2', v6: 'fd99::2' } as const
export type Pod = keyof typeof PODS
export type Node = keyof typeof NODES
export type Place = Pod | Node | 'outside'

export interface Objects {
  readonly services: readonly Service[]
  readonly slices: readonly EndpointSlice[]
}

export type Answers = Readonly<Record<string, number>>

export interface ProxyNetwork {
  /** Resolves when both nodes have it in force. */
  apply(objects: Objects): Promise<void>
  /** Resolves when a node has put its rules back. */
  repaired(node: Node): Promise<void>
  remove(): Promise<void>
  order<T>(place: Place, order: Readonly<Record<string, unknown>>): Promise<T>
  inside(place: Place, ...argv: readonly string[]): Promise<string>
  /** Starts a program that goes on; resolves at its first line. */
  background(place: Place, ...argv: readonly string[]): Promise<void>
  destroy(): Promise<void>
}

/** Longest that an order may take. */
const ORDER_MS = 60_000

let serial = 0

const nodeScript = (node: Node, prefix: string): string => {
  const { number, v4, v6, pods } = NODES[node]
  const [other] = Object.values(NODES).filter((each) => each.number !== number)
  return `
    ip link add br0 type bridge; ip addr add 10.244.${number}.1/24 dev br0; ip addr add fd44:0:${number}::1/64 dev br0 nodad; ip link set br0 up
    for pod in ${pods.join(' ')}; do
      ip link add v$pod type veth peer name eth0 netns ${prefix}-$pod
      ip link set v$pod master br0 up; bridge link set dev v$pod hairpin on
    done
    ip addr add ${v4}/24 dev up0; ip addr add ${v6}/64 dev up0 nodad; ip link set up0 up
    ip route add default via ${OUTSIDE.v4}; ip -6 route add default via ${OUTSIDE.v6}
    ip route add 10.244.${other?.number}.0/24 via ${other?.v4}; ip -6 route add fd44:0:${other?.number}::/64 via ${other?.v6}
    # Addresses of load balancers lead back to where they came from: redirects would use up what may be sent of ICMP errors.
    for link in all default up0; do echo 0 > /proc/sys/net/ipv4/conf/$link/send_redirects; done
    echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding`
}

const podScript = (pod: Pod): string => {
  const { v4, v6, node } = PODS[pod]
  const { number } = NODES[node]
  return `ip addr add ${v4}/24 dev eth0; ip addr add ${v6}/64 dev eth0 nodad; ip link set eth0 up
    ip route add default via 10.244.${number}.1; ip -6 route add default via fd44:0:${number}::1`
}

const outsideScript = (prefix: string): string => `
  ip link add br0 type bridge; ip addr add ${OUTSIDE.v4}/24 dev br0; ip addr add ${OUTSIDE.v6}/64 dev br0 nodad; ip link set br0 up
  for node in node1 node2; do ip link add $node type veth peer name up0 netns ${prefix}-$node; ip link set $node master br0 up; done
  ${Object.values(NODES)
    .map(({ number, v4, v6 }) => `ip route add 10.244.${number}.0/24 via ${v4}; ip -6 route add fd44:0:${number}::/64 via ${v6}`)
    .join('; ')}
  ip route add 203.0.113.0/24 via ${NODES.node1.v4}; ip -6 route add fd0b::/64 via ${NODES.node1.v6}`

export async function createProxyNetwork(mode: string): Promise<ProxyNetwork> {
  const prefix = `kp${process.pid.toString(36)}${serial++}`
  const name = (place: Place): string => `${prefix}-${place}`
  const inside = (place: Place, ...argv: readonly string[]): string[] => ['ip', 'netns', 'exec', name(place), ...argv]
  const nodes = Object.keys(NODES) as Node[]
  const pods = Object.keys(PODS) as Pod[]
  const places: readonly Place[] = ['outside', ...nodes, ...pods]
  const children: ChildProcess[] = []

  async function destroy(): Promise<void> {
    for (const child of children) child.kill('SIGKILL')
    for (const place of places) await run(['ip', 'netns', 'del', name(place)])
  }

  /** A script of ours in a place, told what to do line by line. */
  async function start(place: Place, file: string, ...args: readonly string[]): Promise<(order: unknown) => Promise<unknown>> {
    const [program = '', ...rest] = inside(place, process.execPath, join(import.meta.dirname, file), ...args)
    const child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'inherit'] })
    children.push(child)
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })
    const waiting: Deferred<unknown>[] = []
    const next = (): Promise<unknown> => {
      const answer = deferred<unknown>()
      waiting.push(answer)
      return answer.promise
    }
    lines.on('line', (line) => {
      const answer = JSON.parse(line) as { readonly error?: string }
      if (answer?.error === undefined) waiting.shift()?.resolve(answer)
      else waiting.shift()?.reject(new Error(`${place}: ${answer.error}`))
    })
    child.once('exit', (code) => waiting.forEach(({ reject }) => void reject(new Error(`${file} in ${place} ended with ${code}`))))
    await next()
    return async (order) => {
      const text = JSON.stringify(order)
      child.stdin?.write(`${text}\n`)
      const timer = setTimeout(
        () => waiting.shift()?.reject(new Error(`${file} in ${place} did not answer ${text.slice(0, 200)}`)),
        ORDER_MS,
      )
      return next().finally(() => clearTimeout(timer))
    }
  }

  try {
    for (const place of places) {
      await must(['ip', 'netns', 'add', name(place)])
      await must(inside(place, 'ip', 'link', 'set', 'lo', 'up'))
    }
    const shell = (place: Place, script: string): Promise<string> => must(inside(place, 'sh', '-ec', script))
    await shell('outside', outsideScript(prefix))
    for (const node of nodes) await shell(node, nodeScript(node, prefix))
    for (const pod of pods) await shell(pod, podScript(pod))
    const peers = new Map<Place, (order: unknown) => Promise<unknown>>()
    await Promise.all(places.map(async (place) => peers.set(place, await start(place, 'peer.js', place))))
    const drivers = new Map<Node, (order: unknown) => Promise<unknown>>()
    await Promise.all(nodes.map(async (node) => drivers.set(node, await start(node, 'driver.js', mode, node, NODES[node].zone))))
    const everyDriver = (order: unknown): Promise<unknown> => Promise.all([...drivers.values()].map((driver) => driver(order)))
    return {
      apply: async (objects) => void (await everyDriver(objects)),
      repaired: async (node) => void (await drivers.get(node)?.('repaired')),
      remove: async () => void (await everyDriver('remove')),
      order: async <T>(place: Place, order: Readonly<Record<string, unknown>>) => (await peers.get(place)?.(order)) as T,
      inside: (place, ...argv) => must(inside(place, ...argv)),
      async background(place, ...argv) {
        const [program = '', ...rest] = inside(place, ...argv)
        const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
        children.push(child)
        await once(child.stdout, 'data')
      },
      destroy,
    }
  } catch (error) {
    await destroy()
    throw error
  }
}
