import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { configFolder, parseNetwork } from './config.js'
import { derivePluginConfig } from './execute.js'

t.test('conflists and single configurations', async (t) => {
  const list = parseNetwork('{"cniVersion":"1.0.0","name":"a","plugins":[{"type":"bridge"},{"type":"portmap"}]}', 'x')
  t.match(list, { cniVersion: '1.0.0', name: 'a', disableCheck: false })
  t.same(
    list.plugins.map(({ type }) => type),
    ['bridge', 'portmap'],
  )
  t.match(parseNetwork('{"name":"a","type":"bridge"}', 'x'), { cniVersion: '0.1.0', plugins: [{ type: 'bridge' }] })
  t.equal(parseNetwork('{"cniVersion":"0.4.0","cniVersions":["9.0.0","1.1.0","1.0.0"],"name":"a","type":"b"}', 'x').cniVersion, '1.1.0')
  t.equal(parseNetwork('{"cniVersion":"1.0.0","disableCheck":"true","name":"a","type":"b"}', 'x').disableCheck, true)
})

t.test('wrong ones are refused with the file and the place', async (t) => {
  for (const [text, words] of [
    ['{', /f: not JSON/],
    ['[]', /f: a JSON object/],
    ['{"name":"a"}', /f: "plugins" is wanted/],
    ['{"name":"a","plugins":[]}', /f: "plugins" is wanted/],
    ['{"name":"a","plugins":[{"type":"../sh"}]}', /f: plugins\[0\].type/],
    ['{"name":"../a","type":"b"}', /f: network name "..\/a" is not valid/],
    ['{"type":"b"}', /f: network name/],
    ['{"cniVersion":"3.0.0","name":"a","type":"b"}', /f: incompatible CNI versions/],
    ['{"disableGC":5,"name":"a","type":"b"}', /f: disableGC is true or false/],
  ] as const)
    t.throws(() => parseNetwork(text, 'f'), words)
})

t.test('the first file by name is in force, and read again when it changes', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'knarr-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const conf = configFolder(folder)
  t.throws(() => conf.current(), /no networks found in .*: put a .conflist file there/)
  t.throws(() => configFolder(join(folder, 'absent')).current(), /no networks found/)
  const write = (file: string, name: string): void =>
    writeFileSync(join(folder, file), JSON.stringify({ cniVersion: '1.0.0', name, plugins: [{ type: 'bridge' }] }))
  write('20-b.conflist', 'b')
  t.equal(conf.current().name, 'b')
  t.equal(conf.current(), conf.current(), 'not read twice')
  write('10-a.conflist', 'a')
  t.equal(conf.current().name, 'a')
  write('10-a.conflist', 'changed')
  t.equal(conf.current().name, 'changed')
  writeFileSync(join(folder, '05-broken.conflist'), '{')
  writeFileSync(join(folder, '00-notes.txt'), 'hello')
  t.equal(conf.current().name, 'changed', 'a broken file does not hide a good one')
})

t.test('a plugin sees the capabilities that it declares, and no others', async (t) => {
  const network = { name: 'n', cniVersion: '1.0.0' }
  const runtimeConfig = { portMappings: [], mac: '02:00:00:00:00:01' }
  t.same(derivePluginConfig(network, { type: 'x', capabilities: { mac: true, portMappings: false } }, { runtimeConfig }), {
    type: 'x',
    name: 'n',
    cniVersion: '1.0.0',
    runtimeConfig: { mac: '02:00:00:00:00:01' },
  })
  t.same(derivePluginConfig(network, { type: 'x' }, { runtimeConfig, prevResult: { ips: [] } }), {
    type: 'x',
    ...network,
    prevResult: { ips: [] },
  })
})
