// Counters, gauges and histograms, and Prometheus' text form of them.

export type Labels = Readonly<Record<string, string>>

export interface Sample {
  readonly labels: Labels
  readonly value: number
}

/** What `/metrics` shows under one name. */
export interface Family {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  lines(): Promise<readonly string[]> | readonly string[]
}

export const labelText = (labels: Labels): string =>
  Object.entries(labels)
    .map(([name, value]) => `${name}="${value.replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`))}"`)
    .join(',')

const line = (name: string, labels: string, value: number): string => `${name}${labels ? `{${labels}}` : ''} ${value}`

/** One number of a counter or a gauge. */
export interface Count {
  value: number
}

/** Numbers by their labels, changed where things happen. */
export class Counts implements Family {
  readonly #all = new Map<string, Count>()
  readonly name: string
  readonly type: 'counter' | 'gauge'
  readonly help: string

  constructor(name: string, help: string, type: 'counter' | 'gauge' = 'counter') {
    this.name = name
    this.help = help
    this.type = type
  }

  of(labels: Labels): Count {
    const key = labelText(labels)
    let found = this.#all.get(key)
    if (!found) {
      found = { value: 0 }
      this.#all.set(key, found)
    }
    return found
  }

  lines(): readonly string[] {
    return [...this.#all].map(([labels, { value }]) => line(this.name, labels, value))
  }
}

/** Figures that are read when asked for. */
export const figures = (
  name: string,
  type: 'counter' | 'gauge',
  help: string,
  read: () => Promise<readonly Sample[]> | readonly Sample[],
): Family => ({
  name,
  type,
  help,
  lines: async () => (await read()).map(({ labels, value }) => line(name, labelText(labels), value)),
})

/** How often each size was seen. */
export class Distribution {
  readonly bounds: readonly number[]
  /** By bucket, the last one for what no bound holds; not added up. */
  readonly #buckets: number[]
  #sum = 0
  #count = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.#buckets = bounds.map(() => 0)
    this.#buckets.push(0)
  }

  get count(): number {
    return this.#count
  }

  observe(value: number): void {
    const { bounds } = this
    let at = 0
    while (at < bounds.length && value > (bounds[at] as number)) at++
    this.#buckets[at] = (this.#buckets[at] as number) + 1
    this.#sum += value
    this.#count++
  }

  /** `shown`: fewer bounds than were counted by. */
  lines(name: string, labels: string, shown: readonly number[] = this.bounds): readonly string[] {
    const more = labels ? `${labels},` : ''
    const lines: string[] = []
    let sum = 0
    for (const [at, bound] of this.bounds.entries()) {
      sum += this.#buckets[at] as number
      if (shown.includes(bound)) lines.push(`${name}_bucket{${more}le="${bound}"} ${sum}`)
    }
    lines.push(`${name}_bucket{${more}le="+Inf"} ${this.#count}`, line(`${name}_sum`, labels, this.#sum))
    lines.push(line(`${name}_count`, labels, this.#count))
    return lines
  }
}

export class Histogram implements Family {
  readonly type = 'histogram'
  readonly #all = new Map<string, Distribution>()
  readonly name: string
  readonly help: string
  readonly #bounds: readonly number[]

  constructor(name: string, help: string, bounds: readonly number[]) {
    this.name = name
    this.help = help
    this.#bounds = bounds
  }

  of(labels: Labels): Distribution {
    const key = labelText(labels)
    let found = this.#all.get(key)
    if (!found) {
      found = new Distribution(this.#bounds)
      this.#all.set(key, found)
    }
    return found
  }

  lines(): readonly string[] {
    return [...this.#all].flatMap(([labels, distribution]) => distribution.lines(this.name, labels))
  }
}

/** `count` bounds from `first`, each `factor` times the one before. */
export const exponential = (first: number, factor: number, count: number): readonly number[] =>
  Array.from({ length: count }, (_, i) => Number((first * factor ** i).toPrecision(12)))

export async function render(families: readonly Family[]): Promise<string> {
  const text: string[] = []
  for (const family of families)
    text.push(`# HELP ${family.name} ${family.help}`, `# TYPE ${family.name} ${family.type}`, ...(await family.lines()))
  return `${text.join('\n')}\n`
}
