// kubectl as people run it, against a scene's API server.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type NodeScene, until } from './scene.js'

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
  /** On a terminal of its own with 33 rows and 111 columns, as a person types. */
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
    onTerminal: (...args) =>
      spawn('script', ['-qec', `stty rows 33 cols 111; exec ${[path, ...args].join(' ')}`, '/dev/null'], {
        env,
        stdio: ['pipe', 'pipe', 'pipe'],
      }),
  }
}

export interface Heard {
  /** Everything said so far. */
  text(): string
  /** Waits until that has been said; fails with what was said instead. */
  until(words: RegExp): Promise<RegExpExecArray>
}

export function heard(child: ChildProcess): Heard {
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      text += chunk
    })
  return {
    text: () => text,
    async until(words) {
      try {
        return await until(async () => words.exec(text) ?? undefined)
      } catch (cause) {
        throw new Error(`waited for ${words} and heard ${JSON.stringify(text)}`, { cause })
      }
    },
  }
}

export async function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
  return await new Promise((resolve) => child.once('exit', (code) => resolve(code)))
}
