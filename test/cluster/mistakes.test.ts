// Needs root. Whatever a newcomer does wrong is answered with one clear sentence and its mend; `reset` works from every state.
import t from 'tap'
import { createSwitch, type Machine } from '../machines/machine.js'
import type { Result } from '../machines/shell.js'
import { until } from '../machines/until.js'
import { expectClean, KNARR as knarr } from '../walkthrough/cluster.js'

type Tap = typeof t
const HASH = `sha256:${'0'.repeat(64)}`

/** Fails with one sentence, and not with a stack. */
function refused(t: Tap, what: string, { code, stdout, stderr }: Result, sentence: RegExp): void {
  t.equal(code, 1, `${what}: ${stdout}${stderr}`)
  t.match(stderr, sentence)
  t.notMatch(stderr, /\n\s+at |node:internal/, 'no stack')
  t.ok(stderr.trim().split('\n').length <= 2, `few words: ${stderr}`)
}

const reset = async (t: Tap, machine: Machine, why: string): Promise<void> => {
  const { code, stdout, stderr } = await machine.exec([knarr, 'reset', '--force'])
  t.equal(code, 0, `reset ${why}: ${stdout}${stderr}`)
  await expectClean(t, machine)
}

async function unsuitableMachines(t: Tap, machine: Machine): Promise<void> {
  const up = (...before: string[]): Promise<Result> => machine.exec([...before, knarr, 'up'])
  const covered = (file: string, content: string): Promise<Result> =>
    up('unshare', '--mount', 'sh', '-c', `printf '${content}' >/mnt/cover; mount --bind /mnt/cover ${file}; exec "$@"`, 'sh')
  /** Ends the listener: it is no child of ours but one of nsenter's. */
  const free = async (port: string): Promise<void> => {
    await machine.must(['pkill', '-f', `nc -l -p ${port}`])
    await until(`${port} is free`, async () => (await machine.exec(['pgrep', '-f', `nc -l -p ${port}`])).code === 1)
  }
  refused(t, 'no root', await up('unshare', '--user'), /needs root: run it with sudo/)
  refused(t, 'old kernel', await up('setarch', '--uname-2.6'), /the kernel is 2\.6\.\d+\S*: version 5\.12 or newer is needed; upgrade/)
  refused(t, 'clock never set', await up('faketime', '2001-01-01'), /the clock stands before 2026: .*; set it with/)
  refused(
    t,
    'full disk',
    await up('unshare', '--mount', 'sh', '-c', 'mount -t tmpfs -o size=1m tmpfs /var/lib/knarr; exec "$@"', 'sh'),
    /has \d MiB left: free at least/,
  )
  refused(
    t,
    'disk full on the way',
    await up('unshare', '--mount', 'sh', '-c', 'mount -t tmpfs -o nr_inodes=4,size=16k tmpfs /etc/knarr; exec "$@"', 'sh'),
    /no space left on the disk of \/etc\/knarr\S*: free some, then try again/,
  )
  machine.spawn(['busybox', 'nc', '-l', '-p', '6443'])
  await until(
    '6443 is taken',
    async () => (await machine.exec(['sh', '-c', 'grep -q ":192B .* 0A" /proc/net/tcp /proc/net/tcp6'])).code === 0,
  )
  refused(t, 'port taken', await up(), /port 6443 is taken by \w+ \(process \d+\): stop it, or choose another/)
  await free('6443')
  refused(t, 'no such flag', await machine.exec([knarr, 'up', '--dmeo']), /dmeo/)
  refused(t, 'node name', await machine.exec([knarr, 'up', '--node-name=My_Node']), /"My_Node" is no node name: use lower-case/)
  refused(
    t,
    'address of loopback',
    await machine.exec([knarr, 'init', '--advertise-address=127.0.0.1']),
    /cannot reach this one at 127\.0\.0\.1/,
  )
  refused(t, 'no address', await machine.exec([knarr, 'init', '--advertise-address=here']), /--advertise-address: "here" is no IP address/)
  refused(t, 'no such store', await machine.exec([knarr, 'init', '--store=mysql://x']), /"mysql:\/\/x" is no store: .* write etcd:/)
  await expectClean(t, machine)

  // What a cluster can live with is a warning; the machine is stopped from going on by a taken port.
  machine.spawn(['busybox', 'nc', '-l', '-p', '10250'])
  await until(
    '10250 is taken',
    async () => (await machine.exec(['sh', '-c', 'grep -q ":280A .* 0A" /proc/net/tcp /proc/net/tcp6'])).code === 0,
  )
  t.match((await covered('/proc/swaps', 'Filename\\n/dev/sda2 partition 1 0 -2\\n')).stderr, /warning: swap is on: .*"swapoff -a"/)
  t.match((await covered('/proc/filesystems', 'ext4\\n')).stderr, /warning: the kernel has no overlayfs: .*"modprobe overlay"/)
  await free('10250')
}

async function joining(t: Tap, one: Machine, two: Machine): Promise<void> {
  const said = await one.must([knarr, 'init'], { timeoutMs: 180_000 })
  const [, token = '', hash = ''] = /--token (\S+) --discovery-token-ca-cert-hash (\S+)/.exec(said) ?? []
  const server = `${one.address}:6443`
  const joinWith = (...words: string[]): Promise<Result> => two.exec([knarr, 'join', ...words], { timeoutMs: 60_000 })
  const caHash = ['--discovery-token-ca-cert-hash', hash]
  refused(t, 'no address', await joinWith('--token', token, ...caHash), /say which API server to join: knarr join HOST:6443/)
  refused(t, 'no token', await joinWith(server, ...caHash), /--token is missing or malformed/)
  refused(t, 'malformed token', await joinWith(server, '--token', 'secret', ...caHash), /--token is missing or malformed: it looks like/)
  refused(t, 'no hash', await joinWith(server, '--token', token), /ca-cert-hash is missing: without it anybody could pose/)
  refused(
    t,
    'wrong hash',
    await joinWith(server, '--token', token, '--discovery-token-ca-cert-hash', HASH),
    /not the one given: take .* from "knarr token create --print-join/,
  )
  refused(
    t,
    'wrong token',
    await joinWith(server, '--token', 'abcdef.0123456789abcdef', ...caHash),
    /token abcdef\.… is not valid \(wrong, or expired\): make a new one with/,
  )
  refused(
    t,
    'nobody there',
    await joinWith(`${one.address}:6444`, '--token', token, ...caHash),
    /no API server at \S+:6444 \(nothing listens there\): check the address/,
  )
  await one.must([knarr, 'token', 'create', 'expire.0123456789abcdef', '--ttl=1s'])
  const expired = await until('the token has expired', async () => {
    const { stdout } = await one.exec([knarr, 'token', 'list'])
    return stdout.includes('expire.') ? undefined : joinWith(server, '--token', 'expire.0123456789abcdef', ...caHash)
  })
  refused(t, 'expired token', expired, /token expire\.… is not valid \(wrong, or expired\)/)
  refused(
    t,
    'clock off',
    await two.exec(['faketime', '-f', '+3y', knarr, 'join', server, '--token', token, ...caHash]),
    /certificate is not valid at this time: is the clock of this machine right\?/,
  )
  await expectClean(t, two)
  t.equal((await joinWith(server, '--token', token, ...caHash)).code, 0)
  refused(
    t,
    'joined twice',
    await joinWith(server, '--token', token, ...caHash),
    /already belongs to a cluster: "knarr reset" takes it out/,
  )
  refused(t, 'a cluster on a node', await two.exec([knarr, 'up']), /is a node of the cluster at https:\S+: "knarr reset" takes it out/)
  refused(t, 'init twice', await one.exec([knarr, 'init']), /has a cluster, or an "init" that was cut off: "knarr reset" removes it/)
  const listed = await two.exec([knarr, 'token', 'list'])
  refused(t, 'tokens on a node', listed, /admin\.conf is missing: start a cluster with/)
  await reset(t, two, 'of a node')
}

async function resets(t: Tap, machine: Machine): Promise<void> {
  // The supervisors are gone, their processes live on.
  await machine.must(['sh', '-c', 'kill -9 $(pgrep -f [s]upervise-)'])
  t.match((await machine.exec(['pgrep', '-f', 'main.js (server|agent)'])).stdout, /\d+\n\d+/)
  await reset(t, machine, 'without supervisors')
  await reset(t, machine, 'of a clean machine')
  const unread = await machine.exec(['bash', '-c', 'set -o pipefail; "$0" reset --force | true', knarr])
  t.equal(unread.code, 0, `nobody reads what reset says: ${unread.stderr}`)

  // Cut off after each line that init prints.
  const lines = ['Machine is suitable', 'Certificates and keys', 'were started', 'API server answers']
  for (const line of lines) {
    const script = `"$0" init 2>&1 | while read -r said; do case $said in *"${line}"*) pkill -9 -f '[m]ain.js init'; break;; esac; done`
    await machine.exec(['bash', '-c', script, knarr])
    await reset(t, machine, `of an init cut off after "${line}"`)
  }
  await machine.must([knarr, 'up'], { timeoutMs: 180_000 })
  // The state of the runtime is garbage, and everything is killed.
  const wreck =
    "pkill -9 -f '[s]upervise-|[m]ain.js (server|agent)'; for f in $(find /run/knarr/runtime -type f); do echo garbage >$f; done; rm -rf /etc/knarr/pki"
  await machine.exec(['bash', '-c', wreck])
  await reset(t, machine, 'of a wreck')

  // A person at a terminal is asked.
  await machine.must(['sh', '-c', 'mkdir -p /etc/knarr && touch /etc/knarr/kept'])
  const answer = (words: string, said: string): Promise<Result> =>
    machine.exec(['script', '-qec', `${knarr} ${words}`, '/dev/null'], { input: `${said}\n` })
  const no = await answer('reset', 'n')
  t.match(no.stdout, /removes the cluster from this machine[\s\S]*Are you sure\? \[y\/N\][\s\S]*Nothing was changed/)
  t.match((await answer('down --purge', '')).stdout, /Nothing was changed/)
  await machine.must(['test', '-e', '/etc/knarr/kept'])
  t.match((await answer('reset', 'y')).stdout, /files were removed/)
  await expectClean(t, machine)
}

t.test('mistakes', { skip: process.getuid?.() === 0 ? false : 'needs root' }, async (t) => {
  const network = await createSwitch(204)
  t.teardown(() => network.destroy())
  const one = await network.add('one', '10.204.0.11')
  const two = await network.add('two', '10.204.0.12')
  await t.test('machines that will not do', (t) => unsuitableMachines(t as unknown as Tap, one))
  await t.test('joining', (t) => joining(t as unknown as Tap, one, two))
  await t.test('reset works from every state', (t) => resets(t as unknown as Tap, one))
})
