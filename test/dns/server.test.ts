// Real sockets on loopback: dig and the resolvers of glibc and musl against our server, with unbound-free upstreams of our own.
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { compose, type DnsRecord, serveDns, TYPES } from '../../src/dns/index.js'
import { forward } from '../../src/dns/plugins/forward.js'
import { errors, loop } from '../../src/dns/plugins/small.js'
import { silentLog, systemClock, systemRandom } from '../../src/lib/index.js'

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
const start = () => serveDns({ addresses: ['127.0.0.1'], port: 0, resolve, clock: systemClock, log: silentLog })

t.test('dig over udp, tcp, with and without EDNS', async (t) => {
  const server = await start()
  t.teardown(() => server.close())
  const dig = async (port: number, ...args: string[]): Promise<string> =>
    (await exec('dig', ['@127.0.0.1', '-p', String(port), '+time=2', '+tries=1', ...args])).stdout
  t.match(await dig(server.udpPort, 'OnE.tEsT'), /OnE\.tEsT\.\s+5\s+IN\s+A\s+10\.0\.0\.1/)
  t.match(await dig(server.udpPort, '+noedns', '+ignore', 'many.test'), /flags: qr tc/)
  t.notMatch(await dig(server.udpPort, '+bufsize=4096', 'many.test'), /flags: qr tc/)
  t.match(await dig(server.tcpPort, '+tcp', 'many.test'), /ANSWER: 80/)
  t.match(await dig(server.udpPort, 'broken.test'), /status: SERVFAIL/)
  t.match(await dig(server.udpPort, 'other.test'), /status: REFUSED/)
  t.match(await dig(server.udpPort, '+edns=1', '+noednsnegotiation', 'one.test'), /status: BADVERS/)
  t.match(await dig(server.udpPort, '+opcode=status', 'one.test'), /status: NOTIMP/)
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

t.test('forwarding: to another server over real sockets, and a loop is noticed', async (t) => {
  const upstream = await start()
  t.teardown(() => upstream.close())
  const options = { zone: '', clock: systemClock, random: systemRandom, timeoutMs: 1000 }
  const relay = await serveDns({
    addresses: ['127.0.0.1'],
    port: 0,
    clock: systemClock,
    log: silentLog,
    resolve: compose([forward({ ...options, upstreams: [{ address: '127.0.0.1', port: upstream.udpPort }] })]),
  })
  t.teardown(() => relay.close())
  t.match((await exec('dig', ['@127.0.0.1', '-p', String(relay.udpPort), 'one.test'])).stdout, /10\.0\.0\.1/)

  let noticed = 0
  const self = { address: '127.0.0.1', port: 0 }
  const looping = await serveDns({
    addresses: ['127.0.0.1'],
    port: 0,
    clock: systemClock,
    log: silentLog,
    resolve: compose([loop('probe.loop', () => noticed++), forward({ ...options, upstreams: [self], timeoutMs: 300 })]),
  })
  t.teardown(() => looping.close())
  self.port = looping.udpPort
  await exec('dig', ['@127.0.0.1', '-p', String(looping.udpPort), '+tries=1', '+time=5', 'probe.loop', 'HINFO'])
  t.ok(noticed > 0)
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
    writeFileSync(join(folder, 'resolv.conf'), 'nameserver 127.0.0.1\nsearch test\n')
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
