// exec, attach and the old run: a client's streams joined to a process's.
import type { IncomingMessage } from 'node:http'
import type { Duplex, Readable, Writable } from 'node:stream'
import { explain } from '../../lib/index.js'
import type { Cri, StdioSession } from '../types.js'
import { type RemoteClient, type RemoteStatus, remoteClient, type StreamsWanted } from './remote.js'

const truthy = (value: string | null): boolean => value === '1' || value === 'true'

/** `input`, `output`, `error`, `tty` as the API server passes them on; `stdin` … as clients of the API write them. */
export function streamsWanted(query: URLSearchParams): StreamsWanted {
  const any = (...names: readonly string[]): boolean => names.some((name) => truthy(query.get(name)))
  return { stdin: any('input', 'stdin'), stdout: any('output', 'stdout'), stderr: any('error', 'stderr'), tty: any('tty') }
}

/** Settles when everything that can be read has been written. A reader that goes away does not stop the process. */
function pump(from: Readable | undefined, to: Writable | undefined): Promise<void> {
  if (!from) return Promise.resolve()
  if (!to) {
    from.resume()
    return Promise.resolve()
  }
  return new Promise((resolve) => {
    from.on('error', () => resolve())
    to.on('error', () => {
      from.unpipe(to)
      from.resume()
    })
    from.once('end', resolve)
    from.once('close', resolve)
    from.pipe(to, { end: false })
  })
}

function connect(session: StdioSession, client: RemoteClient): Promise<unknown> {
  const { stdin } = session
  if (stdin && client.stdin) {
    stdin.on('error', () => {})
    client.stdin.pipe(stdin)
  }
  client.onResize((size) => session.resize(size))
  return Promise.all([pump(session.stdout, client.stdout), pump(session.stderr, client.stderr)])
}

const flushed = (stream: Writable | undefined): Promise<void> =>
  !stream || stream.destroyed ? Promise.resolve() : new Promise((resolve) => stream.end(() => resolve()))

export interface RemoteCommand {
  readonly cri: Cri
  readonly containerId: string
  readonly request: IncomingMessage
  readonly socket: Duplex
  readonly head: Buffer
  readonly wanted: StreamsWanted
}

async function finish(client: RemoteClient, status: RemoteStatus): Promise<void> {
  await Promise.all([flushed(client.stdout), flushed(client.stderr)])
  await client.finish(status)
}

export async function exec(command: RemoteCommand, cmd: readonly string[]): Promise<void> {
  const { cri, containerId, wanted } = command
  const client = await remoteClient(command.request, command.socket, command.head, wanted)
  if (!client) return
  try {
    const { stdin, stdout, stderr, tty } = wanted
    const session = await cri.exec({ containerId, cmd, stdin, stdout, stderr: stderr && !tty, tty })
    void client.closed.then(() => session.close())
    const output = connect(session, client)
    const { exitCode } = await session.exit
    await output
    session.close()
    await finish(client, exitCode === 0 ? { kind: 'success' } : { kind: 'exit', code: exitCode })
  } catch (error) {
    await finish(client, { kind: 'error', message: `error executing command in container: ${explain(error)}` })
  }
}

export async function attach(command: RemoteCommand): Promise<void> {
  const { cri, containerId, wanted } = command
  const client = await remoteClient(command.request, command.socket, command.head, wanted)
  if (!client) return
  try {
    const { stdin, stdout, stderr, tty } = wanted
    const session = await cri.attach({ containerId, stdin, stdout, stderr: stderr && !tty, tty })
    void client.closed.then(() => session.close())
    const output = connect(session, client)
    await session.done
    await Promise.race([output, client.closed])
    session.close()
    await finish(client, { kind: 'success' })
  } catch (error) {
    await finish(client, { kind: 'error', message: `error attaching to container: ${explain(error)}` })
  }
}
