import t from 'tap'
import { type OverlayNode, type PathTo, planOverlay, tunnelMac, vxlanOverhead } from './plan.js'

const a: OverlayNode = { name: 'a', address: '192.0.2.1', podCidrs: ['10.244.1.0/24', 'fd00:1::/64'] }
const b: OverlayNode = { name: 'b', address: '192.0.2.2', otherAddress: '2001:db8::2', podCidrs: ['10.244.2.0/24', 'fd00:2::/64'] }
const c: OverlayNode = { name: 'c', address: '198.51.100.3', podCidrs: ['10.244.3.0/24'] }
const pathTo = (address: string): PathTo => ({ link: address.startsWith('203.') ? undefined : 2, onLink: !address.startsWith('198.') })

t.test('neighbours by route, others by tunnel', async (t) => {
  const plan = planOverlay(a, [c, a, b], { mode: 'auto', pathTo })
  t.same(plan.routes, [
    { to: '10.244.2.0/24', gateway: '192.0.2.2', link: 2 },
    { to: 'fd00:2::/64', gateway: '2001:db8::2', link: 2 },
    { to: '10.244.3.0/24', gateway: '10.244.3.0', link: undefined },
  ])
  t.same(plan.neighbours, [{ address: '10.244.3.0', mac: tunnelMac('c') }])
  t.same(plan.forwarding, [{ mac: tunnelMac('c'), destination: '198.51.100.3' }])
  t.same(plan.tunnelAddresses, ['10.244.1.0/32', 'fd00:1::/128'])
  t.same(plan.paths, { b: 'direct', c: 'vxlan' })
})

t.test('pods of a family that the peer has no address of go through the tunnel', async (t) => {
  const { otherAddress: _, ...v4only } = b
  const plan = planOverlay(a, [v4only], { mode: 'auto', pathTo })
  t.same(plan.routes, [
    { to: '10.244.2.0/24', gateway: '192.0.2.2', link: 2 },
    { to: 'fd00:2::/64', gateway: 'fd00:2::', link: undefined },
  ])
})

t.test('the mode decides', async (t) => {
  t.same(planOverlay(a, [b], { mode: 'vxlan', pathTo }).paths, { b: 'vxlan' })
  const direct = planOverlay(a, [b, c], { mode: 'direct', pathTo })
  t.same(direct.paths, { b: 'direct', c: 'unreachable' })
  t.same(direct.forwarding, [])
})

t.test('a peer that cannot be reached, or claims a taken prefix, gets nothing', async (t) => {
  const lost = { ...c, address: '203.0.113.9' }
  t.same(planOverlay(a, [lost], { mode: 'auto', pathTo }).paths, { c: 'unreachable' })
  const thief = { ...c, name: 'z', address: '192.0.2.9', podCidrs: ['10.244.2.0/24', '10.244.1.0/24', '10.244.9.5/24'] }
  t.same(
    planOverlay(a, [thief, b], { mode: 'auto', pathTo }).routes.map(({ to, gateway }) => [to, gateway]),
    [
      ['10.244.2.0/24', '192.0.2.2'],
      ['fd00:2::/64', '2001:db8::2'],
      ['10.244.9.0/24', '192.0.2.9'],
    ],
  )
})

t.test('overhead of the outer headers', async (t) => {
  t.equal(vxlanOverhead('192.0.2.1'), 50)
  t.equal(vxlanOverhead('2001:db8::1'), 70)
  t.match(tunnelMac('node'), /^[0-9a-f][26ae](:[0-9a-f]{2}){5}$/)
})
