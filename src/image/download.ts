// One blob from a registry into a growing file, continued by range after every interruption.
import { closeSync, constants, fstatSync, ftruncateSync, openSync, writev } from 'node:fs'
import { promisify } from 'node:util'
import { AccessRefused } from './auth.js'
import { WrongContent } from './core.js'
import type { RegistryHost } from './hosts.js'
import type { Descriptor } from './manifest.js'
import { networkFailure, type Registry, RegistryFailure } from './registry.js'

const writevAsync = promisify(writev)

export interface DownloadOptions {
  readonly registry: Registry
  readonly repository: string
  readonly scopes: readonly string[]
  readonly blob: Descriptor
  readonly file: string
  /** So many bytes of the file are right now in place. */
  readonly grown: (bytes: number) => void
  readonly signal: AbortSignal
}

/** Small chunks are gathered: a call into the thread pool for each costs more than the writing. */
const BATCH = 256 * 1024

/** Writes a body behind what is there; `place` follows. */
async function append(
  fd: number,
  body: AsyncIterable<Buffer>,
  place: { at: number; skip: number },
  options: DownloadOptions,
): Promise<void> {
  const { blob, grown } = options
  let batch: Buffer[] = []
  let length = 0
  const flush = async (): Promise<void> => {
    let left = batch
    batch = []
    length = 0
    while (left.length > 0) {
      const { bytesWritten } = await writevAsync(fd, left, place.at)
      place.at += bytesWritten
      left = behind(left, bytesWritten)
    }
    grown(place.at)
  }
  try {
    for await (const chunk of body) {
      const skipped = Math.min(place.skip, chunk.length)
      place.skip -= skipped
      if (skipped === chunk.length) continue
      batch.push(skipped === 0 ? chunk : chunk.subarray(skipped))
      length += chunk.length - skipped
      if (place.at + length > blob.size)
        throw new WrongContent(`the registry sends more than the ${blob.size} bytes that the manifest promises`)
      if (length >= BATCH) await flush()
    }
  } catch (error) {
    // What came before the connection broke need not come again.
    if (!(error instanceof WrongContent) && length > 0) await flush()
    throw error
  }
  if (length > 0) await flush()
}

/** What is left of these after `count` bytes. */
function behind(chunks: readonly Buffer[], count: number): Buffer[] {
  const left: Buffer[] = []
  let skip = count
  for (const chunk of chunks) {
    if (skip < chunk.length) left.push(skip === 0 ? chunk : chunk.subarray(skip))
    skip = Math.max(0, skip - chunk.length)
  }
  return left
}

/** Fetches the whole blob. Returns the number of bytes that came over the network. */
export async function download(options: DownloadOptions): Promise<number> {
  const { registry, repository, scopes, blob, file, grown, signal } = options
  const fd = openSync(file, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)
  try {
    const present = fstatSync(fd).size
    const place = { at: present <= blob.size ? present : 0, skip: 0 }
    if (place.at !== present) ftruncateSync(fd, 0)
    const start = place.at
    if (start > 0) grown(start)
    let received = 0
    const fetchFrom = async (host: RegistryHost, path = `/${repository}/blobs/${blob.digest}`): Promise<void> => {
      const before = place.at
      const response = await registry.call(host, {
        method: 'GET',
        path,
        headers: { 'accept-encoding': 'identity', ...(before > 0 ? { range: `bytes=${before}-` } : {}) },
        expect: before > 0 ? [200, 206, 416] : [200],
        scopes,
        signal,
      })
      if (response.status === 416) {
        await response.discard()
        throw new RegistryFailure(
          `the registry at ${new URL(host.base).host} has less than the ${blob.size} bytes that the manifest promises`,
        )
      }
      // A server that does not know ranges sends all of it again.
      const begins = response.status === 206 ? Number(/^bytes (\d+)-/.exec(response.headers['content-range'] ?? '')?.[1] ?? before) : 0
      if (begins > before) throw new RegistryFailure(`the registry at ${new URL(host.base).host} sends another range than was asked for`)
      place.skip = before - begins
      try {
        await append(fd, response.body, place, options)
      } catch (error) {
        if (error instanceof WrongContent || signal.aborted) throw error
        if ((error as NodeJS.ErrnoException).syscall?.startsWith('write')) throw error
        const failure = networkFailure(new URL(host.base).host, error)
        // After a silence only progress speaks for another try.
        const retry = !(failure instanceof RegistryFailure) || failure.retry || place.at > before
        throw new RegistryFailure(failure.message, { retry })
      } finally {
        received += place.at - before
      }
      if (place.at < blob.size)
        throw new RegistryFailure(`the registry sent ${place.at} bytes of ${blob.size} and ended`, {
          retry: place.at > before || begins > 0,
        })
    }
    /** What the registry may not have, the places that the manifest names for it do; its digest counts there too. */
    const elsewhere = async (host: RegistryHost, refusal: RegistryFailure): Promise<void> => {
      const urls = (blob.urls ?? []).filter((url) => /^https?:\/\//.test(url))
      let failure: unknown = refusal
      for (const url of urls) {
        try {
          return await registry.retrying(() => fetchFrom(host, url), signal)
        } catch (error) {
          if (!(error instanceof RegistryFailure)) throw error
          failure = error
        }
      }
      throw failure
    }
    let reached = place.at
    while (place.at < blob.size) {
      try {
        await registry.anyHost('pull', async (host) => {
          try {
            await registry.retrying(() => fetchFrom(host), signal)
          } catch (error) {
            if (!(error instanceof RegistryFailure && error.status === 404)) throw error
            await elsewhere(host, error)
          }
        })
      } catch (error) {
        if (error instanceof AccessRefused || !(error instanceof RegistryFailure)) throw error
        // As long as something comes, go on.
        if (place.at === reached) throw error
        reached = place.at
      }
    }
    return received
  } finally {
    closeSync(fd)
  }
}
