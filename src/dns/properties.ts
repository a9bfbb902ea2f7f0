// The properties of a directive of the Corefile, read one by one; what nobody asked for is a mistake of the writer.
import { CorefileError, type Directive, duration } from './corefile.js'
import { zonesOf } from './zones.js'

export const bad = (directive: Directive, what: string): CorefileError =>
  new CorefileError(`line ${directive.line}: ${directive.name}: ${what}`)

export class Properties {
  private readonly directive: Directive
  private readonly known = new Set<string>()

  constructor(directive: Directive) {
    this.directive = directive
  }

  /** The words after each line that begins with `name`. */
  all(name: string): readonly (readonly string[])[] {
    this.known.add(name)
    return this.directive.block.filter((words) => words[0] === name).map((words) => words.slice(1))
  }

  words(name: string): readonly string[] | undefined {
    return this.all(name)[0]
  }

  has(name: string): boolean {
    return this.words(name) !== undefined
  }

  /** Taken without effect: there is nothing here that it could change. */
  accept(...names: readonly string[]): void {
    for (const name of names) this.known.add(name)
  }

  number(name: string, preset: number): number {
    const [word] = this.words(name) ?? []
    if (word === undefined) return preset
    if (!/^\d+$/.test(word)) throw bad(this.directive, `${name} wants a number, not "${word}"`)
    return Number(word)
  }

  seconds(name: string, preset: number): number {
    const [word] = this.words(name) ?? []
    return word === undefined ? preset : duration(word, this.directive.line)
  }

  choice<T extends string>(name: string, values: readonly T[], preset: T): T {
    const word = this.words(name)?.[0] ?? preset
    const found = values.find((each) => each === word)
    if (found === undefined) throw bad(this.directive, `${name} is one of ${values.join(', ')}, not "${word}"`)
    return found
  }

  /** `fallthrough` with the zones it is for: none when absent, everything when it stands alone. */
  fallthrough(): readonly string[] {
    const zones = this.words('fallthrough')
    return zones === undefined ? [] : zones.length === 0 ? [''] : zones.flatMap(zonesOf)
  }

  done(): void {
    for (const [name = ''] of this.directive.block)
      if (!this.known.has(name))
        throw bad(this.directive, `unknown property "${name}"${this.known.size > 0 ? `; there are ${[...this.known].join(', ')}` : ''}`)
  }
}

/** `:8080`, `127.0.0.1:8080`, `[::1]:8080`; without an address the server's own are meant. */
export interface Listen {
  readonly host: string | undefined
  readonly port: number
}

export function listenOn(directive: Directive, preset: string): Listen {
  const word = directive.args[0] ?? preset
  const match = /^(?:\[([^\]]+)\]|([^:[\]]*)):(\d+)$/.exec(word)
  const port = Number(match?.[3])
  if (!match || port < 1 || port > 65_535) throw bad(directive, `"${word}" is no address to listen on: ":8080" is one`)
  return { host: match[1] ?? (match[2] || undefined), port }
}
