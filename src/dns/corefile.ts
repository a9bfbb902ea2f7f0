// Corefile syntax (coredns.io/manual/toc/#configuration) to values. Pure.
import { zonesOf } from './zones.js'

export interface Directive {
  readonly name: string
  readonly args: readonly string[]
  /** Lines of the directive's own block. */
  readonly block: readonly (readonly string[])[]
  readonly line: number
}

export interface ServerBlock {
  /** What it answers, and where. */
  readonly addresses: readonly ZoneAddress[]
  readonly directives: readonly Directive[]
}

export interface ZoneAddress {
  /** Folded, without the final dot; '' is the root. */
  readonly zone: string
  readonly port: number
}

/** Each once. */
export const zonesIn = ({ addresses }: Pick<ServerBlock, 'addresses'>): readonly string[] => [...new Set(addresses.map(({ zone }) => zone))]

/** The text is no Corefile; says where and what was expected. */
export class CorefileError extends Error {
  override readonly name = 'CorefileError'
}

interface Line {
  readonly words: readonly string[]
  readonly number: number
}

function lines(text: string): Line[] {
  const found: Line[] = []
  for (const [i, source] of text.split('\n').entries()) {
    const words: string[] = []
    for (const match of source.matchAll(/#.*$|"((?:[^"\\]|\\.)*)"|(\S+)/g)) {
      if (match[0].startsWith('#')) break
      words.push(match[1] !== undefined ? match[1].replace(/\\"/g, '"') : (match[2] ?? ''))
    }
    if (words.length > 0) found.push({ words, number: i + 1 })
  }
  return found
}

/** `dns://.:53`, `cluster.local:1053`, `10.0.0.0/8`, … */
function parseAddress(word: string, line: number): readonly ZoneAddress[] {
  const match = /^(.*?)(?::(\d+))?$/.exec(word.replace(/^dns:\/\//, ''))
  const port = match?.[2] === undefined ? 53 : Number(match[2])
  if (!match || port < 1 || port > 65_535) throw new CorefileError(`line ${line}: "${word}" is no server address`)
  return zonesOf(match[1] ?? '').map((zone) => ({ zone, port }))
}

/** The lines of a block up to its `}`, without it; `at` is the first of them. */
function blockAt(all: readonly Line[], at: number, what: string, opened: number): readonly Line[] {
  let depth = 1
  for (let end = at; end < all.length; end++) {
    const { words } = all[end] as Line
    if (words.at(-1) === '{') depth++
    else if (words[0] === '}' && --depth === 0) return all.slice(at, end)
  }
  throw new CorefileError(`line ${opened}: ${what} is not closed with "}"`)
}

/** What may be imported: the other files of the Corefile's folder, by their path in it. */
export type CorefileFiles = ReadonlyMap<string, string>

const FOLDER = '/etc/coredns/'
const DEEPEST_IMPORT = 20

const fileName = (path: string): string => (path.startsWith(FOLDER) ? path.slice(FOLDER.length) : path.replace(/^\.\//, ''))

/** The text of a file beside the Corefile, `/etc/coredns/NAME` or `NAME`. */
export const fileOf = (path: string, files: CorefileFiles): string | undefined => files.get(fileName(path))

/** Without snippets and imports: what they stand for in their place. */
function expand(all: readonly Line[], snippets: Map<string, readonly Line[]>, files: CorefileFiles, depth = 0): readonly Line[] {
  const out: Line[] = []
  for (let at = 0; at < all.length; at++) {
    const line = all[at] as Line
    const [first = '', wanted, ...more] = line.words
    const snippet = /^\((.+)\)$/.exec(first)?.[1]
    if (snippet !== undefined && line.words.length === 2 && wanted === '{') {
      if (snippets.has(snippet)) throw new CorefileError(`line ${line.number}: there are two snippets "${snippet}"`)
      const inner = blockAt(all, at + 1, `the snippet "${snippet}"`, line.number)
      snippets.set(snippet, inner)
      at += inner.length + 1
    } else if (first === 'import') {
      if (wanted === undefined || more.length > 0) throw new CorefileError(`line ${line.number}: import wants one snippet or file`)
      if (depth === DEEPEST_IMPORT) throw new CorefileError(`line ${line.number}: "${wanted}" is imported by what it imports`)
      const found = imported(wanted, line.number, snippets, files)
      for (const lines of found) out.push(...expand(lines, snippets, files, depth + 1))
    } else out.push(line)
  }
  return out
}

function imported(wanted: string, line: number, snippets: ReadonlyMap<string, readonly Line[]>, files: CorefileFiles): (readonly Line[])[] {
  const snippet = snippets.get(wanted)
  if (snippet) return [snippet]
  const pattern = new RegExp(
    `^${fileName(wanted)
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replace(/\*/g, '[^/]*')
      .replace(/\?/g, '[^/]')}$`,
  )
  const found = [...files].filter(([name]) => pattern.test(name)).sort(([a], [b]) => (a < b ? -1 : 1))
  if (found.length === 0 && !/[*?]/.test(wanted))
    throw new CorefileError(`line ${line}: import: there is neither a snippet nor a file "${wanted}"`)
  return found.map(([, text]) => lines(text))
}

/** Zones may be apart by commas, on several lines. */
function head(all: readonly Line[], from: number): { readonly words: readonly string[]; readonly next: number } {
  const words: string[] = []
  for (let at = from; at < all.length; at++) {
    const line = all[at] as Line
    words.push(...line.words.flatMap((word) => (word === '{' ? [word] : word.split(',').filter(Boolean))))
    if (!line.words.at(-1)?.endsWith(',')) return { words, next: at + 1 }
  }
  return { words, next: all.length }
}

/** Reads a Corefile; throws CorefileError. */
export function parseCorefile(text: string, files: CorefileFiles = new Map()): ServerBlock[] {
  const all = expand(lines(text), new Map(), files)
  const blocks: ServerBlock[] = []
  let at = 0
  while (at < all.length) {
    const { number } = all[at] as Line
    const { words, next } = head(all, at)
    if (words.at(-1) !== '{' || words.length < 2)
      throw new CorefileError(`line ${number}: expected zones and "{" at the begin of a server block`)
    const addresses = words.slice(0, -1).flatMap((word) => parseAddress(word, number))
    const inner = blockAt(all, next, 'the server block', number)
    at = next + inner.length + 1
    blocks.push({ addresses, directives: directivesIn(inner) })
  }
  if (blocks.length === 0) throw new CorefileError('no server block')
  return blocks
}

function directivesIn(all: readonly Line[]): readonly Directive[] {
  const directives: Directive[] = []
  for (let at = 0; at < all.length; at++) {
    const { words, number } = all[at] as Line
    const opens = words.at(-1) === '{'
    const [name = '', ...args] = opens ? words.slice(0, -1) : words
    const inner = opens ? blockAt(all, at + 1, `the block of "${name}"`, number) : []
    if (opens) at += inner.length + 1
    directives.push({ name, args, block: inner.map((line) => line.words), line: number })
  }
  return directives
}

/** Seconds of `30`, `30s`, `5m`, `1h`, `500ms`. */
export function duration(word: string, line: number): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(word)
  if (!match) throw new CorefileError(`line ${line}: "${word}" is no duration`)
  const unit = { ms: 0.001, s: 1, m: 60, h: 3600 }[match[2] ?? 's'] ?? 1
  return Number(match[1]) * unit
}

/**
 * What a cluster starts with: the words of the ConfigMap `coredns`. We listen on the node, so health and readiness keep away from
 * CoreDNS's 8080 and 8181, which programs on the node may want. Names of the cluster are looked up as fast as in a cache, and fresh.
 */
export const defaultCorefile = (clusterDomain: string): string => `.:53 {
    errors
    health :10054 {
        lameduck 5s
    }
    ready :10055
    kubernetes ${clusterDomain} in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
        max_concurrent 1000
    }
    cache 30 {
        disable success ${clusterDomain}
        disable denial ${clusterDomain}
    }
    loop
    reload
    loadbalance
}
`
