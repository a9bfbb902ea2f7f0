// `knarr cri` as a program: its flags, its socket, its end. Needs root.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { folder, makeTar, needs, openStore, startRegistry } from '../image/fixture.js'
import { criClient } from './client.js'

t.setTimeout(300_000)

t.test('a layer that unpacks to more than --image-layer-limit is refused in words', { skip: needs('docker-registry') }, async (t) => {
  const home = folder(t)
  const { host } = await startRegistry(t)
  const maker = openStore(t, join(home, 'maker'))
  for (const size of [1000, 100_000]) {
    const file = join(home, `${size}.tar`)
    writeFileSync(file, makeTar([{ path: 'data', data: Buffer.alloc(size) }]))
    await maker.import(file, { name: `${host}/size/${size}` })
    await maker.push(`${host}/size/${size}`)
  }
  const socket = join(home, 'cri.sock')
  const folders = ['root', 'run-dir', 'runtime-root', 'image-root', 'cni-conf-dir', 'cni-cache-dir'].flatMap((flag) => [
    `--${flag}`,
    join(home, flag),
  ])
  const main = join(import.meta.dirname, '../../src/cli/main.js')
  const daemon = spawn(process.execPath, [main, 'cri', '--listen', socket, ...folders, '--image-layer-limit', '10000'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  t.teardown(() => daemon.kill('SIGKILL'))
  for await (const chunk of daemon.stderr) if (/serving/.test(String(chunk))) break
  const client = criClient(socket)
  t.teardown(() => client.close())
  t.match(await client.call('PullImage', { image: { image: `${host}/size/1000` } }), { imageRef: /^sha256:|@sha256:/ })
  await t.rejects(client.call('PullImage', { image: { image: `${host}/size/100000` } }), {
    message: /size\/100000:latest: layer sha256:[0-9a-f]{12}: it unpacks to more than the allowed 10000 bytes/,
  })
  daemon.kill('SIGTERM')
  t.same(await once(daemon, 'exit'), [0, null])
  t.notOk(existsSync(socket), 'no socket is left')
})
