// Needs root. Real processes under our own supervisor: started again when they end, and gone when they are stopped.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { isSupervised, startService, stopService, systemdUnit } from '../../src/cluster/supervise.js'

const skip = process.getuid?.() !== 0 ? 'needs root' : existsSync('/run/systemd/system') ? 'systemd supervises here' : false
const until = async (what: () => boolean): Promise<void> => {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 20))
}

t.test('a service that ends is started again; a stopped one is not', { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'knarr-supervise-'))
  const name = `test-${process.pid}`
  t.teardown(async () => {
    await stopService(name)
    rmSync(folder, { recursive: true })
    for (const file of [`/var/lib/knarr/supervise-${name}`, `/var/log/knarr/${name}.log`]) rmSync(file, { force: true })
  })
  const runs = join(folder, 'runs')
  const script = `echo "$GREETING $$" >> ${runs}; [ $(wc -l < ${runs}) -lt 2 ] || exec sleep 1000`
  await startService({ name, description: 'a test', argv: ['/bin/sh', '-c', script], env: { GREETING: 'hello "there"' } })
  t.ok(isSupervised(name))
  const lines = (): string[] => (existsSync(runs) ? readFileSync(runs, 'utf8').trim().split('\n') : [])
  await until(() => lines().length === 2)
  t.match(lines()[1], /^hello "there" \d+$/)
  const pid = Number(lines()[1]?.split(' ').at(-1))
  t.ok(existsSync(`/proc/${pid}`))
  process.kill(pid, 'SIGKILL')
  await until(() => lines().length === 3)
  const last = Number(lines()[2]?.split(' ').at(-1))
  await stopService(name)
  await until(() => !existsSync(`/proc/${last}`)) // init reaps it when it likes
  t.notOk(isSupervised(name))
  await stopService(name)
})

t.test('systemd units quote what needs it', async (t) => {
  const unit = systemdUnit({
    name: 'agent',
    description: 'Knarr agent',
    argv: ['/usr/bin/node', '/opt/my knarr/main.js', '--label=a%b'],
    env: { HOME: '/root' },
  })
  t.match(unit, /ExecStart=\/usr\/bin\/node "\/opt\/my knarr\/main\.js" --label=a%b/)
  t.match(unit, /KillMode=process/)
})
