// The ruleset in kube-proxy's chains and names, loaded through iptables-restore: for people who expect them, and kernels without nftables.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import type { Applier } from './applier.js'
import { type Endpoint, type Family, type Frontend, frontendKey, type Ruleset } from './ruleset.js'

export interface IptablesOptions {
  /** Ranges of the pod network: traffic from elsewhere to cluster IPs is masqueraded. */
  readonly clusterCidrs: readonly string[]
  /** Runs `program` with `input`; rejects with what it said when it fails. Default: as a child process. */
  readonly run?: (program: string, args: readonly string[], input?: string) => Promise<string>
}

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
}

/** The chain of one Service with its endpoints; equal sets of endpoints under equal rules share one. */
function serviceChain(frontend: Frontend, lines: Lines): string {
  const targets = frontend.endpoints.map(({ ip, port }) => `${ip}:${port}`).join()
  const identity = `${frontend.service} ${frontend.protocol} ${targets} ${frontend.affinitySeconds ?? ''}`
  const prefix = frontend.masquerade === 'never' ? 'KUBE-SVL-' : 'KUBE-SVC-'
  const chain = `${prefix}${hash(identity)}`
  if (lines.natChains.has(chain)) return chain
  lines.natChains.add(chain)
  const separate = (endpoint: Endpoint): string =>
    `KUBE-SEP-${hash(`${frontend.service} ${frontend.protocol} ${endpoint.ip}:${endpoint.port} ${frontend.affinitySeconds ?? ''}`)}`
  const seconds = frontend.affinitySeconds
  if (seconds !== undefined) {
    for (const endpoint of frontend.endpoints) {
      const sep = separate(endpoint)
      lines.nat.push(`-A ${chain} ${comment(frontend.service)} -m recent --name ${sep} --rcheck --seconds ${seconds} --reap -j ${sep}`)
    }
  }
  for (const [i, endpoint] of frontend.endpoints.entries()) {
    const left = frontend.endpoints.length - i
    const chance = left > 1 ? ` -m statistic --mode random --probability ${(1 / left).toFixed(10)}` : ''
    const sep = separate(endpoint)
    lines.nat.push(`-A ${chain} ${comment(`${frontend.service} -> ${host(endpoint.ip)}:${endpoint.port}`)}${chance} -j ${sep}`)
    if (lines.natChains.has(sep)) continue
    lines.natChains.add(sep)
    lines.nat.push(`-A ${sep} ${comment(frontend.service)} -s ${endpoint.ip} -j KUBE-MARK-MASQ`)
    const recent = seconds === undefined ? '' : ` -m recent --name ${sep} --set`
    lines.nat.push(
      `-A ${sep} ${comment(frontend.service)}${recent} -p ${lower(frontend)} -m ${lower(frontend)} -j DNAT --to-destination ${host(endpoint.ip)}:${endpoint.port}`,
    )
  }
  return chain
}

function frontendRules(frontend: Frontend, lines: Lines, clusterCidrs: readonly string[]): void {
  const destination = frontend.ip === undefined ? '-m addrtype --dst-type LOCAL' : `-d ${frontend.ip}`
  const match = `${comment(frontend.service)} -p ${lower(frontend)} -m ${lower(frontend)} ${destination} --dport ${frontend.port}`
  if (frontend.endpoints.length === 0) {
    const end = frontend.whenEmpty === 'drop' ? 'DROP' : 'REJECT'
    lines.filter.push(`-A ${frontend.kind === 'ClusterIP' ? 'KUBE-SERVICES' : 'KUBE-EXTERNAL-SERVICES'} ${match} -j ${end}`)
    return
  }
  const service = serviceChain(frontend, lines)
  if (frontend.sourceRanges) {
    const allowed = `KUBE-FW-${hash(frontendKey(frontend))}`
    lines.natChains.add(allowed)
    lines.nat.push(`-A KUBE-SERVICES ${match} -j ${allowed}`)
    if (frontend.masquerade === 'always')
      for (const range of frontend.sourceRanges) lines.nat.push(`-A ${allowed} -s ${range} -j KUBE-MARK-MASQ`)
    for (const range of frontend.sourceRanges) lines.nat.push(`-A ${allowed} -s ${range} -j ${service}`)
    // Whoever is not let in was not translated: it still carries the address it dialled.
    lines.filter.push(`-A KUBE-PROXY-FIREWALL ${match} -j DROP`)
    return
  }
  const chain = frontend.kind === 'NodePort' ? 'KUBE-NODEPORTS' : 'KUBE-SERVICES'
  if (frontend.masquerade === 'always') lines.nat.push(`-A ${chain} ${match} -j KUBE-MARK-MASQ`)
  if (frontend.masquerade === 'outside') {
    // Each pod range returns early from a chain that otherwise marks.
    const mark = 'KUBE-MARK-OUTSIDE'
    if (!lines.natChains.has(mark)) {
      lines.natChains.add(mark)
      for (const range of clusterCidrs) lines.nat.push(`-A ${mark} -s ${range} -j RETURN`)
      lines.nat.push(`-A ${mark} -j KUBE-MARK-MASQ`)
    }
    lines.nat.push(`-A ${chain} ${match} -j ${mark}`)
  }
  lines.nat.push(`-A ${chain} ${match} -j ${service}`)
}

/** Input for `iptables-restore --noflush` (or ip6tables-restore) of one family. Pure. */
export function iptablesRules(ruleset: Ruleset, family: Family, clusterCidrs: readonly string[]): string {
  const lines: Lines = {
    natChains: new Set(['KUBE-SERVICES', 'KUBE-NODEPORTS', 'KUBE-POSTROUTING', 'KUBE-MARK-MASQ']),
    nat: [],
    filter: [],
  }
  const ranges = clusterCidrs.filter((range) => range.includes(':') === (family === 'IPv6'))
  for (const frontend of ruleset.frontends) if (frontend.family === family) frontendRules(frontend, lines, ranges)
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
    '-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS',
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
  ['nat', 'PREROUTING', ['-j', 'KUBE-SERVICES']],
  ['nat', 'OUTPUT', ['-j', 'KUBE-SERVICES']],
  ['nat', 'POSTROUTING', ['-j', 'KUBE-POSTROUTING']],
]

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
  const inUse = new Set<Family>()
  const has = (program: string, args: readonly string[]): Promise<boolean> =>
    run(program, args).then(
      () => true,
      () => false,
    )

  /** Chains of an earlier ruleset that the new one no longer has: emptied and deleted in the same transaction. */
  async function leftovers(family: Family, rules: string): Promise<string> {
    const [, , save] = programs(family)
    const present = [...(await run(save, ['-t', 'nat'])).matchAll(/^:(KUBE-(?:SVC|SVL|SEP|FW|MARK-OUTSIDE)\S*)/gm)].map(
      (match) => match[1] ?? '',
    )
    const gone = present.filter((chain) => !rules.includes(`:${chain} `))
    return gone.length === 0
      ? ''
      : ['*nat', ...gone.map((chain) => `:${chain} - [0:0]`), ...gone.map((chain) => `-X ${chain}`), 'COMMIT', ''].join('\n')
  }

  async function applyFamily(ruleset: Ruleset, family: Family): Promise<void> {
    const [program, restore] = programs(family)
    const rules = iptablesRules(ruleset, family, clusterCidrs)
    await run(restore, ['--noflush', '-w', '5'], rules)
    for (const [table, chain, rule] of jumps) {
      if (!(await has(program, ['-w', '5', '-t', table, '-C', chain, ...rule])))
        await run(program, ['-w', '5', '-t', table, '-I', chain, ...rule])
    }
    const stale = await leftovers(family, rules)
    if (stale !== '') await run(restore, ['--noflush', '-w', '5'], stale)
  }

  return {
    name: 'iptables',
    async apply(ruleset) {
      for (const family of families) {
        if (!inUse.has(family) && family === 'IPv6' && !ruleset.frontends.some((frontend) => frontend.family === family)) continue
        inUse.add(family)
        await applyFamily(ruleset, family)
      }
    },
    async intact() {
      for (const family of inUse) {
        const [program] = programs(family)
        for (const [table, chain, rule] of jumps) if (!(await has(program, ['-w', '5', '-t', table, '-C', chain, ...rule]))) return false
        if (!(await has(program, ['-w', '5', '-t', 'nat', '-C', 'KUBE-MARK-MASQ', '-j', 'MARK', '--or-mark', '0x4000']))) return false
      }
      return true
    },
    async remove() {
      for (const family of families) {
        const [program, restore, save] = programs(family)
        for (const [table, chain, rule] of jumps) while (await has(program, ['-w', '5', '-t', table, '-D', chain, ...rule]));
        for (const table of ['nat', 'filter']) {
          const chains = [...(await run(save, ['-t', table]).catch(() => '')).matchAll(/^:(KUBE-\S+)/gm)].map((match) => match[1] ?? '')
          if (chains.length === 0) continue
          const text = [`*${table}`, ...chains.map((chain) => `:${chain} - [0:0]`), ...chains.map((chain) => `-X ${chain}`), 'COMMIT', '']
          await run(restore, ['--noflush', '-w', '5'], text.join('\n'))
        }
      }
      inUse.clear()
    },
  }
}
