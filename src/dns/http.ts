// The HTTP endpoints of DNS: /health, /ready and /metrics on the ports that the Corefile names.
import { createServer, type RequestListener, type Server } from 'node:http'

/** What is answered by path: status and text. */
export type Pages = ReadonlyMap<string, () => { readonly status: number; readonly text: string }>

export function servePages(host: string, port: number, pages: () => Pages): Promise<Server> {
  const answer: RequestListener = (request, response) => {
    const page = pages().get(request.url?.split('?')[0] ?? '')?.()
    response.writeHead(page?.status ?? 404, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' })
    response.end(page?.text ?? '')
  }
  const server = createServer(answer)
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ port, host }, () => resolve(server))
  })
}
