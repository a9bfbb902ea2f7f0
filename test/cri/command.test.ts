// `knarr cri` as a program: its flags, its socket, its end; and registries that are dead, as its clients see them. Needs root.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { deferred } from '../../src/lib/index.js'
import { fakeImage, fakeRegistry } from '../image/fake-registry.js'
import { folder, freePort, isRoot, makeTar, needs, openStore, startRegistry } from '../image/fixture.js'
import { type CriClient, criClient } from './client.js'

t.setTimeout(300_000)

interface Daemon {
  readonly client: CriClient
  readonly process: ChildProcess
  readonly socket: string
}

async function startDaemon(t: { teardown(run: () => unknown): void }, home: string, ...flags: readonly string[]): Promise<Daemon> {
  const socket = join(home, 'cri.sock')
  const folders = ['root', 'run-dir', 'runtime-root', 'image-root', 'cni-conf-dir', 'cni-cache-dir'].flatMap((flag) => [
    `--${flag}`,
    join(home, flag),
  ])
  const main = join(import.meta.dirname, '../../src/cli/main.js')
  const daemon = spawn(process.execPath, [main, 'cri', '--listen', socket, ...folders, ...flags], { stdio: ['ignore', 'ignore', 'pipe'] })
  t.teardown(() => daemon.kill('SIGKILL'))
  for await (const chunk of daemon.stderr) if (/serving/.test(String(chunk))) break
  const client = criClient(socket)
  t.teardown(() => client.close())
  return { client, process: daemon, socket }
}

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
  const { client, process: daemon, socket } = await startDaemon(t, home, '--image-layer-limit', '10000')
  t.match(await client.call('PullImage', { image: { image: `${host}/size/1000` } }), { imageRef: /^sha256:|@sha256:/ })
  await t.rejects(client.call('PullImage', { image: { image: `${host}/size/100000` } }), {
    message: /size\/100000:latest: layer sha256:[0-9a-f]{12}: it unpacks to more than the allowed 10000 bytes/,
  })
  daemon.kill('SIGTERM')
  t.same(await once(daemon, 'exit'), [0, null])
  t.notOk(existsSync(socket), 'no socket is left')
})

t.test('dead registries: a sentence for each, nothing left behind, other pulls go on', { skip: !isRoot && 'needs root' }, async (t) => {
  const home = folder(t)
  const good = await fakeRegistry(t, fakeImage().files)
  const waiting = new Set<Socket>()
  // Takes connections and says nothing, neither in TLS nor in HTTP.
  const mute = createServer((socket) => {
    waiting.add(socket.on('error', () => {}).resume())
    socket.once('close', () => waiting.delete(socket))
  }).listen(0, '127.0.0.1')
  await once(mute, 'listening')
  t.teardown(() => mute.close())
  const silent = `127.0.0.1:${(mute.address() as { port: number }).port}`
  const nobody = `127.0.0.1:${await freePort()}`
  const { client, process: daemon } = await startDaemon(t, home, '--registry-timeout', '2')
  const pull = (image: string): Promise<unknown> => client.call('PullImage', { image: { image } })
  const files = (): readonly string[] =>
    readdirSync(join(home, 'image-root'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name !== 'gc.lock')
      .sort()
  const before = files()

  const dead = [
    t.rejects(pull(`${nobody}/app:v1`), { code: 2, details: `pull of ${nobody}/app:v1: the registry at ${nobody}: connection refused` }),
    t.rejects(pull(`${silent}/app:v1`), { code: 2, details: `pull of ${silent}/app:v1: the registry at ${silent} does not answer` }),
    t.rejects(pull('registry.invalid/app:v1'), {
      code: 2,
      details: /^pull of registry.invalid\/app:v1: the registry at registry.invalid: (no such host|no name server tells its address)$/,
    }),
  ]
  await once(mute, 'connection')
  t.match(await pull(`${good.host}/app:v1`), { imageRef: /^sha256:/ }, 'meanwhile another is pulled')
  await Promise.all(dead)

  // Every byte that comes is a reason to go on, so only the caller ends it.
  const givenUp = deferred()
  const endless = await fakeRegistry(t, new Map(), (_request, response) => {
    response.writeHead(200, { 'content-length': 1_000_000 })
    const more = setInterval(() => response.write(' '), 20)
    response.once('close', () => {
      clearInterval(more)
      givenUp.resolve()
    })
    return true
  })
  await t.rejects(client.call('PullImage', { image: { image: `${endless.host}/app:v1` } }, { deadline: Date.now() + 500 }), { code: 4 })
  await givenUp.promise

  t.match((await client.call('ListImages')).images, [{ repoTags: [`${good.host}/app:v1`] }])
  await client.call('RemoveImage', { image: { image: `${good.host}/app:v1` } })
  t.strictSame(files(), before)
  while (waiting.size > 0) await once([...waiting][0] as Socket, 'close')
  daemon.kill('SIGTERM')
  t.same(await once(daemon, 'exit'), [0, null])
})
