import fc from 'fast-check'
import t from 'tap'
import { decodeMessage, encodeQuery, encodeReply, labelsOf, PacketError } from './packet.js'
import { type DnsRecord, type Query, TYPES } from './types.js'

const query = (name: string, type: number = TYPES.A, more: Partial<Query> = {}): Query => ({
  id: 0x1234,
  opcode: 0,
  recursionDesired: true,
  checkingDisabled: false,
  question: { name, type, class: 1 },
  client: '10.0.0.9',
  transport: 'udp',
  ...more,
})

const records: readonly DnsRecord[] = [
  { name: 'web.default.svc.cluster.local', ttl: 30, data: { type: 'A', address: '10.96.0.7' } },
  { name: 'web.default.svc.cluster.local', ttl: 30, data: { type: 'AAAA', address: 'fd00::7' } },
  { name: 'alias.default.svc.cluster.local', ttl: 30, data: { type: 'CNAME', target: 'web.default.svc.cluster.local' } },
  {
    name: '_http._tcp.web.default.svc.cluster.local',
    ttl: 5,
    data: { type: 'SRV', priority: 0, weight: 50, port: 80, target: 'a.web.default.svc.cluster.local' },
  },
  { name: '7.0.96.10.in-addr.arpa', ttl: 5, data: { type: 'PTR', target: 'web.default.svc.cluster.local' } },
  { name: 'dns-version.cluster.local', ttl: 5, data: { type: 'TXT', texts: ['1.1.0', 'second'] } },
  { name: 'mail.example', ttl: 5, data: { type: 'MX', preference: 10, target: 'mx.mail.example' } },
  { name: 'strange.example', ttl: 1, data: { type: 'raw', number: 65_280, bytes: Buffer.from([1, 2, 3]) } },
  {
    name: 'cluster.local',
    ttl: 5,
    data: {
      type: 'SOA',
      primary: 'ns.dns.cluster.local',
      mailbox: 'hostmaster.cluster.local',
      serial: 1,
      refresh: 2,
      retry: 3,
      expire: 4,
      minimum: 5,
    },
  },
]

t.test('what is written is read back, in fewer bytes than the names have', async (t) => {
  const bytes = encodeReply(query('Web.Default.svc.cluster.local'), { rcode: 'NOERROR', authoritative: true, answers: records })
  const message = decodeMessage(bytes)
  t.same(message.answers, records)
  t.equal(message.questions[0]?.name, 'Web.Default.svc.cluster.local', 'the case of the question is kept')
  t.ok(message.authoritative && message.isReply && message.recursionAvailable)
  t.ok(bytes.length < 600, `${bytes.length} bytes`)
  t.equal(decodeMessage(encodeQuery(query('a.b'))).edns?.udpSize, 1232)
})

t.test('an answer that is too long loses records and says so', async (t) => {
  const answers = Array.from({ length: 100 }, (_, i): DnsRecord => ({ name: 'a.b', ttl: 1, data: { type: 'A', address: `10.0.0.${i}` } }))
  const bytes = encodeReply(query('a.b'), { rcode: 'NOERROR', answers }, 512)
  t.ok(bytes.length <= 512)
  const message = decodeMessage(bytes)
  t.ok(message.truncated)
  t.ok(message.answers.length > 0 && message.answers.length < 100)
  const exact = encodeReply(query('a.b'), { rcode: 'NOERROR', answers: answers.slice(0, 3), additional: answers }, 512)
  t.notOk(decodeMessage(exact).truncated, 'additional records may go without a word')
})

t.test('hostile messages', async (t) => {
  const header = (questions: number): Buffer => Buffer.from([0, 7, 1, 0, 0, questions, 0, 0, 0, 0, 0, 0])
  const refuse = (tail: readonly number[], what: RegExp): void => {
    try {
      decodeMessage(Buffer.concat([header(1), Buffer.from(tail)]))
      t.fail(`accepted ${tail.join()}`)
    } catch (error) {
      t.ok(error instanceof PacketError && error.id === 7)
      t.match((error as Error).message, what)
    }
  }
  refuse([0xc0, 12, 0, 1, 0, 1], /backwards/)
  refuse([1, 97, 0xc0, 12, 0, 1, 0, 1], /backwards/)
  refuse([0xc0, 200, 0, 1, 0, 1], /backwards/)
  refuse([0x80, 1, 0, 1, 0, 1], /label type/)
  refuse([63, 97, 97], /cut short/)
  refuse([0, 0, 1], /read of/)
  t.throws(() => decodeMessage(Buffer.alloc(5)), /shorter than its header/)
  t.throws(() => labelsOf(`${'a'.repeat(64)}.b`), /not a domain name/)
  t.throws(() => labelsOf(Array.from({ length: 60 }, () => 'abcd').join('.')), /too long/)
})

t.test('no bytes break the reader', async (t) => {
  const valid = encodeReply(query('web.default.svc.cluster.local'), { rcode: 'NOERROR', answers: records })
  const check = (bytes: Uint8Array): void => {
    try {
      decodeMessage(bytes)
    } catch (error) {
      if (!(error instanceof PacketError)) throw error
    }
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), check), { numRuns: 3000 })
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { maxLength: 8 }), (changes) => {
      const bytes = Buffer.from(valid)
      for (const [at, value] of changes) bytes[at] = value
      check(bytes)
    }),
    { numRuns: 3000 },
  )
  t.pass('6000 messages')
})

t.test('names with any bytes survive the way to text and back', async (t) => {
  const label = fc.uint8Array({ minLength: 1, maxLength: 20 })
  fc.assert(
    fc.property(fc.array(label, { minLength: 1, maxLength: 5 }), (labels) => {
      const wire = Buffer.concat([...labels.map((bytes) => Buffer.concat([Buffer.from([bytes.length]), bytes])), Buffer.from([0])])
      const message = Buffer.concat([Buffer.from([0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]), wire, Buffer.from([0, 1, 0, 1])])
      const name = decodeMessage(message).questions[0]?.name ?? ''
      return Buffer.concat(labelsOf(name).flatMap((bytes) => [Buffer.from([bytes.length]), bytes])).equals(wire.subarray(0, -1))
    }),
  )
  t.pass()
})
