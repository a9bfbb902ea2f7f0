// The daemon is killed and started again: pods, logs, exits and half-made things. Over gRPC, as others use it. Needs root.
import { type ChildProcess, fork } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { ContainerStatus, PodSandboxConfig } from '../../src/cri/index.js'
import { randomInt, seededRandom, sleep, systemClock } from '../../src/lib/index.js'
import { type CriClient, criClient } from './client.js'
import { contents, IMAGE, leftovers, options, type Scene, scene, until } from './scene.js'

interface Life {
  readonly client: CriClient
  kill(): Promise<void>
}

async function startDaemon(s: Scene): Promise<Life> {
  const child: ChildProcess = fork(join(import.meta.dirname, 'daemon.js'), [s.dir], { stdio: 'inherit' })
  await new Promise<void>((resolve, reject) => {
    child.once('message', () => resolve())
    child.once('exit', (code) => reject(new Error(`the daemon ended with ${code}`)))
  })
  const client = criClient(join(s.dir, 'cri.sock'))
  return {
    client,
    async kill() {
      client.close()
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      await gone
    },
  }
}

async function create(
  client: CriClient,
  podSandboxId: string,
  sandboxConfig: PodSandboxConfig,
  name: string,
  script: string,
): Promise<string> {
  const config = { metadata: { name }, image: { image: IMAGE }, command: ['sh', '-c', script], logPath: `${name}/0.log` }
  return (await client.call('CreateContainer', { podSandboxId, config, sandboxConfig })).containerId as string
}

const statusOf = async (client: CriClient, containerId: string): Promise<ContainerStatus> =>
  (await client.call('ContainerStatus', { containerId })).status as ContainerStatus

t.setTimeout(300_000)

t.test('recovery', options, async (t) => {
  const s = await scene()
  let life = await startDaemon(s)
  const again = async (): Promise<void> => {
    await life.kill()
    life = await startDaemon(s)
  }
  t.teardown(async () => {
    await life.kill()
    await s.end()
  })

  t.test('a running pod goes on: state, network, exec, every line once', { timeout: 120_000 }, async (t) => {
    const config = s.pod('survivor')
    const podSandboxId = (await life.client.call('RunPodSandbox', { config })).podSandboxId as string
    const { status: before } = await life.client.call('PodSandboxStatus', { podSandboxId })
    const id = await create(
      life.client,
      podSandboxId,
      config,
      'counter',
      'i=0; while [ $i -lt 30000 ]; do echo line $i; i=$((i+1)); done; exit 5',
    )
    await life.client.call('StartContainer', { containerId: id })
    const random = seededRandom(3)
    for (let kills = 0; kills < 4; kills++) {
      await sleep(systemClock, randomInt(random, 60))
      await again()
    }
    t.same((await life.client.call('PodSandboxStatus', { podSandboxId })).status, before)
    const status = await until(async () => {
      const now = await statusOf(life.client, id)
      return now.state === 'CONTAINER_EXITED' ? now : undefined
    })
    t.match(status, { exitCode: 5, reason: 'Error' })
    const lines = contents(s.dir, 'survivor', 'counter/0.log')
    t.equal(lines.length, 30_000)
    t.ok(lines.every((line, i) => line === `line ${i}`))
    await life.client.call('RemovePodSandbox', { podSandboxId })
  })

  t.test('an exit while nobody looks is known afterwards, with its last lines', { timeout: 120_000 }, async (t) => {
    const config = s.pod('unseen')
    const podSandboxId = (await life.client.call('RunPodSandbox', { config })).podSandboxId as string
    const id = await create(life.client, podSandboxId, config, 'main', 'echo first; sleep 0.3; echo second; printf last >&2; exit 9')
    await life.client.call('StartContainer', { containerId: id })
    const pid = JSON.parse(((await life.client.call('ContainerStatus', { containerId: id, verbose: true })).info as { info: string }).info)
      .pid as number
    await life.kill()
    await until(async () => !existsSync(`/proc/${pid}`) || undefined)
    life = await startDaemon(s)
    const status = await until(async () => {
      const now = await statusOf(life.client, id)
      return now.state === 'CONTAINER_EXITED' ? now : undefined
    })
    t.match(status, { exitCode: 9, reason: 'Error' })
    t.strictSame(contents(s.dir, 'unseen', 'main/0.log'), ['first', 'second', 'last'])
    await life.client.call('RemovePodSandbox', { podSandboxId })
  })

  t.test('what is half-made or half-removed when the daemon dies is gone or whole afterwards', { timeout: 120_000 }, async (t) => {
    const random = seededRandom(11)
    for (let round = 0; round < 10; round++) {
      const config = s.pod(`half-${round}`)
      const { client } = life
      const work = async (): Promise<void> => {
        const podSandboxId = (await client.call('RunPodSandbox', { config })).podSandboxId as string
        const containerId = await create(client, podSandboxId, config, 'main', 'exec sleep 1000')
        await client.call('StartContainer', { containerId })
        await client.call('RemoveContainer', { containerId })
        await client.call('RemovePodSandbox', { podSandboxId })
      }
      const working = work().catch(() => {})
      await sleep(systemClock, randomInt(random, 120))
      await again()
      await working
      for (const { id, state } of (await life.client.call('ListContainers')).containers as { id: string; state: string }[]) {
        t.not(state, 'CONTAINER_UNKNOWN')
        await life.client.call('RemoveContainer', { containerId: id })
      }
      for (const { id } of (await life.client.call('ListPodSandbox')).items as { id: string }[])
        await life.client.call('RemovePodSandbox', { podSandboxId: id })
      t.strictSame(await leftovers(s), [], `round ${round}`)
    }
  })

  t.test('a stop that was cut off after its first word is finished', { timeout: 120_000 }, async (t) => {
    const config = s.pod('cut')
    const podSandboxId = (await life.client.call('RunPodSandbox', { config })).podSandboxId as string
    const containerId = await create(life.client, podSandboxId, config, 'stays', 'sleep 1000')
    await life.client.call('StartContainer', { containerId })
    await life.kill()
    const record = join(s.dir, 'cri/sandboxes', `${podSandboxId}.json`)
    writeFileSync(record, JSON.stringify({ ...JSON.parse(readFileSync(record, 'utf8')), phase: 'stopped' }))
    life = await startDaemon(s)
    t.equal((await statusOf(life.client, containerId)).state, 'CONTAINER_EXITED')
    const processes = readdirSync('/proc').filter((pid) => {
      try {
        return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(podSandboxId)
      } catch {
        return false
      }
    })
    t.same(processes, [], 'its pause process has ended')
    await life.client.call('RemovePodSandbox', { podSandboxId })
    t.strictSame(await leftovers(s), [])
  })

  t.test('records of another boot: ended, not lost', { timeout: 120_000 }, async (t) => {
    const config = s.pod('reboot')
    const podSandboxId = (await life.client.call('RunPodSandbox', { config })).podSandboxId as string
    const id = await create(life.client, podSandboxId, config, 'main', 'exec sleep 1000')
    await life.client.call('StartContainer', { containerId: id })
    await life.kill()
    s.pretendReboot()
    life = await startDaemon(s)
    t.match(await statusOf(life.client, id), { state: 'CONTAINER_EXITED', exitCode: 255, reason: 'ContainerStatusUnknown' })
    t.match((await life.client.call('PodSandboxStatus', { podSandboxId })).status, { state: 'SANDBOX_NOTREADY' })
    await life.client.call('RemovePodSandbox', { podSandboxId })
    t.strictSame(readdirSync(join(s.dir, 'cri', 'containers')), [])
    t.notMatch(readFileSync('/proc/mounts', 'utf8'), s.dir)
  })
})
