// Reads the records that a program writes about its progress and its failure.
import { closeSync, readSync } from 'node:fs'
import { type Deferred, deferred, hasErrno } from '../lib/index.js'
import { type Image, StepError, stepAt, watchReadable } from '../sys/index.js'
import { REPORT_BYTES } from './plan/facts.js'

export type ReportRecord = { readonly tag: number; readonly value: number } | 'end'

/** Names of steps by address, as the assembler or a state file knows them. */
export type StepNames = (address: number) => readonly [name: string, call: string] | undefined

/** The names in an image that this process assembled. */
export const namesIn =
  (image: Image): StepNames =>
  (address) => {
    const found = stepAt(image, address)
    return found && [found.name, found.call]
  }

/** Owns the descriptor. */
export class ReportReader {
  private readonly fd: number
  private readonly names: StepNames
  private readonly buffer = Buffer.alloc(REPORT_BYTES)
  private open = true

  constructor(fd: number, names: StepNames) {
    this.fd = fd
    this.names = names
  }

  /** The next record, or `end` when the program was executed or has gone. Throws StepError for a failed step. */
  async next(): Promise<ReportRecord> {
    for (;;) {
      const record = this.read()
      if (record) return record
      await this.readable()
    }
  }

  private read(): ReportRecord | undefined {
    let length: number
    try {
      length = readSync(this.fd, this.buffer)
    } catch (error) {
      if (hasErrno(error, 'EAGAIN')) return undefined
      throw error
    }
    if (length === 0) return 'end'
    const tag = Number(this.buffer.readBigUInt64LE(0))
    const value = Number(this.buffer.readBigInt64LE(8))
    if (tag < 4096) return { tag, value }
    const [name, call] = this.names(tag) ?? [`step at 0x${tag.toString(16)}`, 'unknown call']
    throw new StepError(name, call, -value)
  }

  private readable(): Promise<void> {
    const ready: Deferred<void> = deferred()
    const watch = watchReadable(this.fd, ready.resolve)
    watch.keepAlive(true)
    return ready.promise.finally(watch.stop)
  }

  close(): void {
    if (!this.open) return
    this.open = false
    closeSync(this.fd)
  }
}
