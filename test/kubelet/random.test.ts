// A long random life of a node, from a seed: pods come, change and go, the daemon is restarted, and in the end nothing is left. Needs root.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Pod, type PodSpec } from '../../src/api/index.js'
import { isStatus, randomInt, seededRandom } from '../../src/lib/index.js'
import { FOREVER, left, nodeScene, options, shell, until } from './scene.js'

const SEED = Number(process.env.KNARR_SEED ?? 20261122)
const STEPS = Number(process.env.KNARR_STEPS ?? 60)

t.setTimeout(240_000)

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
      if (randomInt(random, 4) > 0) return
      await n.daemon().stop()
      await n.start()
    },
  ]
  for (let i = 0; i < STEPS; i++) {
    await pick(steps)().catch(ignore)
    if (randomInt(random, 3) === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  for (const name of names) await n.remove(name, 1).catch(ignore)
  for (const name of names) await n.gone(name)
  const { cri } = n.daemon()
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
  const groups = `/sys/fs/cgroup/pids/knarr-test-${process.pid}`
  t.strictSame(
    left(groups).filter((name) => name.startsWith('pod')),
    [],
  )
})
