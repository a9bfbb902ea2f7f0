// host-local under fire: several processes take addresses and are killed at any moment. No root needed.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { PluginRequest } from '../../src/cni/index.js'
import { hostLocal } from '../../src/cni/plugins/host-local.js'
import { systemClock } from '../../src/lib/index.js'

// A machine with other work is slow; nothing here measures time.
t.setTimeout(300_000)

const worker = new URL('./lease-worker.js', import.meta.url).pathname
const dataDir = mkdtempSync(join(tmpdir(), 'knarr-test-leases-'))
const alive = setInterval(() => {}, 60_000)
t.teardown(() => {
  rmSync(dataDir, { recursive: true })
  clearInterval(alive)
})

const request = (containerId: string, extra: Partial<PluginRequest> & { config?: PluginRequest['config'] } = {}): PluginRequest => ({
  command: 'ADD',
  containerId,
  netns: '',
  ifName: 'eth0',
  args: '',
  path: [],
  config: {
    cniVersion: '1.1.0',
    name: 'leases',
    type: 'bridge',
    ipam: { type: 'host-local', ranges: [[{ subnet: '10.5.0.0/22' }]], dataDir },
  },
  delegate: async () => undefined,
  ...extra,
})

t.test('no address has two owners, whoever is killed when', async (t) => {
  const folder = join(dataDir, 'leases')
  // One file that all append to: its order is the order in which things happened.
  const log = join(dataDir, 'log')
  const fd = openSync(log, 'a')
  let turn = 0
  // Three at a time, each killed after it took some addresses; what a dead one held stays held.
  await Promise.all(
    [0, 1, 2].map(async (lane) => {
      for (let round = 0; round < 3; round++) {
        const name = `w${lane}r${round}`
        const child = spawn(process.execPath, [worker, dataDir, name], { stdio: ['ignore', fd, 'inherit'] })
        const closed = once(child, 'close')
        const limit = 5 + (turn++ % 4)
        const taken = (): number => readFileSync(log, 'utf8').split(`${name}-`).length - 1
        while (child.exitCode === null && taken() < limit) await new Promise((resolve) => setTimeout(resolve, 3))
        child.kill('SIGKILL')
        await closed
        t.ok(taken() >= limit, `${name} took addresses`)
      }
    }),
  )
  closeSync(fd)
  const holders = new Map<string, string>()
  const clashes: string[] = []
  for (const line of readFileSync(log, 'utf8').trim().split('\n')) {
    const [sign = '', address = '', id = ''] = line.split(' ')
    const holder = holders.get(address)
    if (sign === '-') holders.delete(address)
    else if (holder !== undefined) clashes.push(`${address}: ${holder} and ${id}`)
    else holders.set(address, id)
  }
  t.same(clashes, [])
  // Everything that was told to be held is on disk under its holder; a lease nobody heard of belongs to a killed process.
  for (const [address, id] of holders) {
    const ip = address.split('/')[0] ?? ''
    t.equal(readFileSync(join(folder, ip), 'utf8'), `${id}\r\neth0`)
  }
  const leases = readdirSync(folder).filter((name) => name.startsWith('10.'))
  t.ok(leases.length >= holders.size)
  t.ok(
    leases.every((name) => readFileSync(join(folder, name), 'utf8').includes('eth0')),
    'no lease is half-written',
  )

  // The lock died with its holders, and GC gives back what nobody has.
  const plugin = hostLocal(systemClock)
  const given = await plugin.add(request('after'))
  t.match(given.ips, [{ address: /^10\.5\.\d+\.\d+\/22$/, gateway: '10.5.0.1' }])
  const valid = [{ containerID: 'after', ifname: 'eth0' }]
  await plugin.gc(request('', { config: { ...request('').config, 'cni.dev/valid-attachments': valid } }))
  t.same(
    readdirSync(folder).filter((name) => name.startsWith('10.')),
    [given.ips?.[0]?.address.split('/')[0]],
  )
  await plugin.del(request('after'))
})

t.test('asked addresses, several ranges, routes and resolvers', async (t) => {
  const plugin = hostLocal(systemClock)
  const resolvConf = join(dataDir, 'resolv.conf')
  writeFileSync(resolvConf, '# mine\nnameserver 192.0.2.53\nsearch a.test b.test\noptions ndots:5\n')
  const config = {
    cniVersion: '1.1.0',
    name: 'asked',
    type: 'bridge',
    ipam: {
      type: 'host-local',
      ranges: [[{ subnet: '10.6.0.0/24' }], [{ subnet: 'fd06::/64' }]],
      routes: [{ dst: '0.0.0.0/0' }],
      resolvConf,
      dataDir,
    },
  }
  const first = await plugin.add(request('a', { config, args: 'IgnoreUnknown=1;IP=10.6.0.77' }))
  t.match(first, {
    ips: [{ address: '10.6.0.77/24' }, { address: 'fd06::2/64', gateway: 'fd06::1' }],
    routes: [{ dst: '0.0.0.0/0' }],
    dns: { nameservers: ['192.0.2.53'], search: ['a.test', 'b.test'], options: ['ndots:5'] },
  })
  await t.rejects(plugin.add(request('b', { config: { ...config, runtimeConfig: { ips: ['10.6.0.77'] } } })), {
    code: 11,
    message: /10.6.0.77 is not available/,
  })
  await t.rejects(plugin.add(request('b', { config: { ...config, runtimeConfig: { ips: ['10.6.0.1'] } } })), /address of the gateway/)
  await t.rejects(
    plugin.add(request('b', { config: { ...config, runtimeConfig: { ips: ['192.0.2.1'] } } })),
    /in none of the ranges: 192.0.2.1/,
  )
  await t.rejects(plugin.add(request('a', { config })), /duplicate allocation/)
  t.same(
    readdirSync(join(dataDir, 'asked')).filter((name) => name.includes('.0.') || name.startsWith('fd')),
    ['10.6.0.77', 'fd06::2'],
    'refusals took nothing',
  )
  await plugin.check(request('a', { config }))
  await t.rejects(plugin.check(request('b', { config })), /failed to find an address/)
  await plugin.del(request('a', { config }))
  const again = await plugin.add(request('a', { config }))
  t.match(again.ips, [{ address: '10.6.0.3/24' }, { address: 'fd06::4/64' }], 'a given-back address rests for a round')
})

t.test('ranges that come with the request', async (t) => {
  const plugin = hostLocal(systemClock)
  const ipRanges = [[{ subnet: '10.7.0.0/24', rangeStart: '10.7.0.9', gateway: '10.7.0.10' }], [{ subnet: 'fd07::/64' }]]
  const config = {
    cniVersion: '1.1.0',
    name: 'brought',
    type: 'bridge',
    ipam: { type: 'host-local', dataDir },
    runtimeConfig: { ipRanges },
  }
  const given = async (id: string): Promise<unknown> => (await plugin.add(request(id, { config }))).ips
  t.match(await given('a'), [
    { address: '10.7.0.9/24', gateway: '10.7.0.10' },
    { address: 'fd07::2/64', gateway: 'fd07::1' },
  ])
  t.match(await given('b'), [{ address: '10.7.0.11/24' }, { address: 'fd07::3/64' }], 'the gateway is nobody else')
})

t.test('wrong configurations', async (t) => {
  const plugin = hostLocal(systemClock)
  const base = { cniVersion: '1.1.0', name: 'wrong', type: 'bridge' }
  for (const [ipam, words] of [
    [undefined, /missing "ipam" key/],
    [{ dataDir }, /no IP ranges specified/],
    [{ dataDir, ranges: [[{ subnet: 'nope' }]] }, /not a prefix/],
    [{ dataDir, ranges: [[{ subnet: '10.0.0.0/24' }]], routes: [{ dst: 'x' }] }, /route .* is not/],
    [
      { dataDir, ranges: [[{ subnet: '10.0.0.0/24' }]], resolvConf: '/absent/resolv.conf' },
      /resolvConf \/absent\/resolv.conf does not exist/,
    ],
  ] as const)
    await t.rejects(plugin.add(request('a', { config: { ...base, ...(ipam ? { ipam } : {}) } })), { code: 7, message: words })
  await t.rejects(plugin.add(request('a', { config: { ...base, name: '../x', ipam: { dataDir, subnet: '10.0.0.0/24' } } })), /network name/)
})
