// Needs root. The machines that other suites stand on: do they have what a machine has, and nothing of each other?
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createSwitch } from './machine.js'

t.test('two machines on a switch', { skip: process.getuid?.() === 0 ? false : 'needs root' }, async (t) => {
  const network = await createSwitch(201)
  t.teardown(() => network.destroy())
  const a = await network.add('alpha', '10.201.0.11')
  const b = await network.add('beta', '10.201.0.12')

  t.equal((await a.must(['hostname'])).trim(), 'alpha')
  t.equal(
    (await a.must(['sh', '-c', 'echo $$; cat /proc/self/cgroup | grep -c ":/$"'])).trim().split('\n').length,
    2,
    'sees itself at the roots of its cgroups',
  )
  await a.must(['sh', '-c', 'echo mine > /etc/knarr/file'])
  t.ok(existsSync(join(a.disk, 'etc/knarr/file')))
  t.not((await b.exec(['cat', '/etc/knarr/file'])).code, 0, 'disks are apart')
  await a.must(['mkdir', '/sys/fs/cgroup/pids/sub'])
  t.not((await b.exec(['ls', '/sys/fs/cgroup/pids/sub'])).code, 0, 'cgroups are apart')

  const ping = (): Promise<number> => a.exec(['busybox', 'ping', '-c1', '-W1', b.address]).then((result) => result.code)
  t.equal(await ping(), 0)
  await network.cut(a, b)
  t.not(await ping(), 0)
  t.equal((await network.exec(['busybox', 'ping', '-c1', '-W1', b.address])).code, 0, 'only the two are parted')
  await network.heal()
  t.equal(await ping(), 0)
  await network.disturb(b, { lossPercent: 100 })
  t.not(await ping(), 0, 'everything is lost')
  await network.heal()
  await network.disturb(b, { rateKbit: 200 })
  t.match((await a.exec(['busybox', 'ping', '-c3', '-s1400', '-i0.01', '-W5', b.address])).stdout, /3 packets received/)
  writeFileSync(join(b.disk, 'etc/knarr/kept'), '')
  await b.powerOff()
  t.notOk(existsSync(`/proc/${b.pid}`))
  t.ok(existsSync(join(b.disk, 'etc/knarr/kept')))
})
