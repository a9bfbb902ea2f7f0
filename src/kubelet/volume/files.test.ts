// Atomic updates, payloads, host paths: on a folder of the test's own.
import { promises as fs } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { ConfigMap } from '../../api/index.js'
import { checkPaths, writeAtomically } from './atomic-writer.js'
import { prepareHostPath } from './host-path.js'
import { configMapFiles } from './payload.js'
import { checkSubPath } from './sub-path.js'
import { joinBundles } from './trust-bundle.js'

const file = (text: string, mode = 0o644) => ({ bytes: Buffer.from(text), mode })
let count = 0
const write = (dir: string, files: Record<string, string>) =>
  writeAtomically(dir, new Map(Object.entries(files).map(([name, text]) => [name, file(text)])), { now: 1_000, unique: String(count++) })

t.test('an update shows all new files or all old ones, and leaves nothing of the old', async (t) => {
  const dir = await fs.mkdtemp(join(tmpdir(), 'knarr-kubelet-'))
  t.teardown(() => fs.rm(dir, { recursive: true }))
  t.equal(await write(dir, { a: '1', 'deep/b': '2' }), true)
  t.equal(await fs.readFile(join(dir, 'deep/b'), 'utf8'), '2')
  t.equal(await fs.readlink(join(dir, 'deep')), '..data/deep')
  const inode = (await fs.stat(join(dir, 'a'))).ino
  t.equal(await write(dir, { a: '1', 'deep/b': '2' }), false, 'the same again is no update')
  t.equal((await fs.stat(join(dir, 'a'))).ino, inode)
  t.equal(await write(dir, { a: 'one', c: '3' }), true)
  t.strictSame((await fs.readdir(dir)).filter((name) => !name.startsWith('..')).sort(), ['a', 'c'])
  t.equal((await fs.readdir(dir)).filter((name) => name.startsWith('..')).length, 2, '..data and one folder')
  t.equal(await fs.readFile(join(dir, 'a'), 'utf8'), 'one')
  t.equal(await write(dir, { a: 'one' }), true, 'a file that was taken away goes')
  await t.rejects(fs.stat(join(dir, 'c')), { code: 'ENOENT' })
})

t.test('paths that climb out are refused before anything is written', async (t) => {
  for (const path of ['../x', 'a/../../x', '/x', '..data/x', '', `${'x'.repeat(300)}`])
    t.throws(() => checkPaths(new Map([[path, file('')]])), /invalid path/, path)
  for (const path of ['/abs', 'a/../b']) t.throws(() => checkSubPath(path), /SubPath/)
  t.doesNotThrow(() => checkSubPath('a/..b'))
})

t.test('configMaps: all keys, chosen ones, missing ones', async (t) => {
  const map: ConfigMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'm' }, data: { a: '1' }, binaryData: { b: 'AAE=' } }
  t.strictSame(
    [...configMapFiles(map, { name: 'm' }, 0o600)].map(([name, { bytes, mode }]) => [name, [...bytes], mode]),
    [
      ['a', [49], 0o600],
      ['b', [0, 1], 0o600],
    ],
  )
  t.throws(() => configMapFiles(map, { name: 'm', items: [{ key: 'z', path: 'z' }] }, undefined), /non-existent config key: z/)
  t.throws(() => configMapFiles(undefined, { name: 'm' }, undefined), { message: 'configmap "m" not found' })
  t.equal(configMapFiles(undefined, { name: 'm', optional: true }, undefined).size, 0)
})

t.test('host paths', async (t) => {
  const dir = await fs.mkdtemp(join(tmpdir(), 'knarr-kubelet-'))
  t.teardown(() => fs.rm(dir, { recursive: true }))
  await prepareHostPath(join(dir, 'd/e'), 'DirectoryOrCreate')
  await prepareHostPath(join(dir, 'd/f'), 'FileOrCreate')
  t.ok((await fs.stat(join(dir, 'd/f'))).isFile())
  await t.rejects(prepareHostPath(join(dir, 'd/f'), 'Directory'), /is not a directory$/)
  await t.rejects(prepareHostPath(join(dir, 'none'), 'Socket'), /is not a socket file$/)
  await prepareHostPath('/dev/null', 'CharDevice')
})

t.test('trust bundles are joined without repetition', async (t) => {
  const certificate = (text: string): string => `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----`
  t.equal(joinBundles([`${certificate('B')}\n${certificate('A')}`, certificate('B')]), `${certificate('A')}\n${certificate('B')}\n`)
})
