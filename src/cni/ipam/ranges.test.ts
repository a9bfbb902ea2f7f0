import fc from 'fast-check'
import t from 'tap'
import { formatIp, ipBytes } from '../../sys/index.js'
import { candidates, describeRange, parseRange, parseRangeSets } from './ranges.js'

const walk = (sets: Parameters<typeof parseRangeSets>[0], last?: string): string[] =>
  [...candidates(parseRangeSets(sets)[0] ?? [], last === undefined ? undefined : ipBytes(last))].map(({ ip }) => formatIp(ip))

t.test('a subnet gives all but its name, its broadcast and the gateway', async (t) => {
  t.same(walk([[{ subnet: '10.0.0.0/29' }]]), ['10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6'])
  t.same(walk([[{ subnet: 'fd00::/126' }]]), ['fd00::2', 'fd00::3'])
  t.same(walk([[{ subnet: '10.0.0.0/24', rangeStart: '10.0.0.9', rangeEnd: '10.0.0.11', gateway: '10.0.0.10' }]]), [
    '10.0.0.9',
    '10.0.0.11',
  ])
  t.equal(describeRange(parseRange({ subnet: '10.0.0.0/24' })), '10.0.0.1-10.0.0.254')
})

t.test('the walk begins behind the last address and comes around', async (t) => {
  t.same(walk([[{ subnet: '10.0.0.0/29' }]], '10.0.0.4'), ['10.0.0.5', '10.0.0.6', '10.0.0.2', '10.0.0.3', '10.0.0.4'])
  const two = [[{ subnet: '10.0.0.0/30' }, { subnet: '10.0.1.0/29', rangeEnd: '10.0.1.3' }]]
  t.same(walk(two), ['10.0.0.2', '10.0.1.2', '10.0.1.3'])
  t.same(walk(two, '10.0.1.2'), ['10.0.1.3', '10.0.0.2', '10.0.1.2'])
  t.same(walk(two, '192.0.2.1'), ['10.0.0.2', '10.0.1.2', '10.0.1.3'], 'a last address of another configuration')
})

t.test('whatever the last address was, every address comes once', async (t) => {
  const length = fc.integer({ min: 24, max: 30 })
  const byte = fc.integer({ min: 0, max: 255 })
  fc.assert(
    fc.property(length, byte, byte, (length, a, b) => {
      const sets = [[{ subnet: `10.0.0.0/${length}` }, { subnet: '10.1.0.0/28' }]]
      const seen = walk(sets, `10.${a % 2}.0.${b}`)
      return new Set(seen).size === seen.length && seen.length === 2 ** (32 - length) - 3 + 13
    }),
  )
  t.pass('of every length')
})

t.test('wrong ranges are refused in words', async (t) => {
  for (const [config, words] of [
    [{ subnet: '10.0.0.1/24' }, /host bits set: write 10.0.0.0\/24/],
    [{ subnet: '10.0.0.0' }, /not a prefix/],
    [{ subnet: 'x/8' }, /not a prefix/],
    [{ subnet: '10.0.0.0/31' }, /too small/],
    [{ subnet: '10.0.0.0/24', rangeStart: '10.0.1.1' }, /rangeStart 10.0.1.1 is not in the subnet/],
    [{ subnet: '10.0.0.0/24', rangeStart: '10.0.0.9', rangeEnd: '10.0.0.8' }, /is after rangeEnd/],
    [{ subnet: '10.0.0.0/24', gateway: 'me' }, /gateway "me"/],
  ] as const)
    t.throws(() => parseRange(config), { code: 7, message: words })
  t.throws(() => parseRangeSets([[{ subnet: '10.0.0.0/24' }], [{ subnet: '10.0.0.128/25' }]]), /overlap/)
  t.throws(() => parseRangeSets([[{ subnet: '10.0.0.0/24' }, { subnet: 'fd00::/64' }]]), /mixes IPv4 and IPv6/)
  t.throws(() => parseRangeSets([[]]), /at least one range/)
})
