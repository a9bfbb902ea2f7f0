// Needs root. A kernel that refuses all of netfilter (as one without it does) does not end the agent.
import { execFileSync } from 'node:child_process'
import t from 'tap'

const program = `
  import { letPodsThrough } from ${JSON.stringify(new URL('./forwarding.js', import.meta.url).href)}
  import { silentLog, systemClock } from ${JSON.stringify(new URL('../lib/index.js', import.meta.url).href)}
  letPodsThrough(['10.244.0.0/16'], { clock: systemClock, log: silentLog }, AbortSignal.timeout(10))
  console.log('goes on')`

t.test('an agent on a kernel without nftables goes on', { skip: process.getuid?.() !== 0 && 'needs root' }, (t) => {
  const words = ['-Ur', process.execPath, '--input-type=module', '-e', program]
  t.equal(execFileSync('unshare', words, { encoding: 'utf8' }).trim(), 'goes on')
  t.end()
})
