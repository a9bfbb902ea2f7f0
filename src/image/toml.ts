// Reads the part of TOML that hosts.toml files use: tables, dotted and quoted keys, strings, booleans, numbers, arrays. Pure.

export type TomlValue = string | boolean | number | readonly TomlValue[] | TomlTable
export interface TomlTable {
  readonly [key: string]: TomlValue
}

type Table = Record<string, unknown>

const escapes: Readonly<Record<string, string>> = { b: '\b', t: '\t', n: '\n', f: '\f', r: '\r', '"': '"', '\\': '\\' }

/** Throws an Error that names the line. */
export function parseToml(text: string): TomlTable {
  const root: Table = Object.create(null) as Table
  let table = root
  let at = 0
  const fail = (why: string): never => {
    throw new Error(`line ${text.slice(0, at).split('\n').length}: ${why}`)
  }
  const blank = (lines: boolean): void => {
    for (;;) {
      const c = text[at]
      if (c === ' ' || c === '\t' || (lines && (c === '\n' || c === '\r'))) at++
      else if (c === '#') while (at < text.length && text[at] !== '\n') at++
      else return
    }
  }
  const basicString = (): string => {
    let out = ''
    for (at++; text[at] !== '"'; at++) {
      const c = text[at]
      if (c === undefined || c === '\n') return fail('a string does not end')
      if (c !== '\\') out += c
      else {
        const next = text[++at] ?? ''
        if (next === 'u' || next === 'U') {
          const digits = text.slice(at + 1, at + (next === 'u' ? 5 : 9))
          if (!/^[0-9a-fA-F]+$/.test(digits)) fail('a malformed \\u escape')
          out += String.fromCodePoint(Number.parseInt(digits, 16))
          at += digits.length
        } else out += escapes[next] ?? fail(`an unknown escape \\${next}`)
      }
    }
    at++
    return out
  }
  const literalString = (): string => {
    const end = text.indexOf("'", at + 1)
    if (end < 0) return fail('a string does not end')
    const out = text.slice(at + 1, end)
    at = end + 1
    return out
  }
  const word = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    const found = pattern.exec(text)?.[0]
    at += found?.length ?? 0
    return found
  }
  const key = (): string[] => {
    const parts: string[] = []
    for (;;) {
      blank(false)
      if (text[at] === '"') parts.push(basicString())
      else if (text[at] === "'") parts.push(literalString())
      else parts.push(word(/[A-Za-z0-9_-]+/y) ?? fail('a key was expected'))
      blank(false)
      if (text[at] !== '.') return parts
      at++
    }
  }
  const descend = (from: Table, parts: readonly string[]): Table => {
    let here = from
    for (const part of parts) {
      here[part] ??= Object.create(null)
      const next = here[part]
      if (typeof next !== 'object' || next === null || Array.isArray(next)) return fail(`${part} is not a table`)
      here = next as Table
    }
    return here
  }
  const value = (): unknown => {
    const c = text[at]
    if (c === '"') return basicString()
    if (c === "'") return literalString()
    if (c === '[') return list()
    if (c === '{') return inline()
    const bare = word(/[A-Za-z0-9_+.:-]+/y)
    if (bare === 'true' || bare === 'false') return bare === 'true'
    const number = Number(bare?.replace(/_/g, ''))
    return bare === undefined || Number.isNaN(number) ? fail('a value was expected') : number
  }
  const list = (): unknown[] => {
    const out: unknown[] = []
    for (at++; ; ) {
      blank(true)
      if (text[at] === ']') break
      out.push(value())
      blank(true)
      if (text[at] === ',') at++
      else if (text[at] !== ']') fail('a list does not end')
    }
    at++
    return out
  }
  const assign = (into: Table): void => {
    const parts = key()
    if (text[at] !== '=') fail('= was expected')
    at++
    blank(false)
    const last = parts.pop() ?? ''
    const where = descend(into, parts)
    if (last in where) fail(`${last} stands twice`)
    where[last] = value()
  }
  const inline = (): Table => {
    const out: Table = Object.create(null) as Table
    for (at++; ; ) {
      blank(false)
      if (text[at] === '}') break
      assign(out)
      blank(false)
      if (text[at] === ',') at++
      else if (text[at] !== '}') fail('an inline table does not end')
    }
    at++
    return out
  }
  for (;;) {
    blank(true)
    if (at >= text.length) return root as TomlTable
    if (text[at] === '[') {
      at++
      table = descend(root, key())
      if (text[at] !== ']') fail('] was expected')
      at++
    } else assign(table)
    blank(false)
    if (at < text.length && text[at] !== '\n' && text[at] !== '\r') fail('the end of the line was expected')
  }
}
