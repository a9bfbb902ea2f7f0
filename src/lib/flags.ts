// Command-line flags as pflag reads them (github.com/spf13/pflag), so that our commands feel like kubectl and runc.

/** How a flag is written and what it holds. Defaults are applied here, once. */
export interface FlagSpec {
  /** `count` is a flag that may be repeated (`-vv`); `list` collects each use, splitting at commas. `strings` collects without splitting. */
  readonly type: 'string' | 'boolean' | 'number' | 'list' | 'strings' | 'count'
  readonly short?: string
  readonly default?: string | boolean | number | readonly string[]
  /** The value of a flag that stands without `=value`, for types other than boolean (pflag's NoOptDefVal): `--dry-run`. */
  readonly bare?: string
  readonly help: string
  /** What the value is, in usage: `PATH`. */
  readonly value?: string
}

export type FlagSpecs = Readonly<Record<string, FlagSpec>>

type FlagValue<S extends FlagSpec> = S['type'] extends 'boolean'
  ? boolean
  : S['type'] extends 'number' | 'count'
    ? S extends { readonly type: 'count' } | { readonly default: number }
      ? number
      : number | undefined
    : S['type'] extends 'list' | 'strings'
      ? readonly string[]
      : S extends { readonly default: string }
        ? string
        : string | undefined

export type Flags<S extends FlagSpecs> = { readonly [K in keyof S]: FlagValue<S[K]> }

export interface ParsedFlags<S extends FlagSpecs> {
  readonly flags: Flags<S>
  /** Names of the flags that the user gave. */
  readonly given: ReadonlySet<string>
  readonly args: readonly string[]
}

/** The user wrote the command wrongly; the message says what and how to mend it. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

export interface FlagOptions {
  /** Stop at the first word that is no flag, and leave the rest untouched: for commands with sub-commands or a command line of their own. */
  readonly stopAtArgument?: boolean
}

function convert(name: string, spec: FlagSpec, text: string): string | boolean | number {
  if (spec.type === 'boolean') {
    if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(text)) return true
    if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(text)) return false
    throw new UsageError(`invalid argument "${text}" for "--${name}": want true or false`)
  }
  if (spec.type === 'number' || spec.type === 'count') {
    const number = Number(text)
    if (text.trim() === '' || Number.isNaN(number)) throw new UsageError(`invalid argument "${text}" for "--${name}": want a number`)
    return number
  }
  return text
}

/** Reads flags and arguments. `--name=value`, `--name value`, `-nvalue`, `-n value`, `-abc`, `--` are understood; throws UsageError. */
export function parseFlags<S extends FlagSpecs>(specs: S, argv: readonly string[], options: FlagOptions = {}): ParsedFlags<S> {
  const values: Record<string, unknown> = {}
  const given = new Set<string>()
  const args: string[] = []
  const byShort = new Map<string, string>()
  for (const [name, spec] of Object.entries(specs)) {
    if (spec.short) byShort.set(spec.short, name)
    const empty = { boolean: false, count: 0, list: [], strings: [], string: undefined, number: undefined }[spec.type]
    values[name] = spec.default ?? empty
  }

  const set = (name: string, spec: FlagSpec, text: string): void => {
    if (spec.type === 'list' || spec.type === 'strings') {
      const more = spec.type === 'list' ? text.split(',') : [text]
      values[name] = given.has(name) ? [...(values[name] as string[]), ...more] : more
    } else values[name] = convert(name, spec, text)
    given.add(name)
  }

  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] as string
    if (word === '--') {
      args.push(...argv.slice(i + 1))
      break
    }
    if (word.startsWith('--')) {
      const equals = word.indexOf('=')
      const name = word.slice(2, equals < 0 ? undefined : equals)
      const spec = specs[name]
      if (!spec) throw new UsageError(`unknown flag: --${name}`)
      if (equals >= 0) set(name, spec, word.slice(equals + 1))
      else if (spec.type === 'boolean') set(name, spec, 'true')
      else if (spec.type === 'count') set(name, spec, String((values[name] as number) + 1))
      else if (spec.bare !== undefined) set(name, spec, spec.bare)
      else {
        const next = argv[++i]
        if (next === undefined) throw new UsageError(`flag needs an argument: --${name}`)
        set(name, spec, next)
      }
    } else if (word.startsWith('-') && word.length > 1) {
      for (let letters = word.slice(1); letters !== ''; ) {
        const letter = letters[0] as string
        const name = byShort.get(letter)
        const spec = name === undefined ? undefined : specs[name]
        if (name === undefined || !spec) throw new UsageError(`unknown shorthand flag: '${letter}' in ${word}`)
        letters = letters.slice(1)
        if (letters.startsWith('=')) {
          set(name, spec, letters.slice(1))
          break
        }
        if (spec.type === 'boolean') set(name, spec, 'true')
        else if (spec.type === 'count') set(name, spec, String((values[name] as number) + 1))
        else if (letters !== '') {
          set(name, spec, letters)
          break
        } else if (spec.bare !== undefined) set(name, spec, spec.bare)
        else {
          const next = argv[++i]
          if (next === undefined) throw new UsageError(`flag needs an argument: '${letter}' in ${word}`)
          set(name, spec, next)
        }
      }
    } else if (options.stopAtArgument) {
      args.push(...argv.slice(i))
      break
    } else args.push(word)
  }
  return { flags: values as Flags<S>, given, args }
}

/** The flags as `--help` prints them, one a line. */
export function describeFlags(specs: FlagSpecs): string {
  const rows = Object.entries(specs).map(([name, spec]) => {
    const short = spec.short ? `-${spec.short}, ` : '    '
    const value = spec.type === 'boolean' || spec.type === 'count' ? '' : ` ${spec.value ?? spec.type}`
    const preset = spec.default === undefined || spec.default === false || spec.default === '' ? '' : ` (default ${String(spec.default)})`
    return [`  ${short}--${name}${value}`, `${spec.help}${preset}`] as const
  })
  const width = Math.max(0, ...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `${left.padEnd(width)}   ${right}`).join('\n')
}
