// exec, attach and port-forward of a runtime behind gRPC: it gives an address, and what is carried are SPDY streams of a connection to it.
// (SPDY, because every runtime speaks it, and because only there input can end while output goes on.)
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { Duplex } from 'node:stream'
import { CriError, type SpdySession, type StdioSession, speakSpdy, type TerminalSize } from '../../cri/index.js'
import { deferred } from '../../lib/index.js'

function connect(url: string, protocol: string): Promise<SpdySession> {
  return new Promise((resolve, reject) => {
    const failed = (cause: unknown): void =>
      reject(new CriError('UNAVAILABLE', `the runtime's stream at ${url} cannot be opened`, { cause }))
    const headers = { connection: 'Upgrade', upgrade: 'SPDY/3.1', 'x-stream-protocol-version': protocol }
    const options = { method: 'POST', headers, agent: false, rejectUnauthorized: false }
    const request = url.startsWith('https:') ? httpsRequest(url, options) : httpRequest(url, options)
    request.once('upgrade', (_response, socket, head) => {
      socket.on('error', () => socket.destroy())
      resolve(speakSpdy(socket, head, { stream: (stream) => stream.reset() }))
    })
    request.once('response', (response) => {
      response.resume()
      failed(new Error(`HTTP status ${response.statusCode}`))
    })
    request.once('error', failed)
    request.end()
  })
}

/** The exit code in the Status that comes last; 0 for Success and for silence. */
export function exitCodeOf(status: string): number {
  if (status === '') return 0
  const parsed = JSON.parse(status) as { status?: string; message?: string; details?: { causes?: { reason?: string; message?: string }[] } }
  if (parsed.status === 'Success') return 0
  const code = parsed.details?.causes?.find(({ reason }) => reason === 'ExitCode')?.message
  if (code === undefined) throw new CriError('UNKNOWN', parsed.message ?? status)
  return Number(code)
}

export interface RemoteStdio extends StdioSession {
  /** What the error stream has said, when it has ended. */
  readonly status: Promise<string>
}

interface Wanted {
  readonly stdin?: boolean
  readonly stdout?: boolean
  readonly stderr?: boolean
  readonly tty?: boolean
}

/** All that a stream says until it ends, or is cut off with its connection: which has ended before the last words are read. */
function wordsOf(stream: Duplex): Promise<string> {
  const said = deferred<string>()
  let text = ''
  stream.on('data', (chunk: Buffer) => {
    text += chunk
  })
  stream.once('end', () => said.resolve(text))
  stream.once('close', () => said.resolve(text))
  return said.promise
}

export async function openStdio(url: string, wanted: Wanted): Promise<RemoteStdio> {
  const session = await connect(url, 'v4.channel.k8s.io')
  const open = async (streamtype: string, asked = true): Promise<Duplex | undefined> =>
    asked ? await session.open({ streamtype }) : undefined
  const status = wordsOf((await open('error')) as Duplex)
  const stdin = await open('stdin', wanted.stdin)
  const stdout = await open('stdout', wanted.stdout)
  const stderr = await open('stderr', wanted.stderr && !wanted.tty)
  const resize = await open('resize', wanted.tty)
  // The connection has no more to carry when both have been told to the end.
  void status.then(() => {
    for (const stream of [stdin, resize]) stream?.end()
    if (!stdout && !stderr) session.close()
  })
  return {
    ...(stdin ? { stdin } : {}),
    ...(stdout ? { stdout } : {}),
    ...(stderr ? { stderr } : {}),
    resize({ width, height }: TerminalSize) {
      resize?.write(`${JSON.stringify({ Width: width, Height: height })}\n`)
    },
    close: () => session.close(),
    status,
  }
}

/** One connection to a port: an error stream that says nothing when all is well, and one for the bytes. */
export async function openPort(url: string, port: number): Promise<Duplex> {
  const session = await connect(url, 'portforward.k8s.io')
  const headers = { port: String(port), requestid: '0' }
  const error = await session.open({ ...headers, streamtype: 'error' })
  const data = await session.open({ ...headers, streamtype: 'data' })
  error.end()
  void wordsOf(error).then((words) => {
    if (words !== '') data.destroy(new CriError('UNAVAILABLE', words))
  })
  // When the pod has said all, the connection is over.
  data.once('end', () => data.end())
  data.once('close', () => session.close())
  return data
}
