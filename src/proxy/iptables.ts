// The ruleset in kube-proxy's chains and names, loaded through iptables-restore: for people who expect them, and kernels without nftables.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import type { Applier } from './applier.js'
import type { Endpoint, Family, Frontend, Ruleset } from './ruleset.js'

export interface IptablesOptions {
  /** Ranges of the pod network: traffic from elsewhere to cluster IPs is masqueraded. */
  readonly clusterCidrs: readonly string[]
  /** Runs `program` with `input`; rejects with what it said when it fails. Default: as a child process. */
  readonly run?: (program: string, args: readonly string[], input?: string) => Promise<string>
}

/** Marks packets that do not come from pods. */
const MARK_OUTSIDE = 'KUBE-MARK-OUTSIDE'

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

/** 16 characters that stand for a name in chain names, as kube-proxy makes them. */
function hash(text: string): string {
  const digest = createHash('sha256').update(text).digest()
  let [bits, value, out] = [0, 0, '']
  for (const byte of digest) {
    value = (value << 8) | byte
    for (bits += 8; bits >= 5 && out.length < 16; bits -= 5) out += BASE32[(value >> (bits - 5)) & 31]
    value &= (1 << bits) - 1
  }
  return out
}

const lower = (frontend: Frontend): string => frontend.protocol.toLowerCase()
const host = (ip: string): string => (ip.includes(':') ? `[${ip}]` : ip)
const comment = (text: string): string => `-m comment --comment "${text.replace(/["\\\n]/g, '')}"`

interface Lines {
  readonly natChains: Set<string>
  readonly nat: string[]
  readonly filter: string[]
  readonly clusterCidrs: readonly string[]
}

/** kube-proxy's name of a chain: the Service's port, the protocol, and for endpoints their address. */
const chainName = (prefix: string, frontend: Frontend, endpoint = ''): string =>
  `${prefix}${hash(`${frontend.service}${lower(frontend)}${endpoint}`)}`

/** The chain that draws one of the endpoints. `local`: of this node only. */
function serviceChain(frontend: Frontend, endpoints: readonly Endpoint[], local: boolean, lines: Lines): string {
  const chain = chainName(local ? 'KUBE-SVL-' : 'KUBE-SVC-', frontend)
  if (lines.natChains.has(chain)) return chain
  lines.natChains.add(chain)
  const say = comment(frontend.service)
  const target = ({ ip, port }: Endpoint): string => `${host(ip)}:${port}`
  const seconds = frontend.affinitySeconds
  const named = endpoints.map((endpoint) => ({ endpoint, sep: chainName('KUBE-SEP-', frontend, target(endpoint)) }))
  if (seconds !== undefined)
    for (const { sep } of named) lines.nat.push(`-A ${chain} ${say} -m recent --name ${sep} --rcheck --seconds ${seconds} --reap -j ${sep}`)
  for (const [i, { endpoint, sep }] of named.entries()) {
    const left = endpoints.length - i
    const chance = left > 1 ? ` -m statistic --mode random --probability ${(1 / left).toFixed(10)}` : ''
    lines.nat.push(`-A ${chain} ${comment(`${frontend.service} -> ${target(endpoint)}`)}${chance} -j ${sep}`)
    if (lines.natChains.has(sep)) continue
    lines.natChains.add(sep)
    const recent = seconds === undefined ? '' : ` -m recent --name ${sep} --set`
    lines.nat.push(
      `-A ${sep} ${say} -s ${endpoint.ip} -j KUBE-MARK-MASQ`,
      `-A ${sep} ${say}${recent} -p ${lower(frontend)} -m ${lower(frontend)} -j DNAT --to-destination ${target(endpoint)}`,
    )
  }
  return chain
}

/** The chain behind node ports and external addresses: who is masqueraded, and who is led to endpoints of this node only. */
function externalChain(frontend: Frontend, lines: Lines): string {
  const chain = chainName('KUBE-EXT-', frontend)
  if (lines.natChains.has(chain)) return chain
  lines.natChains.add(chain)
  const say = comment(frontend.service)
  if (frontend.masquerade === 'always') lines.nat.push(`-A ${chain} ${say} -j KUBE-MARK-MASQ`)
  if (frontend.inside && frontend.inside.length > 0) {
    const everywhere = serviceChain(frontend, frontend.inside, false, lines)
    for (const range of lines.clusterCidrs) lines.nat.push(`-A ${chain} ${say} -s ${range} -j ${everywhere}`)
    lines.nat.push(
      `-A ${chain} ${say} -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ`,
      `-A ${chain} ${say} -m addrtype --src-type LOCAL -j ${everywhere}`,
    )
  }
  if (frontend.endpoints.length > 0)
    lines.nat.push(`-A ${chain} ${say} -j ${serviceChain(frontend, frontend.endpoints, frontend.local, lines)}`)
  return chain
}

/** Nothing behind it for clients from outside: they still carry the address they dialled, because nothing translated them. */
function emptyRule(frontend: Frontend, match: string, lines: Lines): void {
  // A reset, because the kernel sends only so many ICMP errors to one client.
  const refuse = frontend.protocol === 'TCP' ? 'REJECT --reject-with tcp-reset' : 'REJECT'
  const end = frontend.whenEmpty === 'drop' ? 'DROP' : refuse
  lines.filter.push(`-A ${frontend.kind === 'ClusterIP' ? 'KUBE-SERVICES' : 'KUBE-EXTERNAL-SERVICES'} ${match} -j ${end}`)
}

function frontendRules(frontend: Frontend, lines: Lines): void {
  const destination = frontend.ip === undefined ? '-m addrtype --dst-type LOCAL' : `-d ${frontend.ip}`
  const match = `${comment(frontend.service)} -p ${lower(frontend)} -m ${lower(frontend)} ${destination} --dport ${frontend.port}`
  if (frontend.endpoints.length === 0) emptyRule(frontend, match, lines)
  if (frontend.endpoints.length === 0 && (frontend.inside?.length ?? 0) === 0) return
  if (frontend.kind === 'ClusterIP') {
    if (!lines.natChains.has(MARK_OUTSIDE)) {
      // Each pod range returns early from a chain that otherwise marks.
      lines.natChains.add(MARK_OUTSIDE)
      for (const range of lines.clusterCidrs) lines.nat.push(`-A ${MARK_OUTSIDE} -s ${range} -j RETURN`)
      lines.nat.push(`-A ${MARK_OUTSIDE} -j KUBE-MARK-MASQ`)
    }
    lines.nat.push(
      `-A KUBE-SERVICES ${match} -j ${MARK_OUTSIDE}`,
      `-A KUBE-SERVICES ${match} -j ${serviceChain(frontend, frontend.endpoints, frontend.local, lines)}`,
    )
    return
  }
  const external = externalChain(frontend, lines)
  if (!frontend.sourceRanges) {
    lines.nat.push(`-A ${frontend.kind === 'NodePort' ? 'KUBE-NODEPORTS' : 'KUBE-SERVICES'} ${match} -j ${external}`)
    return
  }
  const allowed = chainName('KUBE-FW-', frontend)
  lines.nat.push(`-A KUBE-SERVICES ${match} -j ${allowed}`)
  // Whoever is not let in was not translated: it still carries the address it dialled.
  lines.filter.push(`-A KUBE-PROXY-FIREWALL ${match} -j DROP`)
  if (lines.natChains.has(allowed)) return
  lines.natChains.add(allowed)
  for (const range of frontend.sourceRanges) lines.nat.push(`-A ${allowed} -s ${range} -j ${external}`)
}

/** Input for `iptables-restore --noflush` (or ip6tables-restore) of one family. Pure. */
export function iptablesRules(ruleset: Ruleset, family: Family, clusterCidrs: readonly string[]): string {
  const lines: Lines = {
    natChains: new Set(['KUBE-SERVICES', 'KUBE-NODEPORTS', 'KUBE-POSTROUTING', 'KUBE-MARK-MASQ']),
    nat: [],
    filter: [],
    clusterCidrs: clusterCidrs.filter((range) => range.includes(':') === (family === 'IPv6')),
  }
  for (const frontend of ruleset.frontends) if (frontend.family === family) frontendRules(frontend, lines)
  const filterChains = ['KUBE-SERVICES', 'KUBE-EXTERNAL-SERVICES', 'KUBE-FORWARD', 'KUBE-PROXY-FIREWALL']
  return [
    '*filter',
    ...filterChains.map((chain) => `:${chain} - [0:0]`),
    '-A KUBE-FORWARD -m conntrack --ctstate INVALID -m comment --comment "nothing of ours" -j DROP',
    '-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT',
    '-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    ...lines.filter,
    'COMMIT',
    '*nat',
    ...[...lines.natChains].sort().map((chain) => `:${chain} - [0:0]`),
    '-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000',
    '-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN',
    '-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000',
    '-A KUBE-POSTROUTING -j MASQUERADE --random-fully',
    ...lines.nat,
    // Last, so that a cluster IP wins over a node port of the same number.
    `-A KUBE-SERVICES ! -d ${family === 'IPv4' ? '127.0.0.0/8' : '::1/128'} -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS`,
    'COMMIT',
    '',
  ].join('\n')
}

/** Built-in chain and the rule that leads from it to ours. */
const jumps: readonly (readonly [table: string, chain: string, rule: readonly string[]])[] = [
  ['filter', 'INPUT', ['-m', 'conntrack', '--ctstate', 'NEW', '-j', 'KUBE-PROXY-FIREWALL']],
  ['filter', 'INPUT', ['-m', 'conntrack', '--ctstate', 'NEW', '-j', 'KUBE-EXTERNAL-SERVICES']],
  ['filter', 'FORWARD', ['-m', 'conntrack', '--ctstate', 'NEW', '-j', 'KUBE-PROXY-FIREWALL']],
  ['filter', 'FORWARD', ['-m', 'conntrack', '--ctstate', 'NEW', '-j', 'KUBE-SERVICES']],
  ['filter', 'FORWARD', ['-m', 'conntrack', '--ctstate', 'NEW', '-j', 'KUBE-EXTERNAL-SERVICES']],
  ['filter', 'FORWARD', ['-j', 'KUBE-FORWARD']],
  ['filter', 'OUTPUT', ['-m', 'conntrack', '--ctstate', 'NEW', '-j', 'KUBE-SERVICES']],
  ['filter', 'OUTPUT', ['-m', 'conntrack', '--ctstate', 'NEW', '-j', 'KUBE-EXTERNAL-SERVICES']],
  ['nat', 'PREROUTING', ['-j', 'KUBE-SERVICES']],
  ['nat', 'OUTPUT', ['-j', 'KUBE-SERVICES']],
  ['nat', 'POSTROUTING', ['-j', 'KUBE-POSTROUTING']],
]

/** Chains that are ours to delete; others called KUBE-… belong to the kubelet or to a network policy. */
const OWN_CHAIN = /^KUBE-(?:SVC-|SVL-|SEP-|EXT-|FW-|MARK-|SERVICES|NODEPORTS|POSTROUTING|EXTERNAL-SERVICES|FORWARD|PROXY-FIREWALL)/

/** The part of iptables-save's output about one table. */
function sectionOf(saved: string, table: string): string {
  const start = saved.indexOf(`*${table}\n`)
  return start < 0 ? '' : saved.slice(start, saved.indexOf('\nCOMMIT', start) + 1)
}

const runChild: NonNullable<IptablesOptions['run']> = (program, args, input = '') =>
  new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] })
    let [out, said] = ['', '']
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString()
    })
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
    child.on('error', (error) => reject(new Error(`${program} could not be started`, { cause: error })))
    child.on('close', (code) => (code === 0 ? resolve(out) : reject(new Error(`${program}: ${said.trim() || `exit code ${code}`}`))))
    child.stdin.on('error', () => {})
    child.stdin.end(input)
  })

export function iptablesApplier({ clusterCidrs, run = runChild }: IptablesOptions): Applier {
  const programs = (family: Family): readonly [program: string, restore: string, save: string] =>
    family === 'IPv4' ? ['iptables', 'iptables-restore', 'iptables-save'] : ['ip6tables', 'ip6tables-restore', 'ip6tables-save']
  const families: readonly Family[] = ['IPv4', 'IPv6']
  /** What we put there last: chains of the nat table, and how many rules of ours there are. */
  const held = new Map<Family, { readonly chains: readonly string[]; readonly rules: number }>()
  const chainsOf = (text: string): string[] => [...text.matchAll(/^:(KUBE-\S+)/gm)].map(([, chain = '']) => chain)
  const rulesOf = (text: string): number => text.match(/^-A KUBE-/gm)?.length ?? 0
  const natOf = (text: string): string => text.slice(text.indexOf('*nat'))

  /** Empties chains and deletes them, in one transaction. */
  const away = (restore: string, table: string, chains: readonly string[]): Promise<string> =>
    run(
      restore,
      ['--noflush', '-w', '5'],
      [`*${table}`, ...chains.map((chain) => `:${chain} - [0:0]`), ...chains.map((chain) => `-X ${chain}`), 'COMMIT', ''].join('\n'),
    )

  async function applyFamily(ruleset: Ruleset, family: Family, anew: boolean): Promise<void> {
    const [program, restore, save] = programs(family)
    const rules = iptablesRules(ruleset, family, clusterCidrs)
    await run(restore, ['--noflush', '-w', '5'], rules)
    const chains = chainsOf(natOf(rules))
    const before = anew
      ? chainsOf(await run(save, ['-t', 'nat'])).filter((chain) => OWN_CHAIN.test(chain))
      : (held.get(family)?.chains ?? [])
    if (anew) {
      const present = await run(save, [])
      for (const [table, chain, rule] of jumps) {
        if (!sectionOf(present, table).includes(`-A ${chain} ${rule.join(' ')}\n`))
          await run(program, ['-w', '5', '-t', table, '-I', chain, ...rule])
      }
    }
    const kept = new Set(chains)
    const gone = before.filter((chain) => !kept.has(chain))
    if (gone.length > 0) await away(restore, 'nat', gone)
    held.set(family, { chains, rules: rulesOf(rules) })
  }

  return {
    name: 'iptables',
    async apply(ruleset, change) {
      for (const family of families) {
        if (!held.has(family) && family === 'IPv6' && !ruleset.frontends.some((frontend) => frontend.family === family)) continue
        await applyFamily(ruleset, family, change === undefined || !held.has(family))
      }
    },
    async intact() {
      for (const [family, { chains, rules }] of held) {
        const present = await run(programs(family)[2], [])
        const there = new Set(chainsOf(natOf(present)))
        const jumpsThere = jumps.every(([table, chain, rule]) => sectionOf(present, table).includes(`-A ${chain} ${rule.join(' ')}\n`))
        if (!jumpsThere || !chains.every((chain) => there.has(chain)) || rulesOf(present) < rules) return false
      }
      return true
    },
    async remove() {
      for (const family of families) {
        const [program, restore, save] = programs(family)
        const present = await run(save, []).catch(() => '')
        for (const [table, chain, rule] of jumps) {
          const times = sectionOf(present, table).split(`-A ${chain} ${rule.join(' ')}\n`).length - 1
          for (let i = 0; i < times; i++) await run(program, ['-w', '5', '-t', table, '-D', chain, ...rule])
        }
        for (const table of ['nat', 'filter']) {
          const chains = chainsOf(sectionOf(present, table)).filter((chain) => OWN_CHAIN.test(chain))
          if (chains.length > 0) await away(restore, table, chains)
        }
      }
      held.clear()
    },
  }
}
