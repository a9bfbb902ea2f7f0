// Corefile syntax (coredns.io/manual/toc/#configuration) to values. Pure.

export interface Directive {
  readonly name: string
  readonly args: readonly string[]
  /** Lines of the directive's own block. */
  readonly block: readonly (readonly string[])[]
  readonly line: number
}

export interface ServerBlock {
  /** Folded, without the final dot; '' is the root. */
  readonly zones: readonly string[]
  readonly port: number
  readonly directives: readonly Directive[]
}

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
function parseAddress(word: string, line: number): { readonly zone: string; readonly port: number } {
  const bare = word.replace(/^dns:\/\//, '').replace(/,$/, '')
  const match = /^(.*?)(?::(\d+))?$/.exec(bare)
  const port = match?.[2] === undefined ? 53 : Number(match[2])
  if (!match || port < 1 || port > 65_535) throw new CorefileError(`line ${line}: "${word}" is no server address`)
  return { zone: (match[1] ?? '').toLowerCase().replace(/\.$/, ''), port }
}

/** Reads a Corefile; throws CorefileError. */
export function parseCorefile(text: string): ServerBlock[] {
  const all = lines(text)
  const blocks: ServerBlock[] = []
  let at = 0
  while (at < all.length) {
    const head = all[at] as Line
    if (head.words.at(-1) !== '{') throw new CorefileError(`line ${head.number}: expected "{" after the zones of a server block`)
    const addresses = head.words.slice(0, -1).map((word) => parseAddress(word, head.number))
    at++
    const directives: Directive[] = []
    for (;;) {
      const line = all[at++]
      if (!line) throw new CorefileError(`line ${head.number}: the server block is not closed with "}"`)
      if (line.words[0] === '}') break
      const opens = line.words.at(-1) === '{'
      const [name = '', ...args] = opens ? line.words.slice(0, -1) : line.words
      const block: (readonly string[])[] = []
      if (opens) {
        for (;;) {
          const inner = all[at++]
          if (!inner) throw new CorefileError(`line ${line.number}: the block of "${name}" is not closed with "}"`)
          if (inner.words[0] === '}') break
          block.push(inner.words)
        }
      }
      directives.push({ name, args, block, line: line.number })
    }
    blocks.push({ zones: addresses.map(({ zone }) => zone), port: addresses[0]?.port ?? 53, directives })
  }
  if (blocks.length === 0) throw new CorefileError('no server block')
  return blocks
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
