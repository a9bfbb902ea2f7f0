import { isIP } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import * as ip from './ip.js'

t.test('addresses are read and written as RFC 5952 wants', async (t) => {
  for (const [text, canonical] of [
    ['10.0.0.1', '10.0.0.1'],
    ['::', '::'],
    ['::1', '::1'],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['::ffff:1.2.3.4', '::ffff:1.2.3.4'],
    ['64:ff9b::1.2.3.4', '64:ff9b::102:304'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
  ] as const)
    t.equal(ip.formatIp(ip.ipBytes(text)), canonical)
  for (const bad of [
    '',
    '1.2.3',
    '1.2.3.256',
    '01.2.3.4',
    '1:2:3',
    ':::',
    '1::2::3',
    '12345::',
    'fe80::1%eth0',
    '1.2.3.4:5',
    '1:2:3:4:5:6:7:8:9',
    ':1.2.3.4',
  ])
    t.equal(ip.parseIp(bad), undefined, bad)
})

t.test('any address survives the way out and back', async () => {
  fc.assert(fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => isIP(text) === 0 || isIP(ip.formatIp(ip.ipBytes(text))) === isIP(text)))
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => Buffer.compare(ip.ipBytes(ip.formatIp(bytes)), bytes) === 0),
  )
})

t.test('prefixes', async (t) => {
  const prefix = ip.prefixOf('10.1.2.3/20')
  t.equal(ip.formatPrefix(ip.networkOf(prefix)), '10.1.0.0/20')
  t.equal(ip.formatIp(ip.lastOf(prefix)), '10.1.15.255')
  t.ok(ip.prefixContains(prefix, ip.ipBytes('10.1.15.1')))
  t.notOk(ip.prefixContains(prefix, ip.ipBytes('10.1.16.1')))
  t.notOk(ip.prefixContains(prefix, ip.ipBytes('::1')))
  t.equal(ip.formatPrefix(ip.prefixOf('fd00::1')), 'fd00::1/128')
  for (const bad of ['10.0.0.0/33', '10.0.0.0/', '10.0.0.0/08', 'x/8', '10.0.0.0/-1']) t.throws(() => ip.prefixOf(bad), bad)
})

t.test('counting addresses', async (t) => {
  t.equal(ip.formatIp(ip.addToIp(ip.ipBytes('10.0.0.255'), 1)), '10.0.1.0')
  t.equal(ip.formatIp(ip.addToIp(ip.ipBytes('fd00::ffff'), 1)), 'fd00::1:0')
  t.equal(ip.formatIp(ip.addToIp(ip.ipBytes('10.0.1.0'), -1)), '10.0.0.255')
  t.throws(() => ip.addToIp(ip.ipBytes('255.255.255.255'), 1), RangeError)
  t.ok(ip.compareIp(ip.ipBytes('10.0.0.2'), ip.ipBytes('10.0.0.10')) < 0)
})

t.test('MAC addresses', async (t) => {
  t.equal(ip.formatMac(ip.macBytes('02:0A:0b:00:00:ff')), '02:0a:0b:00:00:ff')
  t.throws(() => ip.macBytes('2:0:0:0:0:1'))
})
