// The CRI on a unix socket, as CRI v1 over gRPC: for kubelets that are not ours, and for crictl.
import { chmodSync, mkdirSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import type { Logger } from '../../lib/index.js'
import { CRI_CODES, CriError, sentence } from '../errors.js'
import type { Cri } from '../types.js'
import { type Codec, createCodec, type Message } from './codec.js'
import { imageMethods, imageStreams, runtimeMethods, runtimeStreams, type StreamUrls } from './methods.js'
import { criProto } from './proto.js'
import { type Method, parseSchema } from './schema.js'

export interface GrpcOptions {
  readonly cri: Cri
  readonly urls: StreamUrls
  /** `/run/knarr/cri.sock`. One that is left over from an earlier daemon is replaced. */
  readonly socket: string
  readonly log: Logger
}

export interface GrpcServer {
  close(): Promise<void>
}

/** The definition of a service for grpc-js: client and server take the same. */
export function serviceDefinition(service: string): ServiceDefinition {
  const schema = parseSchema(criProto)
  const codec: Codec = createCodec(schema)
  const define = ({ name, request, response, serverStreaming }: Method) => ({
    path: `/${schema.package}.${service}/${name}`,
    requestStream: false,
    responseStream: serverStreaming,
    originalName: name,
    requestSerialize: (value: Message) => codec.encode(request, value),
    requestDeserialize: (bytes: Buffer) => codec.decode(request, bytes),
    responseSerialize: (value: Message) => codec.encode(response, value),
    responseDeserialize: (bytes: Buffer) => codec.decode(response, bytes),
  })
  return Object.fromEntries((schema.services.get(service) ?? []).map((method) => [method.name, define(method)]))
}

const failure = (error: unknown): { code: number; details: string } =>
  error instanceof CriError
    ? { code: CRI_CODES[error.code], details: sentence(error) }
    : { code: error instanceof RangeError ? CRI_CODES.INVALID_ARGUMENT : CRI_CODES.UNKNOWN, details: sentence(error) }

type Methods = ReturnType<typeof runtimeMethods>
type Streams = ReturnType<typeof runtimeStreams>

function unary(name: string, run: Methods[string] | undefined, log: Logger): handleUnaryCall<Message, Message> {
  return (call, callback) => {
    const gone = new AbortController()
    call.on('cancelled', () => gone.abort(new CriError('CANCELLED', `${name}: the caller went away`)))
    const answer = run
      ? run(call.request, { signal: gone.signal })
      : Promise.reject(new CriError('UNIMPLEMENTED', `${name} is not implemented`))
    answer.then(
      (value) => callback(null, value),
      (error) => {
        log.debug('a call failed', { call: name, err: error })
        callback(failure(error))
      },
    )
  }
}

function streaming(name: string, run: Streams[string] | undefined, log: Logger): handleServerStreamingCall<Message, Message> {
  return (call) => {
    const gone = new AbortController()
    for (const end of ['cancelled', 'close', 'error']) call.on(end, () => gone.abort())
    const pump = async (): Promise<void> => {
      if (!run) throw new CriError('UNIMPLEMENTED', `${name} is not implemented`)
      for await (const message of run(call.request, { signal: gone.signal })) {
        if (!call.write(message)) await new Promise<void>((resolve) => call.once('drain', resolve))
      }
      call.end()
    }
    pump().catch((error) => {
      log.debug('a stream failed', { call: name, err: error })
      call.emit('error', failure(error))
    })
  }
}

const implementation = (definition: ServiceDefinition, methods: Methods, streams: Streams, log: Logger): UntypedServiceImplementation =>
  Object.fromEntries(
    Object.entries(definition).map(([name, { responseStream }]) => [
      name,
      responseStream ? streaming(name, streams[name], log) : unary(name, methods[name], log),
    ]),
  )

/** Listens; only root may connect. */
export async function serveCri({ cri, urls, socket, log }: GrpcOptions): Promise<GrpcServer> {
  const server = new Server({ 'grpc.max_receive_message_length': 16 * 1024 * 1024, 'grpc.max_send_message_length': 64 * 1024 * 1024 })
  const runtime = serviceDefinition('RuntimeService')
  const image = serviceDefinition('ImageService')
  server.addService(runtime, implementation(runtime, runtimeMethods(cri, urls), runtimeStreams(cri), log))
  server.addService(image, implementation(image, imageMethods(cri), imageStreams(cri), log))
  mkdirSync(dirname(socket), { recursive: true, mode: 0o700 })
  rmSync(socket, { force: true })
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix://${socket}`, ServerCredentials.createInsecure(), (error) => (error ? reject(error) : resolve()))
  })
  chmodSync(socket, 0o600)
  return {
    close: () =>
      new Promise((resolve) => {
        server.tryShutdown(() => resolve())
        server.forceShutdown()
      }),
  }
}
