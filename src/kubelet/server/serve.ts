// TLS and HTTP/1.1 around the node API.

import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Kubelet, NodeApiTls } from '../options.js'
import { toRequest } from './node-api.js'

export interface NodeApiServer {
  readonly port: number
  /** New connections get this certificate. */
  setCertificate(pair: Pick<NodeApiTls, 'cert' | 'key'>): void
  close(): Promise<void>
}

async function answer(kubelet: Kubelet, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const gone = new AbortController()
  outgoing.once('close', () => gone.abort(new Error('the client has gone')))
  const response = await kubelet.handler({ ...toRequest(incoming), body: incoming, signal: gone.signal })
  outgoing.writeHead(response.status, response.headers)
  if (response.body instanceof Uint8Array) {
    outgoing.end(response.body)
    return
  }
  // Followers see the header before the first line.
  outgoing.flushHeaders()
  try {
    for await (const chunk of response.body)
      if (!outgoing.write(chunk)) await Promise.race([once(outgoing, 'drain'), once(outgoing, 'close')])
    outgoing.end()
  } catch {
    outgoing.destroy()
  }
}

/** Listens until closed. `port` 0 takes a free one. */
export async function serveNodeApi(
  kubelet: Kubelet,
  { tls, host = '0.0.0.0', port = 10250 }: { readonly tls: NodeApiTls; readonly host?: string; readonly port?: number },
): Promise<NodeApiServer> {
  const clients = tls.clientCa ? { ca: tls.clientCa } : {}
  const server = createServer({
    cert: tls.cert,
    key: tls.key,
    ...clients,
    ...(tls.clientCa ? { requestCert: true, rejectUnauthorized: false } : {}),
  })
  const sockets = new Set<{ destroy(): void }>()
  server.on('secureConnection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  server.on('request', (incoming, outgoing) => {
    answer(kubelet, incoming, outgoing).catch(() => outgoing.destroy())
  })
  server.on('upgrade', (incoming, socket, head) => kubelet.upgrade(incoming, socket, head))
  server.on('tlsClientError', (_error, socket) => socket.destroy())
  server.listen(port, host)
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    setCertificate: ({ cert, key }) => server.setSecureContext({ cert, key, ...clients }),
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
