// One layer from a growing file to a folder: digests of both sides, decompression and tar in one pass. Runs in a worker, or in place.
import { createHash } from 'node:crypto'
import { accessSync, closeSync, constants, fstatSync, mkdirSync, openSync, readSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Duplex } from 'node:stream'
import { type Deferred, deferred } from '../lib/index.js'
import { decompressor } from './decompress.js'
import { type Compression, compressionOf } from './manifest.js'
import { tarReader } from './tar-read.js'
import { layerWriter, type OpenEnds, tooLarge, type UnpackLimits } from './unpack.js'

export interface UnpackJob {
  /** The compressed layer; it may still be growing. */
  readonly file: string
  /** Where `fs` and `layer.json` are made; must not exist. Undefined: only check the digests. */
  readonly target?: string
  readonly algorithm: 'sha256' | 'sha512'
  readonly limits: UnpackLimits
}

export interface UnpackOutcome {
  readonly digest: string
  readonly diffId: string
  readonly compression: Compression
  readonly compressedBytes: number
  readonly tarBytes: number
  readonly layer?: LayerInfo
}

/** What layer.json says of an unpacked layer. */
export interface LayerInfo {
  readonly bytes: number
  readonly inodes: number
  readonly open: OpenEnds
  readonly hasRoot: boolean
}

/** How much of the file is there. `end` says that no more comes; `fail` that it never will. */
export interface Growth {
  grow(available: number): void
  end(size: number): void
  fail(error: Error): void
}

const READ = 1024 * 1024

function haveProgram(name: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder || '.', name), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** Reads a growing file in big pieces, each into what `memory` gives. */
async function* growing(
  file: string,
  state: { available: number; ended: boolean; failure?: Error; wake: Deferred<void> },
  memory: () => Buffer,
): AsyncGenerator<Buffer> {
  const fd = openSync(file, 'r')
  try {
    for (let at = 0; ; ) {
      if (state.failure) throw state.failure
      // The first piece must be long enough to tell the compression by.
      if (at < state.available && (state.available >= 4 || state.ended)) {
        const piece = memory()
        const got = readSync(fd, piece, 0, Math.min(piece.length, state.available - at), at)
        if (got === 0) throw new Error(`it has ${fstatSync(fd).size} bytes instead of ${state.available}`)
        at += got
        yield piece.subarray(0, got)
      } else if (state.ended) return
      else {
        await state.wake.promise
        state.wake = deferred()
      }
    }
  } finally {
    closeSync(fd)
  }
}

const zlibSentence = (error: Error): Error =>
  (error as NodeJS.ErrnoException).code?.startsWith('Z_') ? new Error(`damaged gzip data (${error.message})`) : error

/** Starts the job; `outcome` settles when all is written or failed. After a failure the target is the caller's to delete. */
export function startUnpack(job: UnpackJob, progress?: (read: number) => void): Growth & { readonly outcome: Promise<UnpackOutcome> } {
  const state = { available: 0, ended: false, wake: deferred() } as {
    available: number
    ended: boolean
    failure?: Error
    wake: Deferred<void>
  }
  const run = async (): Promise<UnpackOutcome> => {
    const outer = createHash(job.algorithm)
    const inner = createHash('sha256')
    const root = job.target === undefined ? undefined : join(job.target, 'fs')
    if (root !== undefined) mkdirSync(root, { recursive: true, mode: 0o755 })
    const writer = root === undefined ? undefined : layerWriter(root, job.limits)
    const tar = writer ? tarReader(writer) : undefined
    let stream: Duplex | undefined
    let compression: Compression = 'none'
    let compressedBytes = 0
    let tarBytes = 0
    const finished = deferred()
    finished.promise.catch(() => {})
    // A stream that breaks does not call back for the piece it was at.
    let giveUp: ((error: Error) => void) | undefined
    /** Writes a piece and waits until it is used up, so that its memory can take the next one. */
    const feed = (into: Duplex, piece: Buffer): Promise<void> =>
      new Promise((resolve, reject) => {
        giveUp = reject
        into.write(piece, (error) => (error ? finished.promise.catch(reject) : resolve()))
      })
    const memory = Buffer.allocUnsafeSlow(READ)
    const consume = (piece: Buffer): void => {
      tarBytes += piece.length
      // Also what is in no file: headers, padding, zeros behind the end.
      if (tarBytes > job.limits.bytes) throw tooLarge(job.limits)
      inner.update(piece)
      tar?.push(piece)
    }
    const open = (head: Buffer): Duplex | undefined => {
      compression = compressionOf(head)
      if (compression === 'none') return undefined
      const opened = decompressor(compression, { zstdProgram: compression === 'zstd' && haveProgram('zstd') })
      opened.on('data', (piece: Buffer) => {
        try {
          consume(piece)
        } catch (error) {
          opened.destroy(error as Error)
        }
      })
      opened.on('end', () => finished.resolve())
      opened.on('error', (error) => {
        finished.reject(zlibSentence(error))
        giveUp?.(zlibSentence(error))
      })
      return opened
    }
    try {
      for await (const piece of growing(job.file, state, () =>
        compression === 'none' && compressedBytes > 0 ? Buffer.allocUnsafeSlow(READ) : memory,
      )) {
        outer.update(piece)
        if (compressedBytes === 0) stream = open(piece)
        compressedBytes += piece.length
        if (stream) await feed(stream, piece)
        else consume(piece)
        progress?.(compressedBytes)
      }
      stream?.end()
      if (stream) await finished.promise
      tar?.end()
      const layer = writer?.finish()
      if (job.target !== undefined && layer) writeFileSync(join(job.target, 'layer.json'), JSON.stringify(layer))
      return {
        digest: `${job.algorithm}:${outer.digest('hex')}`,
        diffId: `sha256:${inner.digest('hex')}`,
        compression,
        compressedBytes,
        tarBytes,
        ...(layer ? { layer } : {}),
      }
    } finally {
      stream?.destroy()
      writer?.abandon()
    }
  }
  const wake = (): void => state.wake.resolve()
  const control: Growth = {
    grow(available) {
      state.available = available
      wake()
    },
    end(size) {
      state.available = size
      state.ended = true
      wake()
    },
    fail(error) {
      state.failure = error
      wake()
    },
  }
  return { ...control, outcome: run() }
}
