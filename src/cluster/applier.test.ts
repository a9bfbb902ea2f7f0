// Needs root. Which applier a node takes by itself, asked of a real kernel: one that has nftables, and one that refuses all of netfilter.
import { execFileSync } from 'node:child_process'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

const program = `
  import { chooseApplier } from ${JSON.stringify(new URL('./applier.js', import.meta.url).href)}
  import { silentLog, systemClock, systemRandom } from ${JSON.stringify(new URL('../lib/index.js', import.meta.url).href)}
  const context = { clock: systemClock, random: systemRandom, log: silentLog }
  console.log(chooseApplier('auto', { clusterCidrs: [] }, context).applier.name)
  process.exit(0)`
const chosen = (...prefix: readonly string[]): string => {
  const [first = '', ...rest] = [...prefix, process.execPath, '--input-type=module', '-e', program]
  return execFileSync(first, rest, { encoding: 'utf8' }).trim()
}
/** Root of a user namespace of its own has no say over this network: the kernel refuses netfilter to it, as one without netfilter does. */
const refused = (path = process.env.PATH ?? ''): string => chosen('unshare', '-Ur', 'env', `PATH=${path}`)

t.test('a node takes what its kernel has', { skip: process.getuid?.() !== 0 && 'needs root' }, async (t) => {
  t.equal(chosen(), 'nftables')
  t.equal(refused(), 'userspace', 'the programs of iptables are no use by themselves')
  t.equal(refused('/nonexistent'), 'userspace')
  const folder = t.testdir()
  writeFileSync(join(folder, 'iptables-save'), '#!/bin/sh\nexit 0\n')
  chmodSync(join(folder, 'iptables-save'), 0o755)
  t.equal(refused(`${folder}:${process.env.PATH}`), 'iptables', 'whose program says that the kernel has its tables')
})

const switching = `
  import { execFileSync } from 'node:child_process'
  import { addressHost } from ${JSON.stringify(new URL('./hosts.js', import.meta.url).href)}
  import { removeOtherRules } from ${JSON.stringify(new URL('./applier.js', import.meta.url).href)}
  import { iptablesApplier, nftablesApplier } from ${JSON.stringify(new URL('../proxy/index.js', import.meta.url).href)}
  const ours = () => {
    const said = execFileSync('sh', ['-c', 'nft list tables; iptables-save -t nat'], { encoding: 'utf8' })
    const found = [['nftables', 'knarr-services'], ['iptables', 'KUBE-SERVICES']].flatMap(([mode, sign]) => (said.includes(sign) ? [mode] : []))
    return [...found, ...addressHost.list().filter((ip) => !ip.startsWith('fe80'))]
  }
  const seen = []
  const nothing = { frontends: [], healthChecks: [] }
  await nftablesApplier({ clusterCidrs: [] }).apply(nothing)
  seen.push(ours())
  await iptablesApplier({ clusterCidrs: [] }).apply(nothing)
  for (const ip of ['10.96.0.10', '10.96.0.77', 'fd00::77']) addressHost.add(ip)
  await removeOtherRules('userspace', ['10.96.0.10'])
  seen.push(addressHost.list().length >= 3)
  await iptablesApplier({ clusterCidrs: [] }).apply(nothing)
  await removeOtherRules('iptables', ['10.96.0.10'])
  seen.push(ours())
  await nftablesApplier({ clusterCidrs: [] }).apply(nothing)
  await removeOtherRules('nftables', [])
  seen.push(ours())
  await removeOtherRules('userspace', [])
  seen.push(ours())
  console.log(JSON.stringify(seen))
  process.exit(0)`

t.test('an agent in another mode takes away what the former one left', { skip: process.getuid?.() !== 0 && 'needs root' }, (t) => {
  const said = execFileSync('unshare', ['--net', process.execPath, '--input-type=module', '-e', switching], { encoding: 'utf8' })
  t.same(JSON.parse(said), [['nftables'], true, ['iptables', '10.96.0.10'], ['nftables'], []])
  t.end()
})
