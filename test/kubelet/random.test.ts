// A long random life of a node, from a seed: pods come, change and go, the daemon is killed at any moment, and in the end nothing is left. Needs root.
import { type ChildProcess, fork } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Pod, type PodSpec } from '../../src/api/index.js'
import { isStatus, randomInt, seededRandom, sleep, systemClock } from '../../src/lib/index.js'
import { FOREVER, left, nodeScene, options, shell, until } from './scene.js'

const SEED = Number(process.env.KNARR_SEED ?? 20261122)
const STEPS = Number(process.env.KNARR_STEPS ?? 80)

t.setTimeout(240_000)

/** The daemon in a process of its own. */
function startDaemon(dir: string, cgroupRoot: string): { readonly ready: Promise<void>; kill(): Promise<void> } {
  const child: ChildProcess = fork(join(import.meta.dirname, 'daemon.js'), [dir, cgroupRoot], { stdio: 'inherit' })
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const ready = new Promise<void>((resolve) => child.once('message', () => resolve()))
  return {
    ready: Promise.race([ready, gone]),
    async kill() {
      child.kill('SIGKILL')
      await gone
    },
  }
}

t.test(`random, seed ${SEED}`, options, async (t) => {
  t.setTimeout(240_000)
  const random = seededRandom(SEED)
  const n = await nodeScene()
  t.teardown(() => n.end())
  const names = Array.from({ length: 8 }, (_, i) => `r${i}`)
  const pick = <T>(list: readonly T[]): T => list[randomInt(random, list.length)] as T
  const volumes: PodSpec['volumes'] = [
    { name: 'disk', emptyDir: {} },
    { name: 'memory', emptyDir: { medium: 'Memory' } },
    { name: 'token', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } },
  ]
  const volumeMounts = [
    { name: 'disk', mountPath: '/disk' },
    { name: 'memory', mountPath: '/memory' },
    { name: 'token', mountPath: '/token' },
    { name: 'disk', mountPath: '/part', subPath: 'a/b' },
  ]
  const specs: readonly (() => Partial<PodSpec>)[] = [
    () => ({ containers: [shell(FOREVER, { volumeMounts })], volumes }),
    () => ({ restartPolicy: 'Never', containers: [shell('exit 0'), shell('exit 1', { name: 'second' })] }),
    () => ({ containers: [shell('exit 1')] }),
    () => ({
      initContainers: [shell('true', { name: 'init' }), shell(FOREVER, { name: 'side', restartPolicy: 'Always' })],
      containers: [shell(FOREVER)],
    }),
    () => ({
      containers: [shell('trap "" TERM; while true; do sleep 0.2; done', { volumeMounts })],
      volumes,
      terminationGracePeriodSeconds: 1,
    }),
    () => ({ containers: [shell(FOREVER, { envFrom: [{ secretRef: { name: 'missing' } }] })] }),
    () => ({ containers: [shell('', { command: ['/nothing'] })] }),
    () => ({ containers: [shell(FOREVER, { livenessProbe: { exec: { command: ['false'] }, periodSeconds: 1, failureThreshold: 1 } })] }),
  ]
  const ignore = (error: unknown): void => {
    if (!isStatus(error, 'NotFound', 'AlreadyExists', 'Conflict')) throw error
  }
  const steps: readonly (() => Promise<unknown>)[] = [
    () => n.run(pick(names), pick(specs)()),
    () => n.run(pick(names), pick(specs)()),
    () => n.run(pick(names), pick(specs)()),
    () => n.remove(pick(names), pick([0, 1, 2])),
    () => n.remove(pick(names)),
    () =>
      n.client.patch(
        Pod,
        { namespace: 'default', name: pick(names) },
        { metadata: { labels: { x: String(randomInt(random, 9)) } } },
        { type: 'merge' },
      ),
    async () => {
      if (randomInt(random, 2) > 0) return
      await life.kill()
      life = startDaemon(n.s.dir, n.cgroupRoot)
      // Half of the time it is killed again before it has looked at what is there.
      if (randomInt(random, 2) > 0) await life.ready
    },
    () => sleep(systemClock, randomInt(random, 300)),
  ]
  await n.daemon().stop()
  let life = startDaemon(n.s.dir, n.cgroupRoot)
  t.teardown(() => life.kill())
  await life.ready
  for (let i = 0; i < STEPS; i++) {
    await pick(steps)().catch(ignore)
  }
  for (const name of names) await n.remove(name, 1).catch(ignore)
  for (const name of names) await n.gone(name)
  await life.kill()
  const { cri } = await n.start()
  await until(async () => ((await cri.listPodSandbox()).length === 0 ? true : undefined))
  await until(async () => (left(join(n.s.dir, 'kubelet', 'pods')).length === 0 ? true : undefined))
  await until(async () => (left(join(n.s.dir, 'pod-logs')).length === 0 ? true : undefined))
  t.strictSame(await cri.listContainers(), [])
  t.strictSame(left(join(n.s.dir, 'container-logs')), [])
  t.strictSame(
    readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((line) => line.includes(`${n.s.dir}/kubelet`)),
    [],
  )
  // /sys shows the network it was mounted in; /proc shows this test's own.
  t.strictSame(readFileSync('/proc/thread-self/net/dev', 'utf8').match(/veth\w+/g), null)
  for (const group of ['', 'burstable', 'besteffort'])
    t.strictSame(
      left(join('/sys/fs/cgroup/pids', n.cgroupRoot, group)).filter((name) => name.startsWith('pod')),
      [],
    )
})
