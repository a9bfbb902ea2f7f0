// Random bytes taken from the source a page at a time: a create needs some for its uid and its names.
import type { Random } from '../../lib/index.js'

const PAGE = 4096

export function pooledRandom(source: Random): Random {
  let page = Buffer.alloc(0)
  let at = 0
  const take = (length: number): Buffer => {
    if (at + length > page.length) {
      page = Buffer.from(source.bytes(Math.max(PAGE, length)))
      at = 0
    }
    at += length
    return page.subarray(at - length, at)
  }
  return { next: () => take(6).readUIntBE(0, 6) / 2 ** 48, bytes: (length) => new Uint8Array(take(length)) }
}
