import t from 'tap'
import type { CniResult } from './types.js'
import { atLeast, readResult, writeResult } from './versions.js'

const result: CniResult = {
  interfaces: [{ name: 'eth0', mac: '02:00:00:00:00:01', mtu: 1450, sandbox: '/run/netns/x' }],
  ips: [
    { address: '10.0.0.2/24', gateway: '10.0.0.1', interface: 0 },
    { address: 'fd00::2/64', interface: 0 },
  ],
  routes: [{ dst: '0.0.0.0/0', gw: '10.0.0.1', mtu: 1400 }, { dst: '::/0' }],
  dns: { nameservers: ['10.0.0.53'] },
}

t.test('results in the shape of each version', async (t) => {
  t.same(writeResult(result, '0.2.0'), {
    cniVersion: '0.2.0',
    ip4: { ip: '10.0.0.2/24', gateway: '10.0.0.1', routes: [{ dst: '0.0.0.0/0', gw: '10.0.0.1' }] },
    ip6: { ip: 'fd00::2/64', routes: [{ dst: '::/0' }] },
    dns: { nameservers: ['10.0.0.53'] },
  })
  const old = writeResult(result, '0.4.0') as { ips: object[]; interfaces: object[] }
  t.same(old.ips[0], { version: '4', address: '10.0.0.2/24', gateway: '10.0.0.1', interface: 0 })
  t.same(old.interfaces[0], { name: 'eth0', mac: '02:00:00:00:00:01', sandbox: '/run/netns/x' }, 'mtu came with 1.1.0')
  t.same(writeResult(result, '1.1.0'), { cniVersion: '1.1.0', ...result })
})

t.test('what was written is read again', async (t) => {
  for (const version of ['0.3.1', '0.4.0', '1.0.0', '1.1.0']) t.same(readResult(writeResult(result, version)).ips, result.ips, version)
  t.same(
    readResult(writeResult(result, '0.1.0')).ips?.map(({ address }) => address),
    ['10.0.0.2/24', 'fd00::2/64'],
  )
  for (const bad of [null, [], 'text', { cniVersion: '7.0.0' }]) t.throws(() => readResult(bad), JSON.stringify(bad))
  t.throws(() => writeResult(result, '2.0.0'), { code: 1 })
})

t.test('versions are compared by number', async (t) => {
  t.ok(atLeast('0.10.0', '0.9.0'))
  t.notOk(atLeast('0.3.1', '0.4.0'))
})
