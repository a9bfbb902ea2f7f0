// port-forward: connections of a client to ports of a pod, over SPDY, over SPDY in WebSocket, or over WebSocket channels.
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { explain } from '../../lib/index.js'
import type { Cri } from '../types.js'
import { acceptSpdy } from './remote.js'
import { type SpdySession, type SpdyStream, speakSpdy } from './spdy.js'
import { acceptWebSocket, channelsOf, webSocketDuplex } from './websocket.js'

export interface PortForward {
  readonly cri: Cri
  readonly sandboxId: string
  readonly request: IncomingMessage
  readonly socket: Duplex
  readonly head: Buffer
  /** Ports named in the query: the form over WebSocket channels needs them at once. */
  readonly ports: readonly number[]
}

const PROTOCOL = 'portforward.k8s.io'
const TUNNEL = `SPDY/3.1+${PROTOCOL}`

/** Bytes both ways until both sides have ended; rejects when the pod's side cannot be reached. */
function join(client: Duplex, pod: Duplex): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      if (!pod.destroyed) pod.destroy()
      resolve()
    }
    client.pipe(pod)
    pod.pipe(client)
    pod.once('error', done)
    pod.once('close', resolve)
    client.once('error', done)
    client.once('close', done)
  })
}

async function forward({ cri, sandboxId }: PortForward, data: SpdyStream, error: SpdyStream, port: number): Promise<void> {
  let pod: Duplex
  try {
    pod = await cri.portForward(sandboxId, port)
  } catch (failure) {
    error.end(`error forwarding port ${port} to pod ${sandboxId}: ${explain(failure)}`)
    data.end()
    data.resume()
    return
  }
  error.end()
  await join(data, pod)
  if (!data.destroyed && !data.writableEnded) data.end()
}

/** Two streams with the same request id make one connection: `error`, then `data`. */
function pairStreams(spec: PortForward, connection: Duplex, head: Buffer): SpdySession {
  const waiting = new Map<string, SpdyStream>()
  return speakSpdy(connection, head, {
    stream(stream) {
      const { streamtype = '', port = '', requestid = String(stream.id) } = stream.headers
      const id = stream.headers.requestid ?? `${port}/${streamtype === 'data' ? stream.id - 2 : requestid}`
      const other = waiting.get(id)
      if (!other) {
        waiting.set(id, stream)
        stream.once('close', () => waiting.delete(id))
        return
      }
      waiting.delete(id)
      const [error, data] = streamtype === 'data' ? [other, stream] : [stream, other]
      const number = Number(port)
      if (!Number.isInteger(number) || number < 1 || number > 65535) {
        error.end(`invalid port ${port}`)
        data.end()
        return
      }
      void forward(spec, data, error, number)
    },
  })
}

/** Channel 2n carries the n-th port, 2n+1 its errors; each begins with the port in two bytes, little end first. */
async function overChannels(spec: PortForward, accepted: NonNullable<Awaited<ReturnType<typeof acceptWebSocket>>>): Promise<void> {
  const channels = channelsOf(accepted.socket, accepted.protocol)
  const pods: Duplex[] = []
  // Nothing is read before there is somewhere to put it.
  channels.pause()
  for (const [index, port] of spec.ports.entries()) {
    const name = Buffer.from([port & 0xff, port >> 8])
    await channels.send(index * 2, name)
    await channels.send(index * 2 + 1, name)
    try {
      const pod = await spec.cri.portForward(spec.sandboxId, port)
      pods.push(pod)
      pod.on('error', () => {})
      // The client hears of the end of the last one by the end of the connection: channels have none.
      pod.once('end', () => pod.end())
      pod.once('close', () => {
        if (pods.every(({ destroyed }) => destroyed)) channels.close()
      })
      pod.on('data', (chunk: Buffer) => void channels.send(index * 2, chunk))
      channels.onData(index * 2, (bytes) => {
        if (!pod.write(bytes)) {
          channels.pause()
          pod.once('drain', () => channels.resume())
        }
      })
    } catch (error) {
      await channels.send(index * 2 + 1, Buffer.from(explain(error)))
    }
  }
  channels.resume()
  await channels.closed
  for (const pod of pods) pod.destroy()
}

export async function portForward(spec: PortForward): Promise<void> {
  const { request, socket, head } = spec
  if (!/websocket/i.test(request.headers.upgrade ?? '')) {
    if (acceptSpdy(request, socket, [PROTOCOL]) !== undefined) await pairStreams(spec, socket, head).closed
    return
  }
  const protocols = [
    TUNNEL,
    'v5.channel.k8s.io',
    'v4.channel.k8s.io',
    'channel.k8s.io',
    'v4.base64.channel.k8s.io',
    'base64.channel.k8s.io',
  ]
  const accepted = await acceptWebSocket(request, socket, head, protocols)
  if (!accepted) {
    socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
    return
  }
  if (accepted.protocol === TUNNEL) await pairStreams(spec, webSocketDuplex(accepted.socket), Buffer.alloc(0)).closed
  else await overChannels(spec, accepted)
}
