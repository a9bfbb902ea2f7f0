// Lays a program out in memory at a given address: steps, strings, regions. Pure arithmetic.
import { type Architecture, syscallNumber } from '../libc/syscalls.js'
import { FLAG_RETRY, STEP_BYTES } from './interpreter.js'
import type { Argument, Expression, Program, Step } from './program.js'

export interface Image {
  readonly bytes: Buffer
  readonly base: number
  /** Addresses. */
  readonly entry: number
  readonly record: number
  readonly regions: ReadonlyMap<string, number>
  /** Offset of the part that may be unmapped once the set-up is done. */
  readonly transientOffset: number
  readonly steps: ReadonlyMap<number, Step>
}

export interface AssembleOptions {
  readonly base: number
  readonly arch: Architecture
  /** Boundary of the transient part. */
  readonly pageSize?: number
}

const align = (offset: number, to: number): number => Math.ceil(offset / to) * to

/** Used again by each assembly: an image is copied away before the next one begins. */
let scratch = Buffer.alloc(1 << 18)

/** Grows as it is written to; offsets are from the image's start. */
class Arena {
  bytes = scratch.fill(0)
  top = 0

  reserve(length: number, alignment: number): number {
    const at = align(this.top, alignment)
    this.top = at + length
    if (this.top > this.bytes.length) {
      const grown = Buffer.alloc(align(this.top * 2, 1 << 16))
      this.bytes.copy(grown)
      this.bytes = grown
      scratch = grown
    }
    return at
  }

  word(at: number, value: number | bigint): void {
    if (typeof value === 'bigint') {
      this.bytes.writeBigUInt64LE(BigInt.asUintN(64, value), at)
      return
    }
    // Two halves: many times faster than a BigInt.
    this.bytes.writeInt32LE(value | 0, at)
    this.bytes.writeInt32LE(Math.floor(value / 2 ** 32) | 0, at + 4)
  }
}

class Assembler {
  readonly arena = new Arena()
  readonly regions = new Map<string, number>()
  readonly labels = new Map<string, number>()
  readonly steps = new Map<number, Step>()
  /** Strings of the part being written: each is stored once. */
  private texts = new Map<string, number>()
  /** Words to fill in when every address is known. */
  private readonly late: { at: number; expression: Expression }[] = []
  private readonly options: AssembleOptions

  constructor(options: AssembleOptions) {
    this.options = options
  }

  put(at: number, argument: Argument): void {
    if (typeof argument !== 'object') this.arena.word(at, argument)
    else if (argument.kind === 'text') this.arena.word(at, this.options.base + this.text(argument.text))
    else if (argument.kind === 'bytes') {
      const offset = this.arena.reserve(argument.bytes.length, 8)
      this.arena.bytes.set(argument.bytes, offset)
      this.arena.word(at, this.options.base + offset)
    } else if (argument.kind === 'words') {
      const offset = this.arena.reserve(argument.words.length * 8, 8)
      for (const [i, word] of argument.words.entries()) this.put(offset + 8 * i, word)
      this.arena.word(at, this.options.base + offset)
    } else this.late.push({ at, expression: argument })
  }

  private text(string: string): number {
    const known = this.texts.get(string)
    if (known !== undefined) return known
    const length = Buffer.byteLength(string)
    const offset = this.arena.reserve(length + 1, 1)
    this.arena.bytes.write(string, offset)
    this.texts.set(string, offset)
    return offset
  }

  /** The steps of some blocks, one behind the other, then what they point to. */
  blocks(blocks: Program['blocks']): void {
    this.texts = new Map()
    let at = this.arena.reserve(STEP_BYTES * blocks.reduce((sum, { steps }) => sum + steps.length, 0), 8)
    for (const { label, steps } of blocks) {
      if (this.labels.has(label)) throw new Error(`program: two blocks are called ${label}`)
      this.labels.set(label, at)
      for (const item of steps) {
        this.step(at, item)
        at += STEP_BYTES
      }
    }
  }

  private step(at: number, item: Step): void {
    this.steps.set(this.options.base + at, item)
    const number = item.call === 'end' ? -1 : item.call === 'value' ? -2 : syscallNumber(item.call, this.options.arch)
    this.arena.word(at, number)
    let flags = item.retry ? FLAG_RETRY : 0
    for (const [i, argument] of item.args.entries()) {
      if (typeof argument === 'object' && argument.kind === 'value') flags |= 1 << i
      this.put(at + 8 + 8 * i, argument)
    }
    this.arena.word(at + 56, flags)
    if (item.into) this.late.push({ at: at + 64, expression: { kind: 'address', ...item.into } })
    if (item.onZero) this.late.push({ at: at + 72, expression: { kind: 'label', label: item.onZero } })
    if (item.onError !== 'ignore') this.late.push({ at: at + 80, expression: { kind: 'label', label: item.onError } })
  }

  region(name: string, content: readonly Argument[]): void {
    const at = this.arena.reserve(Math.max(1, content.length) * 8, 8)
    this.regions.set(name, at)
    for (const [i, word] of content.entries()) this.put(at + 8 * i, word)
  }

  /** Fills in what was not known before. A region that nobody declared becomes one zero word: call while regions may still be added. */
  declareMissing(): void {
    for (const { expression } of this.late) {
      if ((expression.kind === 'value' || expression.kind === 'address') && !this.regions.has(expression.region)) {
        this.region(expression.region, [])
      }
    }
  }

  resolve(transientOffset: number): void {
    const { base } = this.options
    for (const { at, expression } of this.late) {
      if (expression.kind === 'label') {
        const target = this.labels.get(expression.label)
        if (target === undefined) throw new Error(`program: no block is called ${expression.label}`)
        this.arena.word(at, base + target)
      } else if (expression.kind === 'transient') {
        this.arena.word(at, expression.what === 'start' ? base + transientOffset : this.arena.top - transientOffset)
      } else if (expression.kind === 'value' || expression.kind === 'address') {
        this.arena.word(at, base + (this.regions.get(expression.region) as number) + 8 * expression.word)
      }
    }
  }
}

/** Lays a program out: [failure record][resident blocks and what they point to][regions] page boundary [the rest]. */
export function assemble(program: Program, options: AssembleOptions): Image {
  const assembler = new Assembler(options)
  const { arena } = assembler
  arena.reserve(16, 8)
  assembler.regions.set('failure', 0)
  assembler.blocks(program.blocks.filter((block) => block.resident))
  for (const [name, content] of Object.entries(program.regions ?? {})) assembler.region(name, content)
  // Regions first, so that what is written at run time lies together and the rest stays clean pages.
  const spare = arena.reserve(0, 8)
  const transient = program.blocks.filter((block) => !block.resident)
  const missing = new Set<string>()
  for (const block of program.blocks) {
    for (const { args, into } of block.steps) {
      for (const argument of args) collectRegions(argument, missing)
      if (into) missing.add(into.region)
    }
  }
  arena.top = spare
  for (const name of missing) if (!assembler.regions.has(name)) assembler.region(name, [])
  arena.reserve(0, options.pageSize ?? 4096)
  const transientOffset = arena.top
  assembler.blocks(transient)
  assembler.declareMissing()
  assembler.resolve(transientOffset)
  const entry = assembler.labels.get(program.entry)
  if (entry === undefined) throw new Error(`program: no block is called ${program.entry}`)
  const addresses = new Map([...assembler.regions].map(([name, offset]) => [name, options.base + offset]))
  return {
    bytes: Buffer.from(arena.bytes.subarray(0, arena.top)),
    base: options.base,
    entry: options.base + entry,
    record: options.base,
    regions: addresses,
    transientOffset,
    steps: assembler.steps,
  }
}

function collectRegions(argument: Argument, into: Set<string>): void {
  if (typeof argument !== 'object') return
  if (argument.kind === 'value' || argument.kind === 'address') into.add(argument.region)
  else if (argument.kind === 'words') for (const word of argument.words) collectRegions(word, into)
}
