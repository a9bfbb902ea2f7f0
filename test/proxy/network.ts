// A node with two pods and a machine outside, as network namespaces: where the appliers are tried with real packets.
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import type { Ruleset } from '../../src/proxy/index.js'
import { must, run } from '../machines/shell.js'

export const NODE_IP = '192.168.99.1'
export const PODS = { a: '10.244.0.2', b: '10.244.0.3' } as const
export type Place = 'node' | 'a' | 'b' | 'outside'

export interface ProxyNetwork {
  apply(ruleset: Ruleset): Promise<void>
  ask(question: 'intact' | 'remove'): Promise<string>
  /** How often each answer came. */
  dial(from: Place, protocol: 'tcp' | 'udp', ip: string, port: number, count?: number): Promise<Readonly<Record<string, number>>>
  inNode(...argv: readonly string[]): Promise<string>
  destroy(): Promise<void>
}

let serial = 0

export async function createProxyNetwork(mode: string): Promise<ProxyNetwork> {
  const prefix = `kp${process.pid.toString(36)}${serial++}`
  const name = (place: Place): string => `${prefix}-${place}`
  const inside = (place: Place, ...argv: readonly string[]): string[] => ['ip', 'netns', 'exec', name(place), ...argv]
  const places: readonly Place[] = ['node', 'a', 'b', 'outside']
  const children: ChildProcess[] = []
  const script = (file: string): string => join(import.meta.dirname, file)

  async function destroy(): Promise<void> {
    for (const child of children) child.kill('SIGKILL')
    for (const place of places) await run(['ip', 'netns', 'del', name(place)])
  }

  /** Starts a script of ours in a place; resolves at its first line. */
  async function start(
    place: Place,
    file: string,
    ...args: readonly string[]
  ): Promise<{ readonly child: ChildProcess; readonly lines: Interface }> {
    const [program = '', ...rest] = inside(place, process.execPath, script(file), ...args)
    const child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'inherit'] })
    children.push(child)
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })
    await new Promise<void>((resolve, reject) => {
      lines.once('line', () => resolve())
      child.once('exit', (code) => reject(new Error(`${file} ended with ${code}`)))
    })
    return { child, lines }
  }

  try {
    for (const place of places) {
      await must(['ip', 'netns', 'add', name(place)])
      await must(inside(place, 'ip', 'link', 'set', 'lo', 'up'))
    }
    await must(
      inside(
        'node',
        'sh',
        '-ec',
        `
        ip link add br0 type bridge; ip addr add 10.244.0.1/24 dev br0; ip link set br0 up
        for pod in a b; do
          ip link add v$pod type veth peer name eth0 netns ${prefix}-$pod
          ip link set v$pod master br0 up; bridge link set dev v$pod hairpin on
        done
        ip link add up0 type veth peer name eth0 netns ${name('outside')}
        ip addr add ${NODE_IP}/24 dev up0; ip link set up0 up; ip route add default via 192.168.99.2
        echo 1 > /proc/sys/net/ipv4/ip_forward`,
      ),
    )
    for (const pod of ['a', 'b'] as const) {
      await must(inside(pod, 'sh', '-ec', `ip addr add ${PODS[pod]}/24 dev eth0; ip link set eth0 up; ip route add default via 10.244.0.1`))
    }
    await must(
      inside(
        'outside',
        'sh',
        '-ec',
        `ip addr add 192.168.99.2/24 dev eth0; ip link set eth0 up; ip route add 203.0.113.0/24 via ${NODE_IP}`,
      ),
    )
    for (const pod of ['a', 'b'] as const) await start(pod, 'backend.js', pod, '8080')
    const { child, lines } = await start('node', 'driver.js', mode)
    const tell = (line: string): Promise<string> =>
      new Promise((resolve) => {
        lines.once('line', resolve)
        child.stdin?.write(`${line}\n`)
      })
    return {
      async apply(ruleset) {
        const answer = await tell(JSON.stringify(ruleset))
        if (answer !== 'ok') throw new Error(answer)
      },
      ask: tell,
      async dial(from, protocol, ip, port, count = 1) {
        return JSON.parse(await must(inside(from, process.execPath, script('dial.js'), protocol, ip, String(port), String(count))))
      },
      inNode: (...argv) => must(inside('node', ...argv)),
      destroy,
    }
  } catch (error) {
    await destroy()
    throw error
  }
}
