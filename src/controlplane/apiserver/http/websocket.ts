// An answer without an end of its own (a watch, a log) as messages of a WebSocket, for clients that have nothing else: browsers.
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { HttpRequest, HttpResponse } from '../../../lib/index.js'

export const asksForWebSocket = ({ headers, method }: HttpRequest): boolean =>
  method === 'GET' && headers.upgrade?.toLowerCase() === 'websocket' && headers['sec-websocket-key'] !== undefined

/** Lines of an answer, each whole. */
async function* linesOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let rest = ''
  const decoder = new TextDecoder()
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    yield* lines
  }
  if (rest) yield rest
}

const PROTOCOLS = ['binary.k8s.io', 'base64.binary.k8s.io']

/**
 * Accepts the socket and sends the body: a watch as one text message an event, everything else in pieces, binary or, if the client
 * wants `base64.binary.k8s.io`, as text. Resolves when either side has ended.
 */
export async function sendOverWebSocket(
  request: HttpRequest,
  socket: Duplex,
  head: Uint8Array,
  { body, events }: Pick<HttpResponse, 'body'> & { readonly events: boolean },
): Promise<void> {
  const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((word) => word.trim())
  const protocol = PROTOCOLS.find((name) => offered.includes(name)) ?? ''
  const { WebSocketServer } = await import('ws')
  const server = new WebSocketServer({ noServer: true, perMessageDeflate: false, handleProtocols: () => protocol || false })
  const client = await new Promise<WebSocket>((resolve) =>
    server.handleUpgrade(request as unknown as IncomingMessage, socket, Buffer.from(head), resolve),
  )
  const closed = new Promise<void>((resolve) => client.once('close', () => resolve()))
  client.on('error', () => client.terminate())
  /** Waits until the message is on its way: a slow client makes the source wait, or is cut off by it. */
  const send = (message: string | Uint8Array): Promise<void> =>
    new Promise((resolve, reject) => client.send(message, (error) => (error ? reject(error) : resolve())))
  const chunks = body instanceof Uint8Array ? [body] : body
  const iterator = (events ? linesOf(chunks as AsyncIterable<Uint8Array>) : chunks) as AsyncIterable<string | Uint8Array>
  const pump = async (): Promise<void> => {
    if (!events) await send('')
    for await (const piece of iterator)
      await send(typeof piece === 'string' || protocol !== PROTOCOLS[1] ? piece : Buffer.from(piece).toString('base64'))
    client.close(1000)
  }
  // A source that breaks off breaks the connection off: a WebSocket has no other way to say it.
  await Promise.race([pump().catch(() => client.terminate()), closed])
  await closed
}
