// Reads the stream of a watch: one JSON object a line.
import type { Resource } from '../api/index.js'
import { fromStatus } from './status.js'

/** A bookmark's object carries only its kind and metadata. */
export interface WatchEvent<T extends Resource> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK'
  readonly object: T
}

const NEWLINE = 10

/** Splits bytes at newlines; lines may span chunks. */
export async function* readLines(chunks: AsyncIterable<Uint8Array>): AsyncIterable<string> {
  let rest: Buffer[] = []
  for await (const bytes of chunks) {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      const tail = chunk.subarray(start, end)
      const line = rest.length > 0 ? Buffer.concat([...rest, tail]).toString('utf8') : tail.toString('utf8')
      rest = []
      start = end + 1
      if (line !== '') yield line
    }
    // Copied: whoever writes the stream may reuse its buffer.
    if (start < chunk.length) rest.push(Buffer.from(chunk.subarray(start)))
  }
}

/** The events of a watch; an ERROR event is thrown as ApiError (410 Gone: list again). */
export async function* readWatch<T extends Resource>(chunks: AsyncIterable<Uint8Array>): AsyncIterable<WatchEvent<T>> {
  for await (const line of readLines(chunks)) {
    const event = JSON.parse(line) as WatchEvent<T> | { readonly type: 'ERROR'; readonly object: { readonly code?: number } }
    if (event.type === 'ERROR') throw fromStatus(event.object)
    yield event
  }
}
