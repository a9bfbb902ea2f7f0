// Runs in a container: speaks http on 8080, https on 8443, gRPC health on 9090 and TCP on 7070, as files in /shared say.
// `bad-http`, `bad-https`, `bad-grpc`, `bad-tcp` make that one fail; what was asked over http is written to /shared/requests.
import { appendFileSync, existsSync, readFileSync, watch } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { createServer as createTcpServer, type Server as TcpServer } from 'node:net'
import { Server, ServerCredentials } from '@grpc/grpc-js'

const isBad = (what: string): boolean => existsSync(`/shared/bad-${what}`)

const answer =
  (what: string) =>
  (request: IncomingMessage, response: ServerResponse): void => {
    const agent = request.headers['user-agent'] ?? ''
    appendFileSync('/shared/requests', `${what} ${request.method} ${request.url} ${agent} ${request.headers['x-test'] ?? ''}\n`)
    if (request.url === '/slow') return
    if (request.url === '/elsewhere') response.writeHead(302, { location: 'http://192.0.2.1/' })
    else if (request.url === '/moved') response.writeHead(302, { location: '/ok' })
    else response.writeHead(isBad(what) ? 500 : 200)
    response.end('seen')
  }

createServer(answer('http')).listen(8080)
createSecureServer({ cert: readFileSync('/tls/tls.crt'), key: readFileSync('/tls/tls.key') }, answer('https')).listen(8443)

const health = {
  check: {
    path: '/grpc.health.v1.Health/Check',
    requestStream: false,
    responseStream: false,
    requestSerialize: (bytes: Buffer) => bytes,
    requestDeserialize: (bytes: Buffer) => bytes,
    responseSerialize: (bytes: Buffer) => bytes,
    responseDeserialize: (bytes: Buffer) => bytes,
  },
} as const
const grpc = new Server()
grpc.addService(health, {
  check(call: { request: Buffer }, done: (error: null, answer: Buffer) => void) {
    appendFileSync('/shared/requests', `grpc ${call.request.toString('utf8', 2)}\n`)
    // NOT_SERVING or SERVING
    done(null, Buffer.from([8, isBad('grpc') ? 2 : 1]))
  },
})
grpc.bindAsync('0.0.0.0:9090', ServerCredentials.createInsecure(), () => {})

let tcp: TcpServer | undefined
function listen(): void {
  if (isBad('tcp')) {
    tcp?.close()
    tcp = undefined
  } else tcp ??= createTcpServer((socket) => socket.end()).listen(7070)
}
listen()
watch('/shared', listen)
process.on('SIGTERM', () => process.exit(0))
