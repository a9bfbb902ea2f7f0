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
  readonly blocks: readonly PlacedBlock[]
}

/** The steps of a block and the address of the first; the others follow it. */
export interface PlacedBlock {
  readonly address: number
  readonly steps: readonly Step[]
}

/** The step that a failure record names. */
export function stepAt({ blocks }: Image, address: number): Step | undefined {
  for (const block of blocks) {
    const index = (address - block.address) / STEP_BYTES
    if (index >= 0 && index < block.steps.length) return block.steps[index]
  }
  return undefined
}

export interface AssembleOptions {
  readonly base: number
  readonly arch: Architecture
  /** Boundary of the transient part. */
  readonly pageSize?: number
}

const align = (offset: number, to: number): number => Math.ceil(offset / to) * to

/** Grows as it is written to; offsets are from the image's start. Every word lies at a multiple of 8. */
class Arena {
  bytes = Buffer.alloc(1 << 18)
  top = 0
  /** The same memory: a word is two halves, which is many times faster than a BigInt. Both architectures are little-endian. */
  private halves = halvesOf(this.bytes)

  reserve(length: number, alignment: number): number {
    const at = align(this.top, alignment)
    this.top = at + length
    if (this.top > this.bytes.length) {
      const grown = Buffer.alloc(align(this.top * 2, 1 << 16))
      this.bytes.copy(grown)
      this.bytes = grown
      this.halves = halvesOf(grown)
    }
    return at
  }

  word(at: number, value: number | bigint): void {
    if (typeof value === 'bigint') {
      this.bytes.writeBigUInt64LE(BigInt.asUintN(64, value), at)
      return
    }
    this.halves[at >> 2] = value
    this.halves[(at >> 2) + 1] = Math.floor(value / 2 ** 32)
  }

  clear(): void {
    this.bytes.fill(0, 0, this.top)
    this.top = 0
  }
}

const halvesOf = (bytes: Buffer): Int32Array => new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2)

/** Used again by each assembly. */
const arena = new Arena()

/** The name of a block. */
type Label = string

class Assembler {
  readonly regions = new Map<string, number>()
  private readonly labels = new Map<Label, number>()
  readonly placed: PlacedBlock[] = []
  /** Strings of the part being written: each is stored once. */
  private texts = new Map<string, number>()
  /** Words to fill in when every address is known. */
  private readonly lateAt: number[] = []
  private readonly lateWhat: (Expression | Label)[] = []
  private readonly options: AssembleOptions

  constructor(options: AssembleOptions) {
    this.options = options
  }

  put(at: number, argument: Argument): void {
    if (typeof argument !== 'object') arena.word(at, argument)
    else if (argument.kind === 'text') arena.word(at, this.options.base + this.text(argument.text))
    else if (argument.kind === 'bytes') {
      const offset = arena.reserve(argument.bytes.length, 8)
      arena.bytes.set(argument.bytes, offset)
      arena.word(at, this.options.base + offset)
    } else if (argument.kind === 'words') {
      const offset = arena.reserve(argument.words.length * 8, 8)
      let next = offset
      for (const word of argument.words) {
        this.put(next, word)
        next += 8
      }
      arena.word(at, this.options.base + offset)
    } else this.late(at, argument)
  }

  private late(at: number, what: Expression | Label): void {
    this.lateAt.push(at)
    this.lateWhat.push(what)
  }

  private text(string: string): number {
    const known = this.texts.get(string)
    if (known !== undefined) return known
    // At most three bytes for a UTF-16 unit, and the NUL.
    const offset = arena.reserve(string.length * 3 + 1, 1)
    arena.top = offset + arena.bytes.write(string, offset) + 1
    this.texts.set(string, offset)
    return offset
  }

  /** The steps of some blocks, one behind the other, then what they point to. */
  blocks(blocks: Program['blocks']): void {
    this.texts = new Map()
    let at = arena.reserve(STEP_BYTES * blocks.reduce((sum, { steps }) => sum + steps.length, 0), 8)
    for (const { label, steps } of blocks) {
      if (this.labels.has(label)) throw new Error(`program: two blocks are called ${label}`)
      this.labels.set(label, at)
      this.placed.push({ address: this.options.base + at, steps })
      for (const item of steps) {
        this.step(at, item)
        at += STEP_BYTES
      }
    }
  }

  private step(at: number, { call, args, into, onZero, onError, retry }: Step): void {
    arena.word(at, call === 'end' ? -1 : call === 'value' ? -2 : syscallNumber(call, this.options.arch))
    let flags = retry ? FLAG_RETRY : 0
    for (let i = 0; i < args.length; i++) {
      const argument = args[i] as Argument
      if (typeof argument === 'object' && argument.kind === 'value') flags |= 1 << i
      this.put(at + 8 + 8 * i, argument)
    }
    arena.word(at + 56, flags)
    if (into) this.late(at + 64, into)
    if (onZero) this.late(at + 72, onZero)
    if (onError !== 'ignore') this.late(at + 80, onError)
  }

  region(name: string, content: readonly Argument[]): void {
    const at = arena.reserve(Math.max(1, content.length) * 8, 8)
    this.regions.set(name, at)
    for (const [i, word] of content.entries()) this.put(at + 8 * i, word)
  }

  /** A region that nobody declared is one zero word. */
  declareMissing({ blocks, regions = {} }: Program): void {
    const used = (argument: Argument): void => {
      if (typeof argument !== 'object') return
      if (argument.kind === 'words') for (const word of argument.words) used(word)
      else if ((argument.kind === 'value' || argument.kind === 'address') && !this.regions.has(argument.region))
        this.region(argument.region, [])
    }
    for (const content of Object.values(regions)) for (const word of content) used(word)
    for (const { steps } of blocks) {
      for (const { args, into } of steps) {
        for (const argument of args) used(argument)
        if (into) used(into)
      }
    }
  }

  /** Fills in what was not known before. */
  resolve(transientOffset: number): void {
    for (let i = 0; i < this.lateAt.length; i++) {
      const what = this.lateWhat[i] as Expression | Label
      arena.word(this.lateAt[i] as number, typeof what === 'string' ? this.addressOf(what) : this.valueOf(what, transientOffset))
    }
  }

  /** Where a block begins. */
  addressOf(label: Label): number {
    const target = this.labels.get(label)
    if (target === undefined) throw new Error(`program: no block is called ${label}`)
    return this.options.base + target
  }

  private valueOf(expression: Expression, transientOffset: number): number {
    const { base } = this.options
    if (expression.kind === 'label') return this.addressOf(expression.label)
    if (expression.kind === 'transient') return expression.what === 'start' ? base + transientOffset : arena.top - transientOffset
    if (expression.kind === 'value' || expression.kind === 'address') {
      return base + (this.regions.get(expression.region) as number) + 8 * expression.word
    }
    throw new Error(`program: ${expression.kind} is placed at once`)
  }
}

/** Lays a program out: [failure record][resident blocks and what they point to][regions] page boundary [the rest]. */
export function assemble(program: Program, options: AssembleOptions): Image {
  arena.clear()
  const assembler = new Assembler(options)
  arena.reserve(16, 8)
  assembler.regions.set('failure', 0)
  assembler.blocks(program.blocks.filter((block) => block.resident))
  // Regions before the rest, so that what is written at run time lies together and the rest stays clean pages.
  for (const [name, content] of Object.entries(program.regions ?? {})) assembler.region(name, content)
  assembler.declareMissing(program)
  const transientOffset = arena.reserve(0, options.pageSize ?? 4096)
  assembler.blocks(program.blocks.filter((block) => !block.resident))
  assembler.resolve(transientOffset)
  return {
    bytes: Buffer.from(arena.bytes.subarray(0, arena.top)),
    base: options.base,
    entry: assembler.addressOf(program.entry),
    record: options.base,
    regions: new Map([...assembler.regions].map(([name, offset]) => [name, options.base + offset])),
    transientOffset,
    blocks: assembler.placed,
  }
}
