// Blobs by digest. A blob is visible under its digest only after its bytes have been checked.
import { createHash } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Random } from '../lib/index.js'
import { randomName, type StorePaths } from './disk.js'
import { type Digest, isDigest } from './manifest.js'

export interface ContentStore {
  path(digest: Digest): string
  has(digest: Digest): boolean
  /** Bytes of the blob, or undefined when it is not here. */
  size(digest: Digest): number | undefined
  read(digest: Digest): Buffer
  /** Keeps bytes under their digest: the one given, which the caller has checked, or their sha256. */
  put(bytes: Uint8Array, digest?: Digest): Digest
  /** Where a download of this digest grows; what an earlier try left is there. */
  partial(digest: Digest): string
  /** Takes over a file whose digest the caller has checked. The file must be on the same file system. */
  commit(file: string, digest: Digest): void
  remove(digest: Digest): number
  list(): readonly Digest[]
}

export const digestOf = (bytes: Uint8Array): Digest => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

export const splitDigest = (digest: Digest): readonly [algorithm: 'sha256' | 'sha512', hex: string] =>
  digest.split(':', 2) as ['sha256' | 'sha512', string]

/** `sha256-…`: a digest as one file name. */
export const digestName = (digest: Digest): string => digest.replace(':', '-')

/** True when the file's bytes have this digest. */
export function fileMatches(path: string, digest: Digest): boolean {
  const [algorithm, hex] = splitDigest(digest)
  const hash = createHash(algorithm)
  const piece = Buffer.allocUnsafe(1024 * 1024)
  const fd = openSync(path, 'r')
  try {
    for (let got = readSync(fd, piece); got > 0; got = readSync(fd, piece)) hash.update(piece.subarray(0, got))
  } finally {
    closeSync(fd)
  }
  return hash.digest('hex') === hex
}

export function contentStore(paths: StorePaths, random: Random): ContentStore {
  for (const algorithm of ['sha256', 'sha512']) mkdirSync(join(paths.blobs, algorithm), { recursive: true, mode: 0o700 })
  const path = (digest: Digest): string => join(paths.blobs, ...splitDigest(digest))
  const size = (digest: Digest): number | undefined => statSync(path(digest), { throwIfNoEntry: false })?.size
  const commit = (file: string, digest: Digest): void => {
    chmodSync(file, 0o400)
    renameSync(file, path(digest))
  }
  return {
    path,
    size,
    has: (digest) => existsSync(path(digest)),
    read: (digest) => readFileSync(path(digest)),
    put(bytes, digest = digestOf(bytes)) {
      if (size(digest) === bytes.length) return digest
      const temporary = join(paths.temporary, randomName(random))
      const fd = openSync(temporary, 'wx', 0o600)
      try {
        for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
        commit(temporary, digest)
      } catch (error) {
        rmSync(temporary, { force: true })
        throw error
      } finally {
        closeSync(fd)
      }
      return digest
    },
    partial: (digest) => join(paths.ingest, digestName(digest)),
    commit,
    remove(digest) {
      const bytes = size(digest) ?? 0
      rmSync(path(digest), { force: true })
      rmSync(join(paths.synced, digestName(digest)), { force: true })
      return bytes
    },
    list() {
      return ['sha256', 'sha512'].flatMap((algorithm) =>
        readdirSync(join(paths.blobs, algorithm))
          .map((hex) => `${algorithm}:${hex}`)
          .filter(isDigest),
      )
    },
  }
}
