// SPDY/3.1 as kubectl, the API server and runtimes speak it: streams in one connection, each announced with headers.
// No flow control towards the client: Go's implementation never opens its window again, and the connection below it waits anyway.
import { Duplex } from 'node:stream'
import { constants, createDeflate, createInflate, type Deflate, type Inflate } from 'node:zlib'
import { ByteReader, ByteWriter } from '../../lib/index.js'
import { spdyDictionary } from './spdy-dictionary.js'

const SYN_STREAM = 1
const SYN_REPLY = 2
const RST_STREAM = 3
const PING = 6
const GOAWAY = 7
const HEADERS = 8
const FLAG_FIN = 1
const VERSION = 3
const HEAD = 8
/** Frames longer than this are no frames of a client of ours. */
const MAX_FRAME = 16 * 1024 * 1024
const MAX_HEADERS = 64 * 1024
/** Data frames sent to the client carry at most this much. */
const CHUNK = 32 * 1024

export type SpdyHeaders = Readonly<Record<string, string>>

/** What the far end sends can be read, what is written goes to it. */
export interface SpdyStream extends Duplex {
  readonly id: number
  readonly headers: SpdyHeaders
  /** Ends it both ways at once. */
  reset(): void
}

interface LiveStream extends SpdyStream {
  isFinished(): boolean
  finish(): void
}

export interface SpdySession {
  readonly closed: Promise<void>
  /** For the end that called: a stream of its own. */
  open(headers: SpdyHeaders): Promise<SpdyStream>
  close(): void
}

export interface SpdyHandlers {
  /** The far end has opened a stream. */
  readonly stream: (stream: SpdyStream) => void
}

function controlFrame(type: number, flags: number, payload: Uint8Array): Buffer {
  return Buffer.from(
    new ByteWriter()
      .u16(0x8000 | VERSION)
      .u16(type)
      .u32(((flags << 24) | payload.length) >>> 0)
      .raw(payload)
      .done(),
  )
}

function dataFrame(id: number, flags: number, payload: Uint8Array): Buffer {
  return Buffer.from(
    new ByteWriter({ capacity: HEAD + payload.length })
      .u32(id)
      .u32(((flags << 24) | payload.length) >>> 0)
      .raw(payload)
      .done(),
  )
}

/** Number of pairs, then name and value, each after its length; names are lower case, several values are joined by NUL. */
export function decodeHeaders(block: Uint8Array): SpdyHeaders {
  const reader = new ByteReader(block)
  const headers: Record<string, string> = {}
  const text = (): string => reader.take(reader.u32()).toString('utf8')
  for (let left = reader.u32(); left > 0; left--) {
    const name = text().toLowerCase()
    headers[name] = text().split('\0')[0] ?? ''
  }
  return headers
}

export function encodeHeaders(headers: SpdyHeaders): Buffer {
  const writer = new ByteWriter()
  const entries = Object.entries(headers)
  writer.u32(entries.length)
  for (const [name, value] of entries)
    for (const word of [name, value]) {
      const bytes = Buffer.from(word)
      writer.u32(bytes.length).raw(bytes)
    }
  return Buffer.from(writer.done())
}

/** Feeds one block to a zlib stream that lives as long as the connection, and collects what comes out. */
function through(codec: Deflate | Inflate, input: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const out: Buffer[] = []
    let length = 0
    const onData = (chunk: Buffer): void => {
      out.push(chunk)
      length += chunk.length
      if (length > MAX_HEADERS) done(new Error('spdy: headers are too long'))
    }
    const done = (error?: Error | null): void => {
      codec.off('data', onData)
      codec.off('error', done)
      if (error) reject(error)
      else resolve(Buffer.concat(out))
    }
    codec.on('data', onData)
    codec.once('error', done)
    codec.write(input, (error) => (error ? done(error) : codec.flush(constants.Z_SYNC_FLUSH, () => setImmediate(done))))
  })
}

/** Runs the protocol on a connection until either side ends it. */
export function speakSpdy(connection: Duplex, head: Uint8Array, handlers: SpdyHandlers): SpdySession {
  const inflate = createInflate({ dictionary: spdyDictionary, finishFlush: constants.Z_SYNC_FLUSH })
  const deflate = createDeflate({ dictionary: spdyDictionary })
  const streams = new Map<number, LiveStream>()
  let buffered: Buffer = Buffer.from(head)
  let settle!: () => void
  const closed = new Promise<void>((resolve) => {
    settle = resolve
  })

  const send = (frame: Buffer, sent?: () => void): void => {
    if (connection.destroyed || connection.writableEnded) sent?.()
    else connection.write(frame, () => sent?.())
  }

  function open(id: number, headers: SpdyHeaders, finished: boolean): SpdyStream {
    const half = { in: finished, out: false }
    const forgetWhenDone = (): void => {
      if (half.in && half.out) streams.delete(id)
    }
    const duplex = new Duplex({
      allowHalfOpen: true,
      read() {
        connection.resume()
      },
      write(chunk: Buffer, _encoding, done) {
        for (let at = 0; at < chunk.length; at += CHUNK) {
          const part = chunk.subarray(at, at + CHUNK)
          send(dataFrame(id, 0, part), at + CHUNK >= chunk.length ? () => done() : undefined)
        }
        if (chunk.length === 0) done()
      },
      final(done) {
        half.out = true
        send(dataFrame(id, FLAG_FIN, Buffer.alloc(0)), () => done())
        forgetWhenDone()
      },
    })
    const stream = Object.assign(duplex, {
      id,
      headers,
      isFinished: () => half.in,
      finish(): void {
        half.in = true
        duplex.push(null)
        forgetWhenDone()
      },
      reset(): void {
        streams.delete(id)
        send(controlFrame(RST_STREAM, 0, new ByteWriter().u32(id).u32(5).done()))
        duplex.destroy()
      },
    })
    duplex.on('error', () => {})
    streams.set(id, stream)
    if (finished) duplex.push(null)
    return stream
  }

  async function control(type: number, flags: number, payload: Buffer): Promise<void> {
    const reader = new ByteReader(payload)
    if (type === SYN_STREAM) {
      const id = reader.u32() & 0x7fffffff
      reader.skip(6)
      const headers = decodeHeaders(await through(inflate, reader.take(reader.remaining)))
      const stream = open(id, headers, (flags & FLAG_FIN) !== 0)
      const block = await through(deflate, encodeHeaders({}))
      send(controlFrame(SYN_REPLY, 0, Buffer.concat([new ByteWriter().u32(id).done(), block])))
      handlers.stream(stream)
    } else if (type === RST_STREAM) {
      const id = reader.u32() & 0x7fffffff
      streams.get(id)?.destroy()
      streams.delete(id)
    } else if (type === PING) send(controlFrame(PING, 0, payload))
    else if (type === GOAWAY) end()
    // SETTINGS, HEADERS and WINDOW_UPDATE change nothing here, but headers move the decompressor on.
    else if (type === HEADERS || type === SYN_REPLY) await through(inflate, payload.subarray(4))
  }

  let nextId = 1
  let opening: Promise<unknown> = Promise.resolve()
  /** One after the other: each block of headers continues the compression of the one before. */
  function openHere(headers: SpdyHeaders): Promise<SpdyStream> {
    const opened = opening.then(async () => {
      const id = nextId
      nextId += 2
      const stream = open(id, headers, false)
      const block = await through(deflate, encodeHeaders(headers))
      send(controlFrame(SYN_STREAM, 0, Buffer.concat([new ByteWriter().u32(id).u32(0).u16(0).done(), block])))
      return stream
    })
    opening = opened.catch(() => {})
    return opened
  }

  function data(id: number, flags: number, payload: Buffer): void {
    const stream = streams.get(id)
    if (!stream) return
    if (payload.length > 0 && !stream.push(Buffer.from(payload))) connection.pause()
    if (flags & FLAG_FIN) stream.finish()
  }

  async function readFrames(): Promise<void> {
    while (buffered.length >= HEAD) {
      const word = buffered.readUInt32BE(0)
      const flags = buffered.readUInt8(4)
      const length = buffered.readUIntBE(5, 3)
      if (length > MAX_FRAME) throw new Error(`spdy: frame of ${length} bytes`)
      if (buffered.length < HEAD + length) return
      const payload = buffered.subarray(HEAD, HEAD + length)
      buffered = buffered.subarray(HEAD + length)
      if (word & 0x80000000) await control(word & 0xffff, flags, payload)
      else data(word & 0x7fffffff, flags, payload)
    }
  }

  /** A stream that has been sent to its end is still to be read to its end; what was cut short is not. */
  function letGo(): void {
    for (const stream of streams.values()) {
      if (stream.isFinished()) stream.end()
      else stream.destroy()
    }
    streams.clear()
  }

  function end(): void {
    letGo()
    inflate.close()
    deflate.close()
    if (!connection.destroyed) connection.end()
    settle()
  }

  let busy: Promise<void> = Promise.resolve()
  const feed = (chunk: Buffer): void => {
    busy = busy
      .then(async () => {
        buffered = buffered.length > 0 ? Buffer.concat([buffered, chunk]) : chunk
        await readFrames()
      })
      .catch(() => {
        connection.destroy()
        settle()
      })
  }
  connection.on('data', feed)
  connection.once('error', () => settle())
  // What has come is read before the streams are let go: headers are decompressed in their own time.
  connection.once('close', () => {
    void busy.then(() => {
      letGo()
      settle()
    })
  })
  connection.once('end', () => void busy.then(end))
  if (buffered.length > 0) feed(Buffer.alloc(0))
  return { closed, open: openHere, close: end }
}
