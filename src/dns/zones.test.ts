import t from 'tap'
import { zonesOf } from './zones.js'

t.test('networks are the zones that their addresses are looked up in', async (t) => {
  t.same(zonesOf('Example.ORG.'), ['example.org'])
  t.same(zonesOf('10.0.0.0/8'), ['10.in-addr.arpa'])
  t.same(
    zonesOf('192.168.4.0/22'),
    ['4', '5', '6', '7'].map((third) => `${third}.168.192.in-addr.arpa`),
  )
  t.same(zonesOf('0.0.0.0/0'), ['in-addr.arpa'])
  t.same(zonesOf('2001:db8::/32'), ['8.b.d.0.1.0.0.2.ip6.arpa'])
  t.same(
    zonesOf('fd00::/10'),
    ['0', '1', '2', '3'].map((third) => `${third}.d.f.ip6.arpa`),
  )
})
