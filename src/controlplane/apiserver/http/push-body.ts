// A body that is pushed by its source: many watchers share one chunk, and none of them makes the source wait.

/** Where chunks go. False means: not taken, the receiver is too far behind. */
export interface Sink {
  write(chunk: Uint8Array): void
  end(error?: Error): void
}

/** Bytes that a receiver may leave unread before it is cut off. */
const MOST_BEHIND = 16 * 1024 * 1024

/** Reads as an AsyncIterable anywhere; a server that knows it attaches a sink and spares itself the promises. */
export class PushBody implements AsyncIterable<Uint8Array> {
  #waiting: Uint8Array[] = []
  #bytes = 0
  #sink: Sink | undefined
  #ended: { error: Error | undefined } | undefined
  #wake: (() => void) | undefined
  #onEnd: (() => void)[]

  /** `onEnd` runs once, when the receiver goes or the source ends. */
  constructor(onEnd: () => void) {
    this.#onEnd = [onEnd]
  }

  whenEnded(run: () => void): void {
    if (this.#ended) run()
    else this.#onEnd.push(run)
  }

  push(chunk: Uint8Array): void {
    if (this.#ended) return
    if (this.#sink) {
      this.#sink.write(chunk)
      return
    }
    this.#waiting.push(chunk)
    this.#bytes += chunk.length
    if (this.#bytes > MOST_BEHIND) this.end(new Error('the receiver is too slow'))
    this.#wake?.()
  }

  end(error?: Error): void {
    if (this.#ended) return
    this.#ended = { error }
    for (const run of this.#onEnd.splice(0)) run()
    this.#sink?.end(error)
    this.#wake?.()
  }

  attach(sink: Sink): void {
    for (const chunk of this.#waiting) sink.write(chunk)
    this.#waiting = []
    if (this.#ended) sink.end(this.#ended.error)
    else this.#sink = sink
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        while (this.#waiting.length > 0) {
          const chunk = this.#waiting.shift() as Uint8Array
          this.#bytes -= chunk.length
          yield chunk
        }
        if (this.#ended?.error) throw this.#ended.error
        if (this.#ended) return
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
        this.#wake = undefined
      }
    } finally {
      this.end()
    }
  }
}
