// Namespaces as machines and pods for the tests of pod networks. Everything made here is removed at the end.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { checked, createNetworkNamespace, inNetworkNamespace, removeNetworkNamespace, sysNumber, withNetwork } from '../../src/sys/index.js'

export const root = process.getuid?.() === 0
export const options = root ? {} : { skip: 'needs root' }

/** The machine of the test. */
export const HOST = '/proc/thread-self/ns/net'

export interface Lab {
  readonly folder: string
  /** A new network namespace; the path. */
  namespace(name: string): string
  /** Of a namespace that is there. */
  path(name: string): string
  /** Runs a program in a namespace; its output. */
  run(
    namespace: string,
    ...command: readonly string[]
  ): { readonly status: number | null; readonly stdout: string; readonly stderr: string }
  /** Starts a program in a namespace; ended with the lab. */
  start(namespace: string, ...command: readonly string[]): ChildProcess
  onEnd(work: () => void | Promise<void>): void
}

let labs = 0

const CLONE_NEWNET = 0x40000000

/** From here on this thread, and with it every plugin that runs in this process, is on a machine of its own. */
function ownMachine(): void {
  checked('unshare', 'network namespace', sysNumber('unshare'), CLONE_NEWNET)
  withNetwork(undefined, (network) => network.setLink(network.link('lo').index, { up: true }))
}

/** The first lab moves the test into a network namespace of its own: nothing of the machine's network is touched. */
export function lab(t: Pick<Test, 'teardown'>): Lab {
  if (labs === 0) ownMachine()
  const prefix = `knarr-test-${process.pid}-${++labs}`
  const folder = mkdtempSync(join(tmpdir(), `${prefix}-`))
  const namespaces: string[] = []
  const pathOf = (name: string): string => `/run/netns/${prefix}-${name}`
  const children: ChildProcess[] = []
  const ends: (() => void | Promise<void>)[] = []
  // The clock's timers alone do not keep a test alive.
  const alive = setInterval(() => {}, 60_000)
  t.teardown(async () => {
    for (const child of children) child.kill('SIGKILL')
    for (const end of ends.reverse()) await end()
    for (const path of namespaces) removeNetworkNamespace(path)
    rmSync(folder, { recursive: true, force: true })
    clearInterval(alive)
  })
  return {
    folder,
    path: pathOf,
    namespace(name) {
      createNetworkNamespace(pathOf(name))
      namespaces.push(pathOf(name))
      return pathOf(name)
    },
    run: (namespace, command, ...args) =>
      inNetworkNamespace(namespace, () => spawnSync(command as string, args, { encoding: 'utf8', timeout: 60_000 })),
    start(namespace, command, ...args) {
      const child = inNetworkNamespace(namespace, () => spawn(command as string, args, { stdio: ['pipe', 'pipe', 'pipe'] }))
      children.push(child)
      return child
    },
    onEnd: (work) => ends.push(work),
  }
}

export const pings = (lab: Lab, from: string, to: string): boolean => lab.run(from, 'busybox', 'ping', '-c1', '-W5', to).status === 0

/** Where no answer is expected there is no need to wait for it long. */
export const silent = (lab: Lab, from: string, to: string): boolean => lab.run(from, 'busybox', 'ping', '-c1', '-W1', to).status !== 0
