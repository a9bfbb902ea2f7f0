// Questions and answers of the Domain Name System as values (RFC 1035 and its children).

/** Types that are understood; any other one is carried as raw bytes under its number. */
export const TYPES = { A: 1, NS: 2, CNAME: 5, SOA: 6, PTR: 12, MX: 15, TXT: 16, AAAA: 28, SRV: 33, OPT: 41, ANY: 255 } as const
export type TypeName = keyof typeof TYPES

export const RCODES = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const
export type Rcode = keyof typeof RCODES

export type RecordData =
  | { readonly type: 'A' | 'AAAA'; readonly address: string }
  | { readonly type: 'CNAME' | 'NS' | 'PTR'; readonly target: string }
  | { readonly type: 'SRV'; readonly priority: number; readonly weight: number; readonly port: number; readonly target: string }
  | { readonly type: 'MX'; readonly preference: number; readonly target: string }
  | { readonly type: 'TXT'; readonly texts: readonly string[] }
  | {
      readonly type: 'SOA'
      readonly primary: string
      readonly mailbox: string
      readonly serial: number
      readonly refresh: number
      readonly retry: number
      readonly expire: number
      readonly minimum: number
    }
  | { readonly type: 'raw'; readonly number: number; readonly bytes: Uint8Array }

/** Names are absolute, without the final dot, escaped as in zone files (`\.`, `\065`); '' is the root. */
export interface DnsRecord {
  readonly name: string
  /** Seconds. */
  readonly ttl: number
  readonly data: RecordData
}

export interface Question {
  /** As asked: the letter case is kept. */
  readonly name: string
  /** Number of the type. */
  readonly type: number
  readonly class: number
}

export interface Edns {
  /** Largest UDP answer the client takes. */
  readonly udpSize: number
  readonly version: number
  /** DNSSEC OK. */
  readonly dnssecOk: boolean
}

export interface Query {
  readonly id: number
  readonly opcode: number
  readonly recursionDesired: boolean
  readonly checkingDisabled: boolean
  readonly question: Question
  readonly edns?: Edns
  /** Address of the asker, and how it asked. */
  readonly client: string
  readonly transport: 'udp' | 'tcp'
  /** How many aliases of ours led here. */
  readonly hops?: number
}

export interface Reply {
  readonly rcode: Rcode
  /** Ours to know, not somebody else's answer. */
  readonly authoritative?: boolean
  readonly answers?: readonly DnsRecord[]
  readonly authority?: readonly DnsRecord[]
  readonly additional?: readonly DnsRecord[]
}

/** Answers, or asks the next one. */
export type DnsPlugin = (query: Query, next: (query: Query) => Promise<Reply>) => Promise<Reply>

/** Everything asked for, in one function; the end of the chain refuses. */
export type Resolve = (query: Query) => Promise<Reply>

/** The plugins in order; a question that nobody answers is refused. */
export const compose = (plugins: readonly DnsPlugin[]): Resolve =>
  plugins.reduceRight<Resolve>(
    (next, plugin) => (query) => plugin(query, next),
    async () => ({ rcode: 'REFUSED' }),
  )

/** `example.com` for `Example.COM`. */
export const foldName = (name: string): string => name.toLowerCase()

/** True when `name` is `zone` or below it; both folded. */
export const isWithin = (name: string, zone: string): boolean => zone === '' || name === zone || name.endsWith(`.${zone}`)
