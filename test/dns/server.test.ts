// Real sockets on loopback: dig and the resolvers of glibc and musl against our server, with upstreams of our own.
import { execFile } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { type ClusterView, compose, type DnsRecord, dnsListeners, serveDns, TYPES } from '../../src/dns/index.js'
import { exchangeTcp, exchangeUdp, forward } from '../../src/dns/plugins/forward.js'
import { newMetrics } from '../../src/dns/plugins/metrics.js'
import { errors } from '../../src/dns/plugins/small.js'
import { randomInt, seededRandom, silentLog, systemClock, systemRandom } from '../../src/lib/index.js'
import { sendFromPortZero } from '../machines/port-zero.js'

const exec = promisify(execFile)
const many = Array.from({ length: 80 }, (_, i): DnsRecord => ({ name: 'many.test', ttl: 5, data: { type: 'A', address: `10.0.0.${i}` } }))
const resolve = compose([
  errors(silentLog),
  async (query, next) => {
    const name = query.question.name.toLowerCase()
    if (name === 'many.test') return { rcode: 'NOERROR', answers: many.map((record) => ({ ...record, name: query.question.name })) }
    if (name === 'one.test' && query.question.type === TYPES.A)
      return { rcode: 'NOERROR', answers: [{ name: query.question.name, ttl: 5, data: { type: 'A', address: '10.0.0.1' } }] }
    if (name === 'one.test') return { rcode: 'NOERROR' }
    if (name === 'broken.test') throw new Error('broken')
    return next(query)
  },
])
const nobody: ClusterView = {
  service: () => undefined,
  slices: () => [],
  hasNamespace: () => false,
  servicesWithIp: () => [],
  slicesWithIp: () => [],
}
const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
const start = (port = 0) => serveDns({ addresses: ['127.0.0.1'], port, resolve, clock: systemClock, log: silentLog })

const options = { zone: '', clock: systemClock, random: systemRandom, log: silentLog, metrics: newMetrics() }
const dig = async (port: number, ...args: string[]): Promise<string> =>
  (await exec('dig', ['@127.0.0.1', '-p', String(port), '+time=3', '+tries=1', ...args])).stdout

t.test('dig over udp, tcp, with and without EDNS', async (t) => {
  const server = await start()
  t.teardown(() => server.close())
  t.match(await dig(server.udpPort, 'OnE.tEsT'), /OnE\.tEsT\.\s+5\s+IN\s+A\s+10\.0\.0\.1/)
  t.match(await dig(server.udpPort, '+noedns', '+ignore', 'many.test'), /flags: qr tc/)
  t.notMatch(await dig(server.udpPort, '+bufsize=4096', 'many.test'), /flags: qr tc/)
  t.match(await dig(server.tcpPort, '+tcp', 'many.test'), /ANSWER: 80/)
  t.match(await dig(server.udpPort, 'broken.test'), /status: SERVFAIL/)
  t.match(await dig(server.udpPort, 'other.test'), /status: REFUSED/)
  t.match(await dig(server.udpPort, '+edns=1', '+noednsnegotiation', 'one.test'), /status: BADVERS/)
  t.match(await dig(server.udpPort, '+opcode=status', 'one.test'), /status: NOTIMP/)
  t.match(await dig(server.udpPort, '+opcode=notify', 'one.test'), /status: NOTIMP/)
  t.match(await dig(server.udpPort, '+ednsopt=65001:00ff', '+nsid', '+cookie=0011223344556677', 'one.test'), /NOERROR.*10\.0\.0\.1/s)
  t.match(await dig(server.udpPort, '-c', 'CH', 'one.test'), /status: REFUSED/, 'records are of the class IN')
  t.match(await dig(server.udpPort, '-c', 'CH', '-t', 'TXT', 'version.bind'), /status: REFUSED/)
  // dig says of every answer but a whole zone that the transfer failed: the reply itself is looked at.
  for (const type of ['00fb', '00fc']) {
    const question = Buffer.from(`000101000001000000000000036f6e65047465737400${type}0001`, 'hex')
    const reply = await exchangeTcp({ address: '127.0.0.1', port: server.tcpPort }, question, systemClock, 10_000)
    t.equal((reply[3] ?? 0) & 15, 5, 'zones are not handed out: REFUSED')
  }
})

t.test('a question that is under way while its server closes gets no answer, and breaks nothing', async (t) => {
  let asked: () => void = () => {}
  const arrived = new Promise<void>((resolve) => {
    asked = resolve
  })
  let reply: () => void = () => {}
  const held = new Promise<void>((resolve) => {
    reply = resolve
  })
  const errors: unknown[] = []
  const server = await serveDns({
    addresses: ['127.0.0.1'],
    port: 0,
    clock: systemClock,
    log: { ...silentLog, error: (...said: unknown[]) => void errors.push(said) },
    async resolve() {
      asked()
      await held
      return { rcode: 'NOERROR' }
    },
  })
  const client = createSocket('udp4')
  t.teardown(() => client.close())
  client.send(Buffer.from('000101000001000000000000036f6e6504746573740000010001', 'hex'), server.udpPort, '127.0.0.1')
  await arrived
  await server.close()
  reply()
  // A rejection that nobody handles would end the process, and this test with it.
  await new Promise((resolve) => setImmediate(resolve))
  t.same(errors, [])
})

t.test(
  'a question from port 0, where nothing can be sent to, is left alone',
  { skip: process.getuid?.() === 0 ? false : 'needs root' },
  async (t) => {
    const server = await start()
    t.teardown(() => server.close())
    sendFromPortZero(server.udpPort, Buffer.from('000101000001000000000000036f6e6504746573740000010001', 'hex'))
    t.match(await dig(server.udpPort, 'one.test'), /10\.0\.0\.1/, 'the server goes on')
  },
)

t.test('a TCP connection on which nobody says anything is closed', async (t) => {
  const server = await serveDns({ addresses: ['127.0.0.1'], port: 0, resolve, clock: systemClock, log: silentLog, idleMs: 50 })
  t.teardown(() => server.close())
  const socket = connect(server.tcpPort, '127.0.0.1').resume()
  await new Promise((resolve) => socket.once('close', resolve))
  t.match(await dig(server.tcpPort, '+tcp', 'one.test'), /10\.0\.0\.1/)
})

t.test('a TCP connection carries several questions, also in pieces, and garbage ends it', async (t) => {
  const server = await start()
  t.teardown(() => server.close())
  const socket = connect(server.tcpPort, '127.0.0.1')
  const message = Buffer.from('0001010000010000000000000' + '36f6e6504746573740000010001', 'hex')
  const framed = Buffer.concat([Buffer.from([0, message.length]), message])
  const replies = new Promise<number>((resolve) => {
    let bytes = Buffer.alloc(0)
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk])
      let count = 0
      for (let at = 0; at + 2 <= bytes.length && at + 2 + bytes.readUInt16BE(at) <= bytes.length; at += 2 + bytes.readUInt16BE(at)) count++
      if (count === 2) resolve(count)
    })
  })
  socket.write(framed)
  socket.write(framed.subarray(0, 5))
  setImmediate(() => socket.write(framed.subarray(5)))
  t.equal(await replies, 2)
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.write(Buffer.from([0, 3, 1, 2, 3]))
  await closed
  t.match((await exec('dig', ['@127.0.0.1', '-p', String(server.udpPort), 'one.test'])).stdout, /10\.0\.0\.1/, 'the server goes on')
})

t.test('forwarding to another server over real sockets, past one that hangs and one that lies', async (t) => {
  // One port for UDP and TCP, as servers have it.
  const upstream = await start(await freePort())
  const hanging = createSocket('udp4')
  const lying = createSocket('udp4')
  lying.on('message', (bytes, from) => {
    // Another name under the right id, then the right name under another id.
    const wrong = Buffer.from(bytes)
    wrong[2] = 0x81
    wrong[13] = 0x7a
    lying.send(wrong, from.port, from.address)
  })
  for (const socket of [hanging, lying]) await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  const at = (port: number) => ({ address: '127.0.0.1', port })
  const resolveBy = forward({
    ...options,
    timeoutMs: 300,
    policy: 'sequential',
    upstreams: [at(hanging.address().port), at(lying.address().port), at(upstream.udpPort)],
  })
  const relay = await serveDns({ addresses: ['127.0.0.1'], port: 0, clock: systemClock, log: silentLog, resolve: compose([resolveBy]) })
  t.teardown(async () => {
    await relay.close()
    await upstream.close()
    hanging.close()
    lying.close()
  })
  t.match(await dig(relay.udpPort, 'one.test'), /10\.0\.0\.1/)
  t.match(await dig(relay.udpPort, '+bufsize=4096', 'many.test'), /ANSWER: 80/, 'truncated by upstream, asked again over TCP')
})

t.test('ANY over UDP is told to come over TCP, where nobody can forge an address', async (t) => {
  const server = await start()
  t.teardown(() => server.close())
  t.match(await dig(server.udpPort, '+ignore', '+notcp', 'many.test', 'ANY'), /flags: qr.* tc.*ANSWER: 0/s)
  t.match(await dig(server.tcpPort, '+tcp', 'many.test', 'ANY'), /ANSWER: 80/)
})

t.test('malformed packets get an error or nothing, never more bytes than they bring, and the server goes on', async (t) => {
  const server = await start()
  t.teardown(() => server.close())
  const random = seededRandom(Number(process.env.KNARR_SEED ?? 8))
  const byte = (): number => randomInt(random, 256)
  const client = createSocket('udp4')
  t.teardown(() => client.close())
  let [sent, got, most] = [0, 0, 0]
  client.on('message', (bytes) => {
    got += bytes.length
    most = Math.max(most, bytes.length)
  })
  const question = Buffer.from('000101000001000000000000046d616e7904746573740000010001', 'hex')
  const circle = Buffer.from('000101000001000000000000c00c00010001', 'hex')
  for (let round = 0; round < 3000; round++) {
    const bytes = round % 3 === 0 ? Buffer.from(circle) : Buffer.from(question)
    for (let i = 0; i < 1 + (round % 5); i++) bytes[randomInt(random, bytes.length)] = byte()
    const cut = round % 7 === 0 ? bytes.subarray(0, randomInt(random, bytes.length)) : bytes
    sent += cut.length
    await new Promise<void>((resolve) => client.send(cut, server.udpPort, '127.0.0.1', () => resolve()))
    if (round % 100 === 0) t.match(await dig(server.udpPort, 'one.test'), /10\.0\.0\.1/)
  }
  t.ok(most <= 512, `${most} bytes are the longest answer without EDNS`)
  t.ok(sent > 0 && got >= 0)
})

t.test('a Corefile takes over without a lost question, a bad one does not; health, readiness and metrics are served', async (t) => {
  const upstream = await start()
  const port = upstream.udpPort
  let ready = false
  const listeners = dnsListeners(
    { view: nobody, clock: systemClock, random: systemRandom, log: silentLog, metrics: newMetrics() },
    { addresses: ['127.0.0.1'], isReady: () => ready },
  )
  t.teardown(async () => {
    await listeners.close()
    await upstream.close()
  })
  const [own, health, metrics] = [await freePort(), await freePort(), await freePort()]
  const corefile = (ip: string): string =>
    `.:${own} {\n health :${health}\n ready :${health}\n prometheus :${metrics}\n hosts {\n ${ip} name.test\n fallthrough\n }\n forward . 127.0.0.1:${port}\n}`
  await listeners.use(corefile('192.0.2.1'))
  const page = async (on: number, path: string): Promise<string> => {
    const response = await fetch(`http://127.0.0.1:${on}${path}`)
    return `${response.status} ${await response.text()}`
  }
  t.same([await page(health, '/health'), await page(health, '/ready')], ['200 OK', '503 kubernetes'])
  ready = true
  t.equal(await page(health, '/ready'), '200 OK')

  let asking = true
  const answers = new Map<string, number>()
  const ask = async (): Promise<void> => {
    while (asking) {
      const answer = (await dig(own, '+short', 'name.test')).trim()
      answers.set(answer, (answers.get(answer) ?? 0) + 1)
    }
  }
  const clients = [ask(), ask()]
  for (let i = 2; i < 12; i++) await listeners.use(corefile(`192.0.2.${i}`))
  await t.rejects(listeners.use('.:1 {\n nonsense\n}'), /line 2: nonsense: no such plugin/)
  await t.rejects(listeners.use(`.:${own} {\n bind 198.51.100.99\n}`), /EADDRNOTAVAIL/, 'what cannot be listened on changes nothing')
  t.equal((await dig(own, '+short', 'name.test')).trim(), '192.0.2.11')
  asking = false
  await Promise.all(clients)
  t.same(
    [...answers.keys()].filter((answer) => !answer.startsWith('192.0.2.')),
    [],
    JSON.stringify([...answers]),
  )
  t.match(await dig(own, 'one.test'), /10\.0\.0\.1/)
  t.match(await page(metrics, '/metrics'), /^coredns_dns_requests_total\{.*\} [1-9]/m)
  const other = await freePort()
  await listeners.use(`name.test:${other} {\n hosts {\n 192.0.2.99 name.test\n }\n}`)
  t.same(listeners.open, [`127.0.0.1:${other}`], 'what is no longer named is closed')
  t.match(await dig(other, 'name.test'), /192\.0\.2\.99/)
  t.match(await dig(other, 'else.test'), /status: REFUSED/)
})

const lookup = `#include <netdb.h>
#include <stdio.h>
#include <arpa/inet.h>
#include <string.h>
int main(int c, char **v) { struct addrinfo h, *r; memset(&h, 0, sizeof h); h.ai_family = AF_INET; h.ai_socktype = SOCK_STREAM;
 int e = getaddrinfo(v[1], 0, &h, &r); if (e) { printf("%s\\n", gai_strerror(e)); return 1; }
 int n = 0; for (; r; r = r->ai_next) n++; printf("%d\\n", n); return 0; }`

t.test(
  'programs of glibc and musl resolve through us',
  { skip: process.getuid?.() === 0 ? false : 'needs root for a network namespace' },
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'knarr-dns-'))
    t.teardown(() => rmSync(folder, { recursive: true }))
    writeFileSync(join(folder, 'lookup.c'), lookup)
    // As in a pod with much below its name: the short name is found in the last of eight domains, the long one as it is after all of them.
    const search = [
      'shop.svc.cluster.local',
      'svc.cluster.local',
      'cluster.local',
      'a.example',
      'b.example',
      'c.example',
      'd.example',
      'test',
    ]
    writeFileSync(join(folder, 'resolv.conf'), `nameserver 127.0.0.1\nsearch ${search.join(' ')}\noptions ndots:5\n`)
    writeFileSync(join(folder, 'nsswitch.conf'), 'hosts: dns\n')
    // In a network namespace of its own the server may have port 53; libc knows no other.
    const server = join(import.meta.dirname, 'standalone-server.js')
    for (const compiler of ['gcc', 'musl-gcc']) {
      await exec(compiler, ['-o', join(folder, compiler), join(folder, 'lookup.c')])
      const script = `ip link set lo up
mount --bind ${folder}/resolv.conf /etc/resolv.conf; mount --bind ${folder}/nsswitch.conf /etc/nsswitch.conf
${process.execPath} ${server} > ${folder}/ready & pid=$!
for i in $(seq 200); do grep -q ready ${folder}/ready && break; sleep 0.05; done
${folder}/${compiler} one.test; ${folder}/${compiler} one; ${folder}/${compiler} many.test; ${folder}/${compiler} absent.test || true
kill $pid`
      const { stdout } = await exec('unshare', ['--net', '--mount', '--propagation', 'private', 'bash', '-c', script])
      // musl before 1.2.4 does not fall back to TCP: it takes the addresses that fit into 512 bytes.
      t.match(stdout, compiler === 'gcc' ? /^1\n1\n80\n/ : /^1\n1\n(80|48|2\d|30)\n/, compiler)
    }
  },
)

t.test('an upstream that cannot be reached, or not in time, is an error and no more', async (t) => {
  const unreachable = { address: '255.255.255.255', port: 53 }
  await t.rejects(exchangeUdp(unreachable, Buffer.alloc(12), systemClock, 1000), { code: /^(EACCES|ENETUNREACH)$/ })
  await t.rejects(exchangeUdp({ address: '127.0.0.1', port: 9 }, Buffer.alloc(12), systemClock, 0))
  await t.rejects(exchangeTcp(unreachable, Buffer.alloc(12), systemClock, 1000))
})
