// Writes a program down in the order in which it runs, with detours set aside.
import { type Argument, goto, type Program, type Step, type StepOptions, step } from './program.js'

interface OpenBlock {
  readonly label: string
  readonly resident: boolean
  readonly steps: Step[]
}

export class ProgramWriter {
  private readonly blocks: OpenBlock[] = []
  private readonly asides: OpenBlock[] = []
  private readonly regions: Record<string, readonly Argument[]> = {}
  private current: OpenBlock | undefined
  private counter = 0

  /** Begins a block; what stood before runs into it if it is of the same kind. */
  block(label: string, options: { readonly resident?: boolean } = {}): this {
    this.current = { label, resident: options.resident ?? false, steps: [] }
    this.blocks.push(this.current)
    return this
  }

  step(name: string, call: Step['call'], args: readonly Argument[], options?: StepOptions): this {
    if (!this.current) throw new Error('program: a step before the first block')
    this.current.steps.push(step(name, call, args, options))
    return this
  }

  goto(label: string): this {
    this.current?.steps.push(goto(label))
    return this
  }

  /**
   * A detour: written behind everything else, entered by a step's `onError` or `onZero`, and back at `resume` afterwards.
   * Returns the detour's label.
   */
  aside(prefix: string, resume: string, write: () => void): string {
    const label = this.fresh(prefix)
    const before = this.current
    const aside: OpenBlock = { label, resident: false, steps: [] }
    this.asides.push(aside)
    this.current = aside
    write()
    this.current?.steps.push(goto(resume))
    this.current = before
    return label
  }

  /** Within a detour: a new block that the last one runs into. */
  asideBlock(label: string): void {
    this.current = { label, resident: false, steps: [] }
    this.asides.push(this.current)
  }

  /** A name that no other region or block has. */
  fresh(prefix: string): string {
    this.counter++
    return `${prefix}-${this.counter}`
  }

  /** Named memory with a first content. */
  region(name: string, content: readonly Argument[]): string {
    this.regions[name] = content
    return name
  }

  program(entry: string): Program {
    return { entry, blocks: [...this.blocks, ...this.asides], regions: this.regions }
  }
}
