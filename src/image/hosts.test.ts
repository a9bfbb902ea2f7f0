import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { parseChallenges } from './auth.js'
import { findCredentials, fromAuth } from './credentials.js'
import { hostsFor, parseHosts } from './hosts.js'
import { parseReference } from './reference.js'
import { parseToml } from './toml.js'

t.test('TOML as hosts.toml files use it', async (t) => {
  const text = `# comment
server = "https://docker.io" # more
skip_verify = true
list = [ "a", 'b\\n',
  "c", ]
pairs = [["x", "y"]]
inline = { a = 1, b = { c = "d" } }
a.b."c d" = "\\u0041\\t"
[host."https://mirror.test:5000"]
  capabilities = ["pull"]
[host."https://mirror.test:5000".header]
  x = "y"
`
  t.same(JSON.parse(JSON.stringify(parseToml(text))), {
    server: 'https://docker.io',
    skip_verify: true,
    list: ['a', 'b\\n', 'c'],
    pairs: [['x', 'y']],
    inline: { a: 1, b: { c: 'd' } },
    a: { b: { 'c d': 'A\t' } },
    host: { 'https://mirror.test:5000': { capabilities: ['pull'], header: { x: 'y' } } },
  })
  for (const [bad, message] of [
    ['a = ', /^line 1: a value was expected/],
    ['\na = "x', /^line 2: a string does not end/],
    ['a = 1\na = 2', /^line 2: a stands twice/],
    ['a = 1 b = 2', /^line 1: the end of the line was expected/],
    ['[a', /^line 1: \] was expected/],
    ['a = [1', /^line 1: a list does not end/],
    ['__proto__.x = 1', undefined],
  ] as const) {
    if (message) t.throws(() => parseToml(bad), { message }, bad)
    else t.equal(parseToml(bad).x, undefined)
  }
  t.equal(({} as { x?: number }).x, undefined, 'no prototype was touched')
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'a="[]{}.,#\n \\u1\'') }), (any) => {
      try {
        parseToml(any)
      } catch (error) {
        return /^line \d+: /.test((error as Error).message)
      }
      return true
    }),
    { numRuns: 2000 },
  )
})

t.test('hosts: mirrors, paths, capabilities, certificates', async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'knarr-hosts-'))
  t.teardown(() => rmSync(home, { recursive: true, force: true }))
  const found = parseHosts(
    'server = "https://reg.test"\n[host."http://m1.test"]\ncapabilities=["pull"]\n[host."https://m2.test/a/v2"]\noverride_path=true\n',
    {
      domain: 'reg.test',
      folder: home,
    },
  )
  t.same(
    found.map(({ base, mirror, capabilities }) => [base, mirror, capabilities.length]),
    [
      ['http://m1.test/v2', true, 1],
      ['https://m2.test/a/v2', true, 3],
      ['https://reg.test/v2', false, 3],
    ],
  )
  t.equal(hostsFor('docker.io', { folders: [] })[0]?.base, 'https://registry-1.docker.io/v2')
  t.same(
    hostsFor('localhost:5000', { folders: [] }).map(({ base }) => base),
    ['https://localhost:5000/v2', 'http://localhost:5000/v2'],
  )
  mkdirSync(join(home, 'reg.test_443_'))
  writeFileSync(join(home, 'reg.test_443_/own.crt'), 'PEM')
  t.same(hostsFor('reg.test:443', { folders: [home] })[0]?.connect.ca, ['PEM'])
  mkdirSync(join(home, '_default'))
  writeFileSync(join(home, '_default/hosts.toml'), '[host."https://all.test"]\n')
  t.same(
    hostsFor('any.test', { folders: [home] }).map(({ base }) => base),
    ['https://all.test/v2', 'https://any.test/v2'],
  )
  t.equal(hostsFor('any.test', { folders: [], plainHttp: true })[0]?.base, 'http://any.test/v2')
})

t.test('hosts: every word of the file, as containerd reads it', async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'knarr-hosts-'))
  t.teardown(() => rmSync(home, { recursive: true, force: true }))
  for (const name of ['ca.pem', 'more.pem', 'both.pem', 'own.cert', 'own.key']) writeFileSync(join(home, name), name)
  const one = (text: string) => parseHosts(text, { domain: 'reg.test', folder: home })[0]
  const of = (line: string) => one(`[host."https://m.test"]\n${line}\n`)
  t.same(of('capabilities = []')?.capabilities, ['pull', 'resolve', 'push'], 'no capability is every capability')
  t.same(of('capabilities = ["pull", "resolve"]')?.capabilities, ['pull', 'resolve'])
  t.throws(() => of('capabilities = ["pul"]'), { message: 'capabilities: want pull, resolve, push, not "pul"' })
  t.same(of('ca = "ca.pem"')?.connect, { ca: ['ca.pem'] })
  t.same(of(`ca = ["ca.pem", "${home}/more.pem"]`)?.connect, { ca: ['ca.pem', 'more.pem'] })
  t.throws(() => of('ca = "lost.pem"'), { message: `certificate file ${home}/lost.pem is not there` })
  t.same(of('client = "both.pem"')?.connect, { cert: 'both.pem', key: 'both.pem' })
  t.same(of('client = ["both.pem"]')?.connect, { cert: 'both.pem', key: 'both.pem' })
  t.same(of('client = [["own.cert", "own.key"], ["both.pem", ""]]')?.connect, { cert: 'own.cert', key: 'own.key' })
  t.same(of('client = [["both.pem", ""]]')?.connect, { cert: 'both.pem', key: 'both.pem' })
  t.same(of('skip_verify = true')?.connect, { skipVerify: true })
  t.same(of('[host."https://m.test".header]\nX-One = "1"\nX-Two = ["a", "b"]')?.headers, { 'x-one': '1', 'x-two': 'a, b' })
  t.equal(one('[host."m.test/v2"]\n')?.base, 'https://m.test/v2', 'without a scheme it is TLS')
  t.equal(one('[host."127.0.0.1:5000"]\n')?.base, 'http://127.0.0.1:5000/v2', 'but on this machine')
  t.equal(one('[host."localhost:5000/mirror"]\n')?.base, 'http://localhost:5000/mirror/v2')
  t.throws(() => one('[host."ftp://m.test"]\n'), { message: 'host "ftp://m.test": want an http or https address' })
  t.throws(() => one('[host."https://a b"]\n'), { message: 'host "https://a b": want an http or https address' })
  t.same(one('server = "http://own.test/v2"\nskip_verify = true\n'), {
    base: 'http://own.test/v2',
    capabilities: ['pull', 'resolve', 'push'],
    headers: {},
    connect: { skipVerify: true },
    mirror: false,
  })
})

t.test('hosts: dial_timeout, as Go writes durations', async (t) => {
  const parsed = (value: string) =>
    parseHosts(`[host."https://m.test"]\ndial_timeout = ${value}\n`, { domain: 'reg.test', folder: '/' }).map(
      ({ connect }) => connect.dialTimeoutMs,
    )
  for (const [value, ms] of [
    ['"2s"', 2000],
    ['"1m30s"', 90_000],
    ['"250ms"', 250],
    ['"1.5h"', 5_400_000],
  ] as const)
    t.same(parsed(value), [ms, undefined], value)
  for (const value of ['"soon"', '"5"', '"0s"', '5', '""'])
    t.throws(() => parsed(value), { message: /^dial_timeout: want a duration such as "2s", not / }, value)
})

t.test('challenges', async (t) => {
  t.same(parseChallenges('Bearer realm="https://a/token?x=1,2",service="s", scope="repository:a:pull"'), [
    { scheme: 'bearer', parameters: { realm: 'https://a/token?x=1,2', service: 's', scope: 'repository:a:pull' } },
  ])
  t.same(
    parseChallenges('Basic realm="x\\"y", Bearer realm="z"').map(({ scheme, parameters }) => [scheme, parameters.realm]),
    [
      ['basic', 'x"y'],
      ['bearer', 'z'],
    ],
  )
  t.same(parseChallenges(''), [])
})

t.test('credentials', async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'knarr-credentials-'))
  t.teardown(() => rmSync(home, { recursive: true, force: true }))
  const auth = (text: string): string => Buffer.from(text).toString('base64')
  writeFileSync(
    join(home, 'config.json'),
    JSON.stringify({
      auths: {
        'https://index.docker.io/v1/': { auth: auth('hub:pw') },
        'https://reg.test/v2/': { auth: auth('reg:p:w') },
        'reg.test/team/app': { username: 'team', password: 'x' },
        'token.test': { identitytoken: 'refresh' },
      },
    }),
  )
  const env = { DOCKER_CONFIG: home }
  const find = (name: string) => findCredentials(parseReference(name), env)
  t.same(await find('nginx'), { username: 'hub', password: 'pw' })
  t.same(await find('reg.test/other'), { username: 'reg', password: 'p:w' })
  t.same(await find('reg.test/team/app:v1'), { username: 'team', password: 'x' }, 'the most precise entry')
  t.same(await find('token.test/a'), { identityToken: 'refresh' })
  t.equal(await find('unknown.test/a'), undefined)
  t.throws(() => fromAuth({ auth: auth('nocolon') }), { message: /is not base64 of/ })
  const helper = (name: string, script: string): void =>
    writeFileSync(join(home, `docker-credential-${name}`), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  helper('all', 'read server\necho "{\\"Username\\":\\"<token>\\",\\"Secret\\":\\"for $server\\"}"')
  helper('empty', 'echo credentials not found in native keychain; exit 1')
  helper('broken', 'echo the keychain is locked >&2; exit 1')
  const asking = (config: object, name: string) => {
    writeFileSync(join(home, 'config.json'), JSON.stringify(config))
    return findCredentials(parseReference(name), { ...env, PATH: `${home}:${process.env.PATH}` })
  }
  t.same(await asking({ auths: { 'reg.test': {} }, credsStore: 'all' }, 'reg.test/app'), { identityToken: 'for reg.test' })
  t.same(await asking({ credHelpers: { 'https://index.docker.io/v1/': 'all' } }, 'nginx'), {
    identityToken: 'for https://index.docker.io/v1/',
  })
  t.equal(await asking({ credsStore: 'empty' }, 'nginx'), undefined)
  await t.rejects(asking({ credsStore: 'broken' }, 'nginx'), {
    message: 'credential helper docker-credential-broken failed with exit code 1: the keychain is locked',
  })
  await t.rejects(asking({ credsStore: 'missing' }, 'nginx'), { message: 'credential helper docker-credential-missing: ENOENT' })
  writeFileSync(join(home, 'config.json'), '{')
  await t.rejects(find('nginx'), { message: /config.json is not JSON/ })
})
