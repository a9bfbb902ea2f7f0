// exec, attach and port-forward of a runtime behind gRPC: it gives an address, and the streams are channels of a WebSocket there.
import { Duplex, PassThrough, type Readable, Writable } from 'node:stream'
import WebSocket from 'ws'
import { CriError, type StdioSession, type TerminalSize } from '../../cri/index.js'
import { deferred } from '../../lib/index.js'

const PROTOCOLS = ['v5.channel.k8s.io', 'v4.channel.k8s.io']
const CLOSE_SIGNAL = 255

function connect(url: string): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url.replace(/^http/, 'ws'), PROTOCOLS, { perMessageDeflate: false })
    socket.once('open', () => {
      // Nothing is read before somebody listens.
      socket.pause()
      resolve(socket)
    })
    socket.once('error', (error) =>
      reject(new CriError('UNAVAILABLE', `the runtime's stream at ${url} cannot be opened`, { cause: error })),
    )
  })
}

const send = (socket: WebSocket, channel: number, bytes: Uint8Array, done: (error?: Error | null) => void): void => {
  if (socket.readyState !== WebSocket.OPEN) done()
  else socket.send(Buffer.concat([Buffer.from([channel]), bytes]), { binary: true }, (error) => done(error ?? null))
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
  /** The last message of the error channel, when the connection has ended. */
  readonly status: Promise<string>
}

interface Wanted {
  readonly stdin?: boolean
  readonly stdout?: boolean
  readonly stderr?: boolean
}

export async function openStdio(url: string, wanted: Wanted): Promise<RemoteStdio> {
  const socket = await connect(url)
  const status = deferred<string>()
  const outputs = new Map<number, PassThrough>()
  if (wanted.stdout) outputs.set(1, new PassThrough())
  if (wanted.stderr) outputs.set(2, new PassThrough())
  let last = ''
  socket.on('message', (message: Buffer) => {
    const [channel = 0] = message
    if (message.length < 2) return
    if (channel === 3) last += message.toString('utf8', 1)
    const output = outputs.get(channel)
    if (output && !output.write(message.subarray(1))) {
      socket.pause()
      output.once('drain', () => socket.resume())
    }
  })
  socket.on('error', () => socket.terminate())
  socket.once('close', () => {
    for (const output of outputs.values()) output.end()
    status.resolve(last)
  })
  socket.resume()
  const stdin = wanted.stdin
    ? new Writable({
        write: (chunk: Buffer, _encoding, done) => send(socket, 0, chunk, done),
        // Only v5 can say that input has ended; with v4 the process reads on until the connection closes.
        final: (done) => (socket.protocol.startsWith('v5.') ? send(socket, CLOSE_SIGNAL, Buffer.from([0]), done) : done()),
      })
    : undefined
  const stdout: Readable | undefined = outputs.get(1)
  const stderr: Readable | undefined = outputs.get(2)
  return {
    ...(stdin ? { stdin } : {}),
    ...(stdout ? { stdout } : {}),
    ...(stderr ? { stderr } : {}),
    resize({ width, height }: TerminalSize) {
      send(socket, 4, Buffer.from(JSON.stringify({ Width: width, Height: height })), () => {})
    },
    close: () => socket.close(),
    status: status.promise,
  }
}

/** Channel 0 carries the bytes, channel 1 what went wrong; both begin with the port. */
export async function openPort(url: string): Promise<Duplex> {
  const socket = await connect(url)
  const greeted = new Set<number>()
  const duplex = new Duplex({
    read: () => socket.resume(),
    write: (chunk: Buffer, _encoding, done) => send(socket, 0, chunk, done),
    final(done) {
      socket.close()
      done()
    },
  })
  socket.on('message', (message: Buffer) => {
    const [channel = 0] = message
    // Go's servers greet with an empty message, and then with the port.
    if (!greeted.has(channel)) {
      if (message.length > 1) greeted.add(channel)
      return
    }
    if (channel === 1) duplex.destroy(new CriError('UNAVAILABLE', message.toString('utf8', 1)))
    else if (message.length > 1 && !duplex.push(message.subarray(1))) socket.pause()
  })
  socket.once('close', () => {
    duplex.push(null)
    duplex.destroy()
  })
  socket.on('error', (error) => duplex.destroy(error))
  socket.resume()
  return duplex
}
