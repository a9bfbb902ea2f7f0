// The same contract against Debian's etcd.
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { systemClock, systemRandom } from '../../src/lib/index.js'
import { openEtcdStore, type StoreEvent } from '../../src/store/index.js'
import { storeContract } from '../contract/store.js'
import { freePort } from './free-port.js'

const context = { clock: systemClock, random: systemRandom }

interface Etcd {
  readonly endpoint: string
  stop(): Promise<void>
}

async function startEtcd(path: string, [client, peer]: readonly [number, number]): Promise<Etcd> {
  const urls = [`http://127.0.0.1:${client}`, `http://127.0.0.1:${peer}`]
  const child = spawn(
    'etcd',
    [
      '--data-dir',
      path,
      '--listen-client-urls',
      urls[0],
      '--advertise-client-urls',
      urls[0],
      '--listen-peer-urls',
      urls[1],
      '--initial-advertise-peer-urls',
      urls[1],
      '--initial-cluster',
      `default=${urls[1]}`,
    ].map(String),
    { stdio: 'ignore' },
  )
  const ended = new Promise<void>((resolve) => child.on('exit', () => resolve()))
  for (let tries = 0; ; tries++) {
    const answer = await fetch(`${urls[0]}/health`).catch(() => undefined)
    if (answer?.ok) break
    if (tries > 300 || child.exitCode !== null) throw new Error('etcd does not start')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return {
    endpoint: `127.0.0.1:${client}`,
    async stop() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

if (spawnSync('etcd', ['--version']).status !== 0) t.plan(0, 'etcd is not installed')
else {
  const path = mkdtempSync(join(tmpdir(), 'knarr-etcd-'))
  const ports = [await freePort(), await freePort()] as const
  let etcd = await startEtcd(`${path}/data`, ports)
  t.teardown(async () => {
    await etcd.stop()
    rmSync(path, { recursive: true, force: true })
  })
  let suites = 0

  storeContract('etcd', async () => {
    const store = await openEtcdStore({ endpoints: [etcd.endpoint], ...context })
    return { store, prefix: `/test/${++suites}/`, end: () => store.close() }
  })

  void t.test('a dead endpoint among several is passed over', async (t) => {
    const store = await openEtcdStore({ endpoints: [`127.0.0.1:${await freePort()}`, etcd.endpoint], ...context })
    t.ok((await store.put('/several/a', Buffer.from('1'))).ok)
    t.ok((await store.get('/several/a')).kv)
    await store.close()
  })

  void t.test('nobody there is said at once', async (t) => {
    await t.rejects(openEtcdStore({ endpoints: [`127.0.0.1:${await freePort()}`], ...context }), /does not answer/)
    await t.rejects(openEtcdStore({ endpoints: [], ...context }), /at least one endpoint/)
  })

  void t.test('a watch goes on, without a gap, when etcd was away', async (t) => {
    const store = await openEtcdStore({ endpoints: [etcd.endpoint], ...context })
    const events: StoreEvent[] = []
    const first = await store.put('/away/a', Buffer.from('1'))
    const reading = (async () => {
      for await (const batch of store.watch('/away/', { fromRevision: first.revision })) {
        events.push(...batch.events)
        if (events.length >= 3) return
      }
    })()
    await etcd.stop()
    etcd = await startEtcd(`${path}/data`, ports)
    for (const value of ['2', '3']) {
      for (;;) {
        if (
          await store.put('/away/a', Buffer.from(value)).then(
            () => true,
            () => false,
          )
        )
          break
      }
    }
    await reading
    t.same(
      events.map(({ kv }) => Buffer.from(kv.value).toString()),
      ['1', '2', '3'],
    )
    await store.close()
  })
}
