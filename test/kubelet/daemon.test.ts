// The daemon itself: restarts, an API server that is away, static pods, registration, shutdown. Needs root.
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Lease, Node, Pod } from '../../src/api/index.js'
import { createClient } from '../../src/client/index.js'
import { deferred, type HttpHandler, sleep, systemClock } from '../../src/lib/index.js'
import { conditionOf, FOREVER, IMAGE, isReady, left, NODE, nodeScene, options, shell, statusOf, until } from './scene.js'

t.setTimeout(240_000)

t.test('the daemon', options, async (t) => {
  t.setTimeout(180_000)
  const n = await nodeScene()
  t.teardown(() => n.end())

  t.test('the node is registered, Ready, with a Lease', async (t) => {
    const node = await until(async () => {
      const found = await n.client.find(Node, { name: NODE })
      return found?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ? found : undefined
    })
    t.match(node, {
      metadata: { labels: { 'kubernetes.io/hostname': NODE, 'kubernetes.io/os': 'linux' } },
      status: {
        addresses: [
          { type: 'InternalIP', address: '127.0.0.1' },
          { type: 'Hostname', address: NODE },
        ],
        capacity: { pods: '110', cpu: /^\d+$/, memory: /^\d+Ki$/ },
        nodeInfo: { kubeletVersion: 'v1.37.0+knarr', operatingSystem: 'linux', containerRuntimeVersion: /^knarr:\/\// },
      },
    })
    t.ok(node.status?.images?.some(({ names }) => names?.includes(IMAGE)))
    const lease = await until(() => n.client.find(Lease, { namespace: 'kube-node-lease', name: NODE }))
    t.match(lease.spec, { holderIdentity: NODE, leaseDurationSeconds: 40 })
  })

  t.test('a restart changes nothing for pods: no restart, no lost end, no lost line, no flap of readiness', async (t) => {
    const readinessProbe = { exec: { command: ['true'] }, periodSeconds: 3600, successThreshold: 1 }
    await n.run('stays', { containers: [shell(`seq 1 5; ${FOREVER}`, { readinessProbe })] })
    await n.run('ends', { restartPolicy: 'Never', containers: [shell('while [ ! -e /tmp/go ]; do sleep 0.05; done; echo bye; exit 7')] })
    const before = await n.wait('stays', isReady)
    await n.wait('ends', isReady)
    const { cri } = n.daemon()
    const id = statusOf(await n.get('ends'))?.containerID?.replace(/^.*:\/\//, '') ?? ''
    await cri.execSync(id, ['touch', '/tmp/go'], 10)
    await n.daemon().stop()
    await n.start()
    const ended = await n.wait('ends', ({ status }) => status?.phase === 'Failed')
    t.match(statusOf(ended)?.state, { terminated: { exitCode: 7, reason: 'Error' } })
    t.equal(await n.logs('ends', 'main'), 'bye\n')
    const after = await n.get('stays')
    t.equal(statusOf(after)?.containerID, statusOf(before)?.containerID)
    t.equal(statusOf(after)?.restartCount, 0)
    t.strictSame(after?.status?.conditions, before.status?.conditions)
    t.equal(await n.logs('stays', 'main'), '1\n2\n3\n4\n5\n')
  })

  t.test('what ends while a starting daemon waits for the API server is not missed', async (t) => {
    const script = 'while [ ! -e /tmp/go ]; do sleep 0.05; done; exit 7'
    await n.run('short', { restartPolicy: 'Never', containers: [shell(script)] })
    const id = statusOf(await n.wait('short', isReady))?.containerID?.replace(/^.*:\/\//, '') ?? ''
    await n.daemon().stop()
    const answering = deferred()
    const through: HttpHandler = async (request) => {
      await answering.promise
      return n.handler(request)
    }
    const { cri } = await n.start({}, { client: createClient(through), ready: false })
    // By now it has looked at what runs, and knows of no pods yet.
    await sleep(systemClock, 700)
    await cri.execSync(id, ['touch', '/tmp/go'], 10)
    await until(async () => ((await cri.containerStatus(id)).status.state === 'CONTAINER_EXITED' ? true : undefined))
    answering.resolve()
    t.match(statusOf(await n.wait('short', ({ status }) => status?.phase === 'Failed'))?.state, { terminated: { exitCode: 7 } })
    await n.remove('short', 0)
  })

  t.test('without an API server pods run on, what fails is restarted, and the status catches up', async (t) => {
    let away = false
    const through: HttpHandler = async (request) => {
      if (away) throw new Error('the API server is away')
      return await n.handler(request)
    }
    await n.daemon().stop()
    await n.start({}, { client: createClient(through) })
    await n.run('alone', {
      containers: [
        shell(`touch /tmp/ok; ${FOREVER}`, {
          livenessProbe: { exec: { command: ['cat', '/tmp/ok'] }, periodSeconds: 1, failureThreshold: 1 },
        }),
      ],
    })
    const pod = await n.wait('alone', isReady)
    away = true
    const attempt = (wanted: number): Promise<string> =>
      until(async () => {
        const list = await n
          .daemon()
          .cri.listContainers({ labelSelector: { 'io.kubernetes.pod.name': 'alone' }, state: 'CONTAINER_RUNNING' })
        return list.find(({ metadata }) => metadata.attempt === wanted)?.id
      })
    const fail = async (id: string): Promise<unknown> => await n.daemon().cri.execSync(id, ['rm', '/tmp/ok'], 10)
    await fail(statusOf(pod)?.containerID?.replace(/^.*:\/\//, '') ?? '')
    const second = await attempt(1)
    t.equal(statusOf(await n.get('alone'))?.restartCount, 0)
    // A daemon that starts while the API server is away looks after what runs.
    await n.daemon().stop()
    const { kubelet } = await n.start({}, { client: createClient(through), ready: false })
    await until(async () => ((await n.daemon().cri.execSync(second, ['cat', '/tmp/ok'], 10)).exitCode === 0 ? true : undefined))
    await fail(second)
    await attempt(2)
    away = false
    await kubelet.ready
    await n.wait('alone', (seen) => statusOf(seen)?.restartCount === 2 && isReady(seen))
  })

  t.test('what others write over a status is put right', async (t) => {
    await n.run('marked', { containers: [shell(FOREVER)] })
    const pod = await n.wait('marked', isReady)
    const conditions = [{ type: 'Ready', status: 'False', reason: 'NodeNotReady' }]
    const lost = await n.client.patch(Pod, pod.metadata, { status: { conditions } }, { type: 'strategic', subresource: 'status' })
    t.equal(conditionOf(lost, 'Ready'), 'False')
    await n.wait('marked', isReady)
    await n.remove('marked', 0)
  })

  t.test('static pods: run from a file, are mirrored, follow the file and not the API', async (t) => {
    const folder = join(n.s.dir, 'manifests')
    mkdirSync(folder)
    await n.daemon().stop()
    await n.start({ staticPodPath: folder })
    const manifest = (word: string): string =>
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'static' },
        spec: { terminationGracePeriodSeconds: 1, containers: [shell(`echo ${word}; ${FOREVER}`)] },
      })
    writeFileSync(join(folder, 'static.yaml'), manifest('first'))
    const name = `static-${NODE}`
    const mirror = await n.wait(name, isReady)
    t.match(mirror.metadata, {
      annotations: { 'kubernetes.io/config.source': 'file', 'kubernetes.io/config.mirror': /^[0-9a-f]{32}$/ },
      ownerReferences: [{ kind: 'Node', name: NODE }],
    })
    await n.client.delete(Pod, { namespace: 'default', name }, { gracePeriodSeconds: 0 })
    const again = await n.wait(name, (pod) => pod.metadata.uid !== mirror.metadata.uid && isReady(pod))
    t.equal(statusOf(again)?.containerID, statusOf(mirror)?.containerID, 'the pod itself was not touched')
    writeFileSync(join(folder, 'static.yaml'), manifest('second'))
    const second = await n.wait(name, (pod) => isReady(pod) && statusOf(pod)?.containerID !== statusOf(mirror)?.containerID)
    t.equal(await n.logs(name, 'main'), 'second\n')

    // Away and back while it ends: it runs again. One that replaces it waits for its end: both would be at the same ports.
    const lock = join(n.s.dir, 'lock')
    mkdirSync(lock)
    const alone = (word: string): string =>
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'static' },
        spec: {
          terminationGracePeriodSeconds: 30,
          restartPolicy: 'Never',
          containers: [
            shell(
              `mkdir /lock/held || exit 1; trap 'sleep 2; rmdir /lock/held; exit 0' TERM; echo ${word}; while true; do sleep 0.1; done`,
              {
                volumeMounts: [{ name: 'lock', mountPath: '/lock' }],
              },
            ),
          ],
          volumes: [{ name: 'lock', hostPath: { path: lock } }],
        },
      })
    const file = join(folder, 'static.yaml')
    const away = join(n.s.dir, 'static.yaml')
    writeFileSync(file, alone('third'))
    const third = await n.wait(name, (pod) => isReady(pod) && statusOf(pod)?.containerID !== statusOf(second)?.containerID)
    renameSync(file, away)
    await n.gone(name)
    renameSync(away, file)
    const back = await n.wait(name, (pod) => isReady(pod) && statusOf(pod)?.containerID !== statusOf(third)?.containerID)
    writeFileSync(file, alone('fourth'))
    const fourth = await n.wait(name, (pod) => isReady(pod) && statusOf(pod)?.containerID !== statusOf(back)?.containerID)
    // And while the daemon is down.
    await n.daemon().stop()
    writeFileSync(file, alone('fifth'))
    await n.start({ staticPodPath: folder })
    await n.wait(name, (pod) => isReady(pod) && statusOf(pod)?.containerID !== statusOf(fourth)?.containerID)
    t.equal(await n.logs(name, 'main'), 'fifth\n')
    rmSync(file)
    await n.gone(name)
  })

  t.test('pods that cannot run here fail at once, with the reason', async (t) => {
    await n.run('picky', { nodeSelector: { disk: 'gold' }, containers: [shell(FOREVER)] })
    await n.run('huge', { containers: [shell(FOREVER, { resources: { requests: { cpu: '5000' } } })] })
    await n.run('sysctl', { securityContext: { sysctls: [{ name: 'kernel.msgmax', value: '1' }] }, containers: [shell(FOREVER)] })
    t.match((await n.wait('picky', ({ status }) => status?.phase === 'Failed')).status, { reason: 'NodeAffinity' })
    t.match((await n.wait('huge', ({ status }) => status?.phase === 'Failed')).status, {
      reason: 'OutOfcpu',
      message: /^Pod was rejected: Node didn't have enough resource: cpu, requested: 5000000, used: \d+, capacity: \d+$/,
    })
    t.match((await n.wait('sysctl', ({ status }) => status?.phase === 'Failed')).status, { reason: 'SysctlForbidden' })
  })

  t.test('force deletion, deletion while the pod starts, and a pod whose sandbox was killed', async (t) => {
    await n.run('stubborn', { terminationGracePeriodSeconds: 600, containers: [shell('trap "" TERM; while true; do sleep 0.1; done')] })
    await n.wait('stubborn', isReady)
    await n.remove('stubborn')
    await n.remove('stubborn', 0)
    await n.gone('stubborn')
    await until(async () =>
      (await n.daemon().cri.listPodSandbox({ labelSelector: { 'io.kubernetes.pod.name': 'stubborn' } })).length === 0 ? true : undefined,
    )
    await n.run('early', { containers: [shell(FOREVER)] })
    await n.remove('early', 1)
    await n.gone('early')
    await n.run('reborn', { containers: [shell(FOREVER)] })
    const first = await n.wait('reborn', isReady)
    const [sandbox] = await n.daemon().cri.listPodSandbox({ labelSelector: { 'io.kubernetes.pod.name': 'reborn' } })
    await n.daemon().cri.stopPodSandbox(sandbox?.id ?? '')
    const second = await n.wait('reborn', (pod) => isReady(pod) && statusOf(pod)?.containerID !== statusOf(first)?.containerID)
    t.equal(statusOf(second)?.restartCount, 1)
    t.ok(await n.eventWith('reborn', 'SandboxChanged'))
  })

  t.test('shutdown ends pods with a reason and leaves the node not Ready', async (t) => {
    await n.run('victim', { containers: [shell(FOREVER)] })
    await n.wait('victim', isReady)
    await n.daemon().kubelet.shutdown()
    const pod = await n.wait('victim', ({ status }) => status?.phase === 'Failed')
    t.match(pod.status, { reason: 'Terminated', message: 'Pod was terminated in response to imminent node shutdown.' })
    t.equal(conditionOf(pod, 'DisruptionTarget'), 'True')
    const node = await n.client.get(Node, { name: NODE })
    t.match(
      node.status?.conditions?.find(({ type }) => type === 'Ready'),
      { status: 'False', message: 'node is shutting down' },
    )
    await n.daemon().stop()
    await n.start()
    t.ok(left(join(n.s.dir, 'kubelet', 'pods')).length > 0)
  })
})
