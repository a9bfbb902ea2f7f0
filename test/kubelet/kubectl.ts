// kubectl as people run it, against a scene's API server.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { NodeScene } from './scene.js'

const FOLDER = '/usr/lib/google-cloud-sdk/bin'

/** 1.33 speaks WebSocket, 1.29 SPDY. */
export const versions = ['1.33', '1.29'].filter((version) => existsSync(join(FOLDER, `kubectl.${version}`)))

export interface Result {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface Kubectl {
  run(...args: readonly string[]): Promise<Result>
  /** With bytes on its standard input. */
  feed(input: string, ...args: readonly string[]): Promise<Result>
  /** Goes on until it is ended. */
  start(...args: readonly string[]): ChildProcess
  /** On a terminal of its own, as a person types. */
  onTerminal(...args: readonly string[]): ChildProcess
}

export function kubectl(n: NodeScene, version: string): Kubectl {
  const path = join(FOLDER, `kubectl.${version}`)
  const env = { ...process.env, KUBECONFIG: n.api.kubeconfig, HOME: n.s.dir, TERM: 'xterm' }
  const feed = (input: string, ...args: readonly string[]): Promise<Result> =>
    new Promise((resolve) => {
      const child = execFile(path, args, { env, maxBuffer: 64 * 1024 * 1024, timeout: 60_000 }, (error, stdout, stderr) =>
        resolve({ code: typeof error?.code === 'number' ? error.code : error ? 1 : 0, stdout, stderr }),
      )
      child.stdin?.on('error', () => {})
      child.stdin?.end(input)
    })
  return {
    run: (...args) => feed('', ...args),
    feed,
    start: (...args) => spawn(path, args, { env, stdio: ['pipe', 'pipe', 'pipe'] }),
    onTerminal: (...args) => spawn('script', ['-qec', [path, ...args].join(' '), '/dev/null'], { env, stdio: ['pipe', 'pipe', 'pipe'] }),
  }
}

/** What a child has said so far. */
export function heard(child: ChildProcess): () => string {
  let text = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    text += chunk
  })
  child.stderr?.on('data', (chunk: Buffer) => {
    text += chunk
  })
  return () => text
}

export async function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
  return await new Promise((resolve) => child.once('exit', (code) => resolve(code)))
}
