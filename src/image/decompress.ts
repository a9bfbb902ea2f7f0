// Streams that decompress a layer, by what is fastest here (README, "decompression").
import { spawn } from 'node:child_process'
import { Duplex, PassThrough, Transform } from 'node:stream'
import zlib from 'node:zlib'
import { Decompress } from 'fzstd'
import type { Compression } from './manifest.js'

/** With Node's 16 KiB the calls cost more than the inflating. */
const CHUNK = 512 * 1024

/** `createZstdDecompress` came with Node 22.15; types of Node 20 do not know it. */
const nativeZstd = (zlib as unknown as { createZstdDecompress?: (options: { chunkSize: number }) => Duplex }).createZstdDecompress

/** zstd in plain JavaScript: the last resort. */
function plainZstd(): Duplex {
  const decoder = new Decompress()
  return new Transform({
    readableHighWaterMark: CHUNK,
    construct(done) {
      decoder.ondata = (bytes) => {
        if (bytes.length > 0) this.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length))
      }
      done()
    },
    transform(chunk: Buffer, _encoding, done) {
      try {
        decoder.push(chunk)
        done()
      } catch (error) {
        done(new Error('damaged zstd data', { cause: error }))
      }
    },
    flush(done) {
      try {
        decoder.push(new Uint8Array(0), true)
        done()
      } catch (error) {
        done(new Error('damaged zstd data', { cause: error }))
      }
    },
  })
}

/** zstd's own program as a stream; when it is not installed, the plain one. */
function programZstd(): Duplex {
  const child = spawn('zstd', ['-dcq', '--no-progress'], { stdio: ['pipe', 'pipe', 'ignore'] })
  const output = new PassThrough({ highWaterMark: CHUNK })
  child.stdout.pipe(output, { end: false })
  const duplex = Duplex.from({ writable: child.stdin, readable: output })
  child.on('error', (error) => duplex.destroy(error))
  child.on('close', (code) => (code === 0 ? output.end() : output.destroy(new Error('damaged zstd data'))))
  duplex.on('close', () => child.exitCode ?? child.kill('SIGKILL'))
  return duplex
}

export interface DecompressOptions {
  /** Whether a `zstd` program can be run. */
  readonly zstdProgram: boolean
}

export function decompressor(compression: Compression, { zstdProgram }: DecompressOptions): Duplex {
  if (compression === 'none') return new PassThrough({ highWaterMark: CHUNK })
  if (compression === 'gzip') return zlib.createGunzip({ chunkSize: CHUNK, highWaterMark: CHUNK } as zlib.ZlibOptions)
  if (nativeZstd) return nativeZstd({ chunkSize: CHUNK })
  return zstdProgram ? programZstd() : plainZstd()
}
