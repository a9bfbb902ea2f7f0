// One blob from a registry into a growing file, continued by range after every interruption.
import { closeSync, constants, fstatSync, ftruncateSync, openSync, write } from 'node:fs'
import { promisify } from 'node:util'
import { AccessRefused } from './auth.js'
import { WrongContent } from './core.js'
import type { RegistryHost } from './hosts.js'
import type { Descriptor } from './manifest.js'
import { networkFailure, type Registry, RegistryFailure } from './registry.js'

const writeAsync = promisify(write)

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

/** Writes a body behind what is there; returns where the file ends now. */
async function append(
  fd: number,
  body: AsyncIterable<Buffer>,
  from: { at: number; skip: number },
  options: DownloadOptions,
): Promise<void> {
  const { blob, grown } = options
  for await (const chunk of body) {
    const skipped = Math.min(from.skip, chunk.length)
    from.skip -= skipped
    const rest = skipped === 0 ? chunk : chunk.subarray(skipped)
    if (from.at + rest.length > blob.size)
      throw new WrongContent(`the registry sends more than the ${blob.size} bytes that the manifest promises`)
    for (let done = 0; done < rest.length; ) {
      const { bytesWritten } = await writeAsync(fd, rest, done, rest.length - done, from.at)
      done += bytesWritten
      from.at += bytesWritten
    }
    if (rest.length > 0) grown(from.at)
  }
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
    const fetchFrom = async (host: RegistryHost): Promise<void> => {
      const before = place.at
      const response = await registry.call(host, {
        method: 'GET',
        path: `/${repository}/blobs/${blob.digest}`,
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
        if ((error as NodeJS.ErrnoException).syscall === 'write') throw error
        const failure = networkFailure(new URL(host.base).host, error)
        throw new RegistryFailure(failure.message, { retry: true })
      } finally {
        received += place.at - before
      }
      if (place.at < blob.size)
        throw new RegistryFailure(`the registry sent ${place.at} bytes of ${blob.size} and ended`, {
          retry: place.at > before || begins > 0,
        })
    }
    let reached = place.at
    while (place.at < blob.size) {
      try {
        await registry.anyHost('pull', (host) => registry.retrying(() => fetchFrom(host), signal))
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
