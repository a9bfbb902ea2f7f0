// A CRI client as others write one: grpc-js on the socket.
import { type CallOptions, type Client, credentials, makeGenericClientConstructor, type ServiceError } from '@grpc/grpc-js'
import type { Message } from '../../src/cri/grpc/codec.js'
import { serviceDefinition } from '../../src/cri/grpc/server.js'

export interface CriClient {
  call(method: string, request?: Message, options?: CallOptions): Promise<Message>
  /** All that a streaming method answers. */
  stream(method: string, request?: Message): Promise<readonly Message[]>
  events(listener: (event: Message) => void): () => void
  close(): void
}

type Calls = Client & Readonly<Record<string, (...args: unknown[]) => unknown>>

/** Of a socket's path. Errors are grpc-js's ServiceError, with `code` and `details`. */
export function criClient(socket: string): CriClient {
  const make = (service: string): Calls => {
    const Constructor = makeGenericClientConstructor(serviceDefinition(service), service)
    return new Constructor(`unix://${socket}`, credentials.createInsecure()) as unknown as Calls
  }
  const runtime = make('RuntimeService')
  const image = make('ImageService')
  return {
    call: (method, request = {}, options = {}) =>
      new Promise((resolve, reject) => {
        const client = runtime[method] ? runtime : image
        const done = (error: ServiceError | null, value: Message): void => (error ? reject(error) : resolve(value))
        client[method]?.call(client, request, options, done)
      }),
    async stream(method, request = {}) {
      const client = runtime[method] ? runtime : image
      const messages: Message[] = []
      const call = client[method]?.call(client, request) as AsyncIterable<Message> | undefined
      for await (const message of call ?? []) messages.push(message)
      return messages
    },
    events(listener) {
      const stream = runtime.GetContainerEvents?.call(runtime, {}) as NodeJS.ReadableStream & { cancel(): void }
      stream.on('data', listener)
      stream.on('error', () => {})
      return () => stream.cancel()
    },
    close() {
      runtime.close()
      image.close()
    },
  }
}
