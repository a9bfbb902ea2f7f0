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
