// nftables on the real kernel, in namespaces of our own, with nft(8) as the second opinion. Needs root.
import { spawnSync } from 'node:child_process'
import t from 'tap'
import {
  ADDRESS_TYPE,
  CT_STATE,
  createNetworkNamespace,
  dropTable,
  inNetworkNamespace,
  Nftables,
  type NftChain,
  type NftChange,
  type NftElement,
  type NftSet,
  type NftStatement,
  type NftTable,
  PRIORITY,
  removeNetworkNamespace,
  renewTable,
  watchNftables,
} from '../../src/sys/index.js'

// A machine with other work is slow; nothing here measures time.
t.setTimeout(300_000)

const root = process.getuid?.() === 0
if (!root) t.comment('SKIPPED: nftables needs root')
const options = root ? {} : { skip: 'needs root' }
const haveNft = spawnSync('nft', ['--version']).status === 0
if (!haveNft) t.comment('SKIPPED in part: nft(8) is not installed')

const alive = setInterval(() => {}, 60_000)
const made: string[] = []
function namespace(name: string): string {
  const path = `/run/netns/knarr-test-${process.pid}-nft-${name}`
  createNetworkNamespace(path)
  made.push(path)
  return path
}
t.teardown(() => {
  for (const path of made) removeNetworkNamespace(path)
  clearInterval(alive)
})

const listing = (path: string): string => inNetworkNamespace(path, () => spawnSync('nft', ['list', 'ruleset'], { encoding: 'utf8' })).stdout

const table: NftTable = { family: 'inet', name: 'knarr' }
const pre: NftChain = { table, name: 'pre', hook: { type: 'nat', hook: 'prerouting', priority: PRIORITY.dstnat } }
const post: NftChain = { table, name: 'post', hook: { type: 'nat', hook: 'postrouting', priority: PRIORITY.srcnat } }
const input: NftChain = { table, name: 'input', hook: { type: 'filter', hook: 'input', priority: PRIORITY.filter, policy: 'accept' } }
const plain: NftChain = { table, name: 'plain' }
const chains: NftChange[] = [pre, post, input, plain].map((chain) => ({ do: 'add chain', chain }))
const rule = (chain: NftChain, ...statements: NftStatement[]): NftChange => ({ do: 'add rule', rule: { chain, statements } })

t.test('statements mean to nft(8) what they say', { ...options, skip: !root || !haveNft }, async (t) => {
  const path = namespace('words')
  using nft = new Nftables({ namespace: path })
  const addresses: NftSet = { table, name: 'addresses', key: ['ipv4_addr'], interval: true }
  const ports: NftSet = { table, name: 'ports', key: ['inet_proto', 'inet_service'], data: ['ipv4_addr', 'inet_service'] }
  const slots: NftSet = {
    table,
    name: 'slots',
    key: ['ipv4_addr', 'inet_proto', 'inet_service', 'mark'],
    data: ['ipv4_addr', 'inet_service'],
  }
  const verdicts: NftSet = { table, name: 'verdicts', key: ['ipv4_addr'], data: 'verdict' }
  const seen: NftSet = { table, name: 'seen', key: ['ipv4_addr'], data: ['ipv4_addr'], dynamic: true, timeoutMs: 60_000, size: 1000 }
  const nets6: NftSet = { table, name: 'nets6', key: ['ipv6_addr', 'inet_service'], interval: true }
  nft.apply([
    ...renewTable(table),
    ...chains,
    { do: 'add chain', chain: { table, name: 'other' } },
    ...[addresses, ports, slots, verdicts, seen, nets6].map((set): NftChange => ({ do: 'add set', set })),
    {
      do: 'add elements',
      set: addresses,
      elements: [{ key: ['10.0.0.0/8'] }, { key: [{ from: '192.0.2.5', to: '192.0.2.9' }] }, { key: ['255.255.255.255'] }],
    },
    { do: 'add elements', set: ports, elements: [{ key: ['tcp', 80], data: ['10.1.0.2', 8080] }] },
    {
      do: 'add elements',
      set: verdicts,
      elements: [
        { key: ['10.0.0.1'], data: { jump: 'plain' } },
        { key: ['10.0.0.2'], data: 'drop' },
      ],
    },
    { do: 'add elements', set: nets6, elements: [{ key: ['fd00::/8', { from: 1, to: 1023 }] }] },
    rule(pre, { match: 'fib daddr type', value: ADDRESS_TYPE.local }, { dnat: { map: ports, key: ['meta l4proto', 'th dport'] } }),
    rule(pre, {
      dnat: { map: slots, key: ['ip daddr', 'meta l4proto', 'th dport', { numgen: 'random', modulus: 2 }] },
    }),
    rule(pre, { match: 'meta l4proto', value: 'tcp' }, { dnat: { address: '10.9.9.9', port: 443 } }),
    rule(post, { match: 'ip saddr', value: '10.0.0.0/8' }, { lookup: ['ip daddr'], set: addresses, invert: true }, { masquerade: {} }),
    rule(
      input,
      { match: 'ct state', op: '!=', value: 0, mask: CT_STATE.established | CT_STATE.related },
      { counter: true },
      { verdict: 'accept' },
    ),
    rule(input, { vmap: { map: verdicts, key: ['ip saddr'] } }),
    rule(input, { lookup: ['ip6 saddr', 'th dport'], set: nets6 }, { verdict: 'drop' }),
    rule(input, { match: 'meta iifname', value: 'eth0' }, { setMark: { value: 0x4000, mask: 0x4000 } }, { saveMark: true }),
    rule(input, { match: 'th dport', from: 1000, to: 2000 }, { reject: 'port-unreachable' }),
    rule(
      plain,
      { update: seen, key: ['ip saddr'], data: ['ip daddr'] },
      { limit: { perSecond: 10 } },
      { log: { prefix: 'knarr ' } },
      { verdict: { goto: 'other' } },
    ),
  ])
  const text = listing(path).replace(/\s+/g, ' ')
  for (const wanted of [
    'elements = { 10.0.0.0/8, 192.0.2.5-192.0.2.9, 255.255.255.255 }',
    'elements = { tcp . 80 : 10.1.0.2 . 8080 }',
    'elements = { 10.0.0.1 : jump plain, 10.0.0.2 : drop }',
    'elements = { fd00::/8 . 1-1023 }',
    'type nat hook prerouting priority dstnat; policy accept;',
    'fib daddr type local dnat ip to meta l4proto . th dport map @ports',
    'dnat ip to ip daddr . meta l4proto . th dport . numgen random mod 2 map @slots',
    'meta l4proto tcp dnat ip to 10.9.9.9:443',
    'ip saddr 10.0.0.0/8 ip daddr != @addresses masquerade',
    'ct state established,related counter packets 0 bytes 0 accept',
    'ip saddr vmap @verdicts',
    'ip6 saddr . th dport @nets6 drop',
    'iifname "eth0" meta mark set meta mark | 0x00004000 ct mark set meta mark',
    'th dport 1000-2000 reject',
    'update @seen { ip saddr : ip daddr } limit rate 10/second log prefix "knarr " goto other',
  ])
    t.ok(text.includes(wanted), wanted)
})

t.test('what was applied can be listed', options, async (t) => {
  const path = namespace('list')
  using nft = new Nftables({ namespace: path })
  const map: NftSet = { table, name: 'map', key: ['ipv4_addr', 'inet_service'], data: ['ipv6_addr'] }
  const set: NftSet = { table, name: 'ifs', key: ['ifname'] }
  t.notOk(nft.hasTable(table))
  const before = nft.generation()
  nft.apply([
    { do: 'add table', table },
    ...chains,
    { do: 'add set', set: map },
    { do: 'add set', set },
    { do: 'add elements', set: map, elements: [{ key: ['10.0.0.1', 53], data: ['fd00::1'] }] },
    { do: 'add elements', set, elements: [{ key: ['eth0'] }, { key: ['cni0'] }] },
    { do: 'add rule', rule: { chain: plain, statements: [{ counter: true }, { verdict: 'accept' }], comment: 'second' } },
    { do: 'add rule', rule: { chain: plain, statements: [{ verdict: 'continue' }], comment: 'first' }, first: true },
  ])
  t.ok(nft.generation() > before)
  t.ok(nft.hasTable(table))
  t.same(nft.tables(), [table])
  t.match(nft.chains(table), [
    { name: 'pre', hook: { type: 'nat', priority: -100 } },
    { name: 'post' },
    { name: 'input' },
    { name: 'plain', hook: undefined },
  ])
  const rules = nft.rules(table, 'plain')
  t.match(rules, [
    { comment: 'first', expressions: ['immediate'] },
    { comment: 'second', expressions: ['counter', 'immediate'], packets: 0 },
  ])
  t.match(nft.sets(table), [
    { name: 'map', isMap: true },
    { name: 'ifs', isMap: false },
  ])
  t.same(nft.elements(map), [{ key: ['10.0.0.1', 53], data: ['fd00::1'] }])
  t.same(new Set(nft.elements(set).map(({ key }) => key[0])), new Set(['eth0', 'cni0']))

  nft.apply([
    { do: 'delete rule', chain: plain, handle: rules[0]?.handle ?? 0n },
    { do: 'delete elements', set, elements: [{ key: ['eth0'] }] },
    { do: 'flush set', set: map },
  ])
  t.same(
    nft.rules(table, 'plain').map(({ comment }) => comment),
    ['second'],
  )
  t.same(nft.elements(set), [{ key: ['cni0'] }])
  t.same(nft.elements(map), [])
  nft.apply([{ do: 'flush chain', chain: plain }])
  t.same(nft.rules(table, 'plain'), [])
  nft.apply(dropTable(table))
  nft.apply(dropTable(table))
  t.notOk(nft.hasTable(table))
})

t.test('a refused change undoes its transaction and is named', options, async (t) => {
  const path = namespace('atomic')
  using nft = new Nftables({ namespace: path })
  const set: NftSet = { table, name: 'set', key: ['ipv4_addr'] }
  t.throws(
    () =>
      nft.apply([
        { do: 'add table', table },
        { do: 'add set', set },
        rule({ table, name: 'absent' }, { verdict: 'drop' }),
        { do: 'flush set', set },
      ]),
    { code: 'ENOENT', message: /nftables: add rule inet knarr absent .*drop.*: ENOENT/ },
  )
  t.notOk(nft.hasTable(table), 'nothing of it is there')
  t.throws(() => nft.apply([{ do: 'delete elements', set, elements: [{ key: ['10.0.0.1'] }] }]), { code: 'ENOENT' })
  nft.apply([{ do: 'add table', table }])
  t.ok(nft.hasTable(table), 'the connection goes on after refusals')
  for (const [bad, words] of [
    [{ key: ['fd00::1'] }, /no ipv4_addr/],
    [{ key: ['10.0.0.1', 80] }, /2 values for set set/],
    [{ key: ['10.0.0.1'], data: [1] }, /data that does not fit/],
  ] as const)
    t.throws(() => nft.apply([{ do: 'add elements', set, elements: [bad as NftElement] }]), words)
  t.throws(
    () => nft.apply([rule(plain, { match: 'ip saddr', value: '10.0.0.1' }, { match: 'ip6 daddr', value: '::1' })]),
    /no packet has both/,
  )
  t.throws(() => nft.apply([rule(plain, { lookup: ['th dport'], set })]), /do not fit set set/)
  t.same(nft.tables(), [table])
})

t.test('a map of 20,000 entries goes in, is listed, and goes out', options, async (t) => {
  const path = namespace('many')
  using nft = new Nftables({ namespace: path })
  const map: NftSet = { table, name: 'map', key: ['ipv4_addr', 'inet_proto', 'inet_service', 'mark'], data: ['ipv4_addr', 'inet_service'] }
  const elements = Array.from(
    { length: 20_000 },
    (_, i): NftElement => ({ key: [`10.96.${i >> 9}.${(i >> 1) & 255}`, 'tcp', 80, i & 1], data: [`10.244.${i >> 8}.${i & 255}`, 8080] }),
  )
  nft.apply([
    { do: 'add table', table },
    { do: 'add set', set: map },
    { do: 'add elements', set: map, elements },
  ])
  const missing = (): number => {
    const listed = new Set(nft.elements(map).map(({ key }) => key.join()))
    return elements.filter(({ key }) => !listed.has(key.join())).length
  }
  // While the kernel's hash table still grows, a listing may have one entry twice and another not at all.
  for (let tries = 0; missing() > 0 && tries < 200; tries++) await new Promise((resolve) => setTimeout(resolve, 25))
  t.equal(missing(), 0)
  nft.apply([{ do: 'delete elements', set: map, elements }])
  t.same(nft.elements(map), [])
})

t.test('transactions of others are told', options, async (t) => {
  const path = namespace('watch')
  using nft = new Nftables({ namespace: path })
  await new Promise<void>((resolve) => {
    const stop = watchNftables(
      () => {
        stop()
        resolve()
      },
      { namespace: path },
    )
    nft.apply([{ do: 'add table', table }])
  })
  t.ok(nft.hasTable(table))
})
