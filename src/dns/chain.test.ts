import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { seededRandom, silentLog, virtualClock } from '../lib/index.js'
import { buildChain } from './chain.js'
import type { ClusterView } from './cluster-records.js'
import { CorefileError, defaultCorefile, parseCorefile } from './corefile.js'
import { decodeMessage, encodeReply } from './packet.js'
import type { Exchange } from './plugins/forward.js'
import { newMetrics } from './plugins/metrics.js'
import { type Query, type Reply, type Resolve, TYPES } from './types.js'

const empty: ClusterView = {
  service: () => undefined,
  slices: () => [],
  hasNamespace: () => false,
  servicesWithIp: () => [],
  slicesWithIp: () => [],
}
const question = (name: string, type: number = TYPES.A): Query => ({
  id: 1,
  opcode: 0,
  recursionDesired: true,
  checkingDisabled: false,
  question: { name, type, class: 1 },
  client: '',
  transport: 'udp',
})

/** A chain whose upstream servers are a function. */
function chain(corefile: string, upstream: (address: string, query: Query) => Reply | undefined) {
  const clock = virtualClock()
  const asked: string[] = []
  const transports: string[] = []
  const exchange =
    (transport: string): Exchange =>
    async ({ address }, bytes) => {
      transports.push(transport)
      const message = decodeMessage(bytes)
      const query = { ...question(message.questions[0]?.name ?? '', message.questions[0]?.type), id: message.id }
      asked.push(`${address} ${query.question.name}`)
      const reply = upstream(address, query)
      if (!reply) throw new Error('silence')
      return encodeReply(query, reply)
    }
  const [block] = parseCorefile(corefile)
  const context = {
    view: empty,
    clock,
    random: seededRandom(1),
    log: silentLog,
    metrics: newMetrics(),
    exchangeUdp: exchange('udp'),
    exchangeTcp: exchange('tcp'),
  }
  const resolve: Resolve = buildChain(block as NonNullable<typeof block>, context)
  return { resolve, asked, transports, clock, metrics: context.metrics }
}
const address =
  (ip: string, ttl = 60): ((_: string, query: Query) => Reply) =>
  (_, query) => ({
    rcode: 'NOERROR',
    answers: [{ name: query.question.name, ttl, data: { type: 'A', address: ip } }],
  })

t.test("answers are remembered for their time, in anybody's spelling", async (t) => {
  const { resolve, asked, clock } = chain('. {\n cache 30\n forward . 192.0.2.1\n}', address('198.51.100.1', 300))
  await resolve(question('a.example'))
  await clock.advance(10_000)
  const second = await resolve(question('A.Example'))
  t.equal(asked.length, 1)
  t.same(second.answers?.[0], { name: 'A.Example', ttl: 290, data: { type: 'A', address: '198.51.100.1' } })
  await clock.advance(21_000)
  await resolve(question('a.example'))
  t.equal(asked.length, 2, '"cache 30" means thirty seconds at most')
})

t.test('denials are kept as their SOA says, failures never', async (t) => {
  let rcode: Reply['rcode'] = 'SERVFAIL'
  const soa = { type: 'SOA', primary: 'n', mailbox: 'm', serial: 1, refresh: 1, retry: 1, expire: 1, minimum: 5 } as const
  const { resolve, asked, clock } = chain('. {\n cache\n forward . 192.0.2.1\n}', () => ({
    rcode,
    authority: [{ name: 'example', ttl: 60, data: soa }],
  }))
  await resolve(question('x.example'))
  await resolve(question('x.example'))
  t.equal(asked.length, 2)
  rcode = 'NXDOMAIN'
  await resolve(question('x.example'))
  t.equal((await resolve(question('x.example'))).rcode, 'NXDOMAIN')
  t.equal(asked.length, 3)
  await clock.advance(6000)
  await resolve(question('x.example'))
  t.equal(asked.length, 4)
})

t.test('stale answers serve when upstream is silent; prefetch asks before the end', async (t) => {
  let alive = true
  const { resolve, asked, clock } = chain(
    '. {\n cache {\n success 100 60\n prefetch 2\n serve_stale 1h verify\n }\n forward . 192.0.2.1\n}',
    (_, query) => (alive ? address('198.51.100.1')(_, query) : undefined),
  )
  await resolve(question('a.example'))
  await clock.advance(58_000)
  await resolve(question('a.example'))
  await resolve(question('a.example'))
  await clock.advance(0)
  t.equal(asked.length, 2, 'asked again in the background')
  alive = false
  await clock.advance(120_000)
  t.same((await resolve(question('a.example'))).answers?.[0]?.data, { type: 'A', address: '198.51.100.1' })
  await clock.advance(3_600_000)
  t.equal((await resolve(question('a.example'))).rcode, 'SERVFAIL')
})

t.test('the next server is asked when one is silent, and the silent one is left alone', async (t) => {
  const { resolve, asked } = chain('. {\n forward . 192.0.2.1 192.0.2.2 {\n policy sequential\n }\n}', (server, query) =>
    server === '192.0.2.1' ? undefined : address('198.51.100.1')(server, query),
  )
  for (let i = 0; i < 3; i++) t.equal((await resolve(question('a.example'))).rcode, 'NOERROR')
  t.same(
    asked.map((line) => line.split(' ')[0]),
    ['192.0.2.1', '192.0.2.2', '192.0.2.1', '192.0.2.2', '192.0.2.2'],
  )
})

t.test('a silent server is probed, and asked again once it answers', async (t) => {
  let alive = false
  const { resolve, asked, clock } = chain(
    '. {\n forward . 192.0.2.1 192.0.2.2 {\n policy sequential\n health_check 1s\n }\n}',
    (server, query) => (server === '192.0.2.1' && !alive ? undefined : address('198.51.100.1')(server, query)),
  )
  for (let i = 0; i < 4; i++) await resolve(question('a.example'))
  const to = (server: string): number => asked.filter((line) => line === `${server} a.example`).length
  t.same([to('192.0.2.1'), to('192.0.2.2')], [2, 4])
  await clock.advance(3500)
  t.equal(asked.filter((line) => line === '192.0.2.1 ').length, 3, 'a probe every second')
  alive = true
  await clock.advance(1000)
  await resolve(question('a.example'))
  t.same([to('192.0.2.1'), to('192.0.2.2')], [3, 4])
  await clock.advance(60_000)
  t.equal(asked.filter((line) => line === '192.0.2.1 ').length, 4, 'and no probe more')
})

t.test('when every server is silent, one answer comes within the time of the client', async (t) => {
  const { resolve, clock } = chain('. {\n forward . 192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4\n}', () => undefined)
  const reply = resolve(question('a.example'))
  await clock.advance(5000)
  t.equal((await reply).rcode, 'SERVFAIL')
})

t.test('stale answers come at once while they are asked for again; keepttl, minimum, disable, servfail', async (t) => {
  let ip = '198.51.100.1'
  const { resolve, asked, clock } = chain(
    `. {
      cache {
        success 100 60 10
        serve_stale
        servfail 5s
        disable success fresh.example
        keepttl
      }
      forward . 192.0.2.1
    }`,
    (server, query) => (query.question.name === 'bad.example' ? { rcode: 'SERVFAIL' } : address(ip, 1)(server, query)),
  )
  await resolve(question('a.example'))
  await clock.advance(9000)
  t.equal((await resolve(question('a.example'))).answers?.[0]?.ttl, 1, 'the time it came with')
  t.equal(asked.length, 1, 'ten seconds at least')
  ip = '198.51.100.2'
  await clock.advance(2000)
  t.match((await resolve(question('a.example'))).answers, [{ data: { address: '198.51.100.1' } }], 'the old one at once')
  await clock.advance(0)
  t.match((await resolve(question('a.example'))).answers, [{ data: { address: '198.51.100.2' } }])
  for (let i = 0; i < 3; i++) await resolve(question('x.fresh.example'))
  t.equal(asked.filter((line) => line.endsWith('x.fresh.example')).length, 3)
  for (let i = 0; i < 3; i++) await resolve(question('bad.example'))
  t.equal(asked.filter((line) => line.endsWith('bad.example')).length, 1)
})

t.test('a loop is noticed by a probe, and forwarding ends', async (t) => {
  let resolveAgain: Resolve = async () => ({ rcode: 'REFUSED' })
  const { resolve, asked, clock } = chain('. {\n loop\n forward . 192.0.2.1\n}', (server, query) => {
    if (query.question.type === 13) void resolveAgain(query)
    return address('198.51.100.1')(server, query)
  })
  t.equal((await resolve(question('a.example'))).rcode, 'NOERROR')
  await clock.advance(2000)
  t.equal((await resolve(question('a.example'))).rcode, 'NOERROR', 'the probe went out and nobody sent it back')
  const looping = chain('. {\n loop\n forward . 192.0.2.1\n}', (server, query) => {
    if (query.question.type === 13) void resolveAgain(query)
    return address('198.51.100.1')(server, query)
  })
  resolveAgain = looping.resolve
  await looping.clock.advance(2000)
  t.equal((await looping.resolve(question('a.example'))).rcode, 'SERVFAIL')
  t.ok(asked.length > 0)
})

t.test('templates', async (t) => {
  const { resolve } = chain(
    `. {
      template IN AAAA {
        rcode NOERROR
      }
      template IN A ip.example {
        match "^ip-(?P<a>[0-9]+)-(?P<b>[0-9]+)[.]ip[.]example[.]$"
        answer "{{ .Name }} 60 IN A 10.0.{{ .Group.a }}.{{ index .Match 2 }}"
        fallthrough
      }
      forward . 192.0.2.1
    }`,
    address('198.51.100.1'),
  )
  t.same(await resolve(question('x.example', TYPES.AAAA)), {
    rcode: 'NOERROR',
    authoritative: true,
    answers: [],
    authority: [],
    additional: [],
  })
  t.match((await resolve(question('ip-3-4.ip.example'))).answers, [{ name: 'ip-3-4.ip.example', ttl: 60, data: { address: '10.0.3.4' } }])
  t.match((await resolve(question('other.ip.example'))).answers, [{ data: { address: '198.51.100.1' } }])
})

t.test('hosts, rewrite, except', async (t) => {
  const { resolve, asked, metrics } = chain(
    '. {\n prometheus\n rewrite name suffix .old.example .new.example\n hosts {\n 192.0.2.50 db.new.example db\n fallthrough\n }\n forward . 192.0.2.1 {\n except internal\n }\n}',
    address('198.51.100.1'),
  )
  const rewritten = await resolve(question('db.old.example'))
  t.same(rewritten.answers, [{ name: 'db.old.example', ttl: 3600, data: { type: 'A', address: '192.0.2.50' } }])
  t.same((await resolve(question('50.2.0.192.in-addr.arpa', TYPES.PTR))).answers?.length, 2)
  t.equal((await resolve(question('x.internal'))).rcode, 'REFUSED')
  await resolve(question('web.old.example'))
  t.same(asked, ['192.0.2.1 web.new.example'])
  t.match(metrics.render(), /^coredns_dns_requests_total\{.*type="A"\} 3$/m)
})

t.test('rewrites by every kind of match, in blocks too; the first that fits counts', async (t) => {
  const { resolve, asked } = chain(
    `. {
      rewrite name exact one.example two.example
      rewrite name two.example three.example
      rewrite name prefix dev- prod-
      rewrite name substring middle centre
      rewrite stop {
        name regex (.*)\\.shop\\.example {1}.shop.svc.cluster.local
        answer name (.*)\\.shop\\.svc\\.cluster\\.local {1}.shop.example
      }
      rewrite stop {
        name suffix .auto.example .target.example
        answer auto
      }
      forward . 192.0.2.1
    }`,
    address('198.51.100.1'),
  )
  for (const [name, target] of [
    ['ONE.example', 'two.example'],
    ['two.example', 'three.example'],
    ['dev-web.example', 'prod-web.example'],
    ['a.middle.example', 'a.centre.example'],
    ['web.shop.example', 'web.shop.svc.cluster.local'],
    ['web.auto.example', 'web.target.example'],
  ] as const) {
    t.match(
      (await resolve(question(name))).answers,
      [{ name, data: { address: '198.51.100.1' } }],
      'answered under the name that was asked',
    )
    t.equal(asked.pop(), `192.0.2.1 ${target}`)
  }
})

t.test('names below a suffix come back as they were asked, values too; types, times and codes are rewritten', async (t) => {
  const { resolve, asked } = chain(
    `. {
      rewrite name suffix .auto.example .target.example answer auto
      rewrite name regex (.*)\\.v\\.example {1}.w.example answer value (.*)\\.w\\.example {1}.v.example
      rewrite continue type ANY TXT
      rewrite continue ttl suffix short.example 10-20
      rewrite ttl exact long.short.example 30-
      rewrite rcode regex ^no\\. NXDOMAIN NOERROR
      forward . 192.0.2.1
    }`,
    (_, { question: { name, type } }) =>
      name.startsWith('no.')
        ? { rcode: 'NXDOMAIN' }
        : {
            rcode: 'NOERROR',
            answers: [
              { name, ttl: 15, data: { type: 'CNAME', target: `deep.${name}` } },
              {
                name: `deep.${name}`,
                ttl: 300,
                data: type === TYPES.TXT ? { type: 'TXT', texts: ['x'] } : { type: 'A', address: '10.0.0.1' },
              },
            ],
          },
  )
  const names = async (name: string): Promise<unknown> =>
    (await resolve(question(name))).answers?.map(({ name: of, data }) => [of, 'target' in data ? data.target : ''])
  t.same(await names('a.auto.example'), [
    ['a.auto.example', 'deep.a.auto.example'],
    ['deep.a.auto.example', ''],
  ])
  t.same(await names('a.v.example'), [
    ['a.v.example', 'deep.a.v.example'],
    ['deep.a.w.example', ''],
  ])
  t.same(asked, ['192.0.2.1 a.target.example', '192.0.2.1 a.w.example'])
  t.match((await resolve(question('t.example', TYPES.ANY))).answers, [{}, { data: { type: 'TXT' } }])
  t.same(
    (await resolve(question('short.example'))).answers?.map(({ ttl }) => ttl),
    [15, 20],
  )
  t.same(
    (await resolve(question('long.short.example'))).answers?.map(({ ttl }) => ttl),
    [20, 20],
    'after "continue", of those that fit',
  )
  t.equal((await resolve(question('no.example'))).rcode, 'NOERROR')
})

t.test('snippets, imports, several zones and ports', async (t) => {
  const files = new Map([
    ['custom/b.override', 'log'],
    ['custom/a.override', 'cache 10'],
    ['custom/more.server', 'x.example:54 {\n errors\n}'],
    ['forwarding', 'forward . 192.0.2.1 {\n policy sequential\n}'],
  ])
  const blocks = parseCorefile(
    `# what all have
    (common) {
      errors
      import forwarding
    }
    dns://a.example, b.example:1053,
    10.0.0.0/15 {
      import common
      import /etc/coredns/custom/*.override
      import custom/*.nothing
    }
    import /etc/coredns/custom/*.server`,
    files,
  )
  t.same(blocks[0]?.addresses, [
    { zone: 'a.example', port: 53 },
    { zone: 'b.example', port: 1053 },
    { zone: '0.10.in-addr.arpa', port: 53 },
    { zone: '1.10.in-addr.arpa', port: 53 },
  ])
  t.same(
    blocks[0]?.directives.map(({ name, args, block }) => [name, ...args, ...block.flat()]),
    [['errors'], ['forward', '.', '192.0.2.1', 'policy', 'sequential'], ['cache', '10'], ['log']],
  )
  t.match(blocks[1], { addresses: [{ zone: 'x.example', port: 54 }], directives: [{ name: 'errors' }] })
})

t.test('a hosts file is read again when it has changed', async (t) => {
  const path = join(t.testdir({ hosts: '192.0.2.7 one.example\n' }), 'hosts')
  const { resolve, clock } = chain(`. {\n hosts ${path} {\n 192.0.2.9 always.example\n reload 2s\n no_reverse\n }\n}`, () => undefined)
  const addressOf = async (name: string): Promise<unknown> => (await resolve(question(name))).answers?.map(({ data }) => data)
  t.match(await addressOf('one.example'), [{ address: '192.0.2.7' }])
  writeFileSync(path, '192.0.2.77 one.example two.example\n')
  await clock.advance(1000)
  t.match(await addressOf('one.example'), [{ address: '192.0.2.7' }])
  await clock.advance(1500)
  t.match(await addressOf('two.example'), [{ address: '192.0.2.77' }])
  t.match(await addressOf('always.example'), [{ address: '192.0.2.9' }])
  t.equal((await resolve(question('9.2.0.192.in-addr.arpa', TYPES.PTR))).rcode, 'NXDOMAIN')
  rmSync(path)
  await clock.advance(2500)
  t.equal((await resolve(question('two.example'))).rcode, 'NXDOMAIN')
  t.match(await addressOf('always.example'), [{ address: '192.0.2.9' }])
})

t.test('servers in turn, in order, over TCP only, by choice; so many questions at once', async (t) => {
  const three = (property: string) => chain(`. {\n forward . 192.0.2.1 192.0.2.2 192.0.2.3 {\n ${property}\n }\n}`, address('198.51.100.1'))
  const inTurn = three('policy round_robin')
  for (let i = 0; i < 6; i++) await inTurn.resolve(question('a.example'))
  t.same(
    inTurn.asked.map((line) => line.split(' ')[0]),
    ['1', '2', '3', '1', '2', '3'].map((last) => `192.0.2.${last}`),
  )
  const inOrder = three('policy sequential')
  for (let i = 0; i < 3; i++) await inOrder.resolve(question('a.example'))
  t.same(new Set(inOrder.asked), new Set(['192.0.2.1 a.example']))
  const few = three('max_concurrent 2')
  const rcodes = (await Promise.all(['a', 'b', 'c'].map((name) => few.resolve(question(name))))).map(({ rcode }) => rcode)
  t.same(rcodes, ['NOERROR', 'NOERROR', 'SERVFAIL'])
  const tcp = three('force_tcp')
  await tcp.resolve(question('a.example'))
  t.same(tcp.transports, ['tcp'])
})

t.test('Corefiles: the usual one, and wrong ones by line', async (t) => {
  const [block] = parseCorefile(defaultCorefile('cluster.local'))
  t.same(block?.addresses, [{ zone: '', port: 53 }])
  t.same(
    block?.directives.map(({ name }) => name),
    ['errors', 'health', 'ready', 'kubernetes', 'prometheus', 'forward', 'cache', 'loop', 'reload', 'loadbalance'],
  )
  t.same(block?.directives.find(({ name }) => name === 'kubernetes')?.block[0], ['pods', 'insecure'])
  for (const [text, message] of [
    ['', /no server block/],
    ['. {\n errors\n', /line 1: the server block is not closed/],
    ['.:99999 {\n}', /line 1: "\.:99999" is no server address/],
    ['. {\n nonsense\n}', /line 2: nonsense: no such plugin/],
    ['. {\n forward . somewhere\n}', /line 2: forward: "somewhere" is no address/],
    ['. {\n forward .\n}', /wants a zone and at least one server/],
    ['. {\n cache 30x\n}', /"30x" is no duration/],
    ['. {\n rewrite name regex ( b\n}', /"\(" is no regular expression/],
    ['. {\n cache 30 {\n prefech 3\n }\n}', /line 2: cache: unknown property "prefech"/],
    ['. {\n kubernetes {\n pods sometimes\n }\n}', /pods is one of disabled, insecure, verified/],
    ['. {\n forward . https://9.9.9.9\n}', /UDP, TCP and TLS only/],
    ['. {\n forward . tls://9.9.9.9 {\n tls /nowhere/ca\n }\n}', /\/nowhere\/ca cannot be read/],
    ['. {\n rewrite edns0 local set 1 2\n}', /line 2: rewrite: rewrites of "edns0" are not known: name, type, ttl and rcode are/],
    ['. {\n rewrite ttl a.example soon\n}', /line 2: rewrite: ttl wants seconds/],
    ['. {\n rewrite type A\n}', /line 2: rewrite: wants two types/],
    ['. {\n rewrite rcode a.example NXDOMAIN GONE\n}', /rcode wants two of NOERROR/],
    ['. {\n rewrite name a b answer nonsense\n}', /"answer nonsense": "answer auto"/],
    ['{\n}', /line 1: expected zones and "{"/],
    ['. {\n import nothing\n}', /line 2: import: there is neither a snippet nor a file "nothing"/],
    ['. {\n import a b\n}', /line 2: import wants one snippet or file/],
    ['(a) {\n import b\n}\n(b) {\n import a\n}\n. {\n import a\n}', /is imported by what it imports/],
    ['(a) {\n}\n(a) {\n}', /line 3: there are two snippets "a"/],
    ['(a) {\n errors\n', /line 1: the snippet "a" is not closed/],
    ['. {\n template IN A {\n match (\n }\n}', /"\(" is no regular expression/],
  ] as const) {
    try {
      chain(text, () => undefined)
      t.fail(`accepted ${text}`)
    } catch (error) {
      t.ok(error instanceof CorefileError, String(error))
      t.match((error as Error).message, message)
    }
  }
})
