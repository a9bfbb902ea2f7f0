// The same kubelet with containerd below it (`--container-runtime-endpoint`): pods, hooks, probes, volumes, streams, restarts. Needs root and containerd.
import { join } from 'node:path'
import t from 'tap'
import { ConfigMap, Node } from '../../src/api/index.js'
import { remoteRuntime } from '../../src/kubelet/index.js'
import { systemClock } from '../../src/lib/index.js'
import { hasContainerd, startContainerd } from '../cri/containerd.js'
import { ended, heard, kubectl, versions } from './kubectl.js'
import { FOREVER, isReady, left, NODE, nodeScene, options, shell, statusOf, until } from './scene.js'

t.setTimeout(300_000)

t.test('containerd', hasContainerd ? options : { skip: 'no containerd' }, async (t) => {
  t.setTimeout(280_000)
  const n = await nodeScene(
    {},
    {
      async otherRuntime(s) {
        const { socket, end } = await startContainerd(s)
        return { connect: () => remoteRuntime(socket, systemClock), end }
      },
    },
  )
  t.teardown(() => n.end())

  t.test('the node says which runtime it has', async (t) => {
    const node = await until(async () => {
      const found = await n.client.find(Node, { name: NODE })
      return found?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ? found : undefined
    })
    t.match(node.status?.nodeInfo?.containerRuntimeVersion, /^containerd:\/\/\d+\.\d+/)
  })

  t.test('a pod with volumes, init container, sidecar, hooks and probes', async (t) => {
    await n.client.create(ConfigMap, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'map', namespace: 'default' },
      data: { one: '1' },
    })
    const volumeMounts = [
      { name: 'shared', mountPath: '/shared' },
      { name: 'map', mountPath: '/map' },
    ]
    await n.run('whole', {
      volumes: [
        { name: 'shared', emptyDir: { medium: 'Memory' } },
        { name: 'map', configMap: { name: 'map' } },
      ],
      initContainers: [
        shell('echo init >> /shared/order', { name: 'init', volumeMounts }),
        shell(`echo side >> /shared/order; ${FOREVER}`, { name: 'side', restartPolicy: 'Always', volumeMounts }),
      ],
      containers: [
        shell(`echo main >> /shared/order; echo hello; mkdir -p /tmp/www; echo page > /tmp/www/ok; httpd -p 8080 -h /tmp/www; ${FOREVER}`, {
          volumeMounts,
          env: [{ name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }],
          lifecycle: { postStart: { exec: { command: ['sh', '-c', 'echo post > /tmp/post'] } } },
          readinessProbe: { httpGet: { path: '/ok', port: 8080 }, periodSeconds: 1 },
          livenessProbe: { exec: { command: ['cat', '/tmp/www/ok'] }, periodSeconds: 1, failureThreshold: 1, initialDelaySeconds: 1 },
        }),
      ],
    })
    const pod = await n.wait('whole', isReady)
    t.match(pod.status?.podIP, /^10\.214\./)
    t.match(statusOf(pod)?.containerID, /^containerd:\/\/[0-9a-f]{64}$/)
    const read = (...command: readonly string[]): Promise<string> => n.exec('whole', 'main', ...command)
    t.equal(await read('cat', '/map/one'), '1')
    t.equal(await read('cat', '/tmp/post'), 'post\n')
    t.match(await read('cat', '/shared/order'), /^init\nside\nmain\n$/)
    t.equal(await read('sh', '-c', 'echo $IP'), `${pod.status?.podIP}\n`)
    t.equal(await n.logs('whole', 'main'), 'hello\n')
    await read('rm', '/tmp/www/ok')
    const again = await n.wait('whole', (now) => statusOf(now)?.restartCount === 1 && isReady(now))
    t.ok(statusOf(again)?.lastState?.terminated)
    t.equal(await n.logs('whole', 'main', '?previous=true'), 'hello\n')
  })

  t.test('what ends and what cannot start, in the words of Kubernetes', async (t) => {
    await n.run('ends', {
      restartPolicy: 'Never',
      containers: [shell('echo last; exit 3', { terminationMessagePolicy: 'FallbackToLogsOnError' })],
    })
    await n.run('bad', { restartPolicy: 'Never', containers: [shell('', { command: ['/no/such/program'] })] })
    const ends = await n.wait('ends', ({ status }) => status?.phase === 'Failed')
    t.match(statusOf(ends)?.state, { terminated: { exitCode: 3, reason: 'Error', message: 'last\n' } })
    const bad = await n.wait('bad', ({ status }) => status?.phase === 'Failed')
    t.match(statusOf(bad)?.state, { terminated: { exitCode: 128, reason: 'StartError', message: /no such file or directory/ } })
    t.ok(await n.eventWith('bad', 'Failed', /^Error: .*no such file or directory/))
  })

  for (const version of versions) {
    t.test(`kubectl ${version}: exec, input to its end, terminal, attach, port-forward, logs`, async (t) => {
      const k = kubectl(n, version)
      t.match(await k.run('exec', 'whole', '-c', 'main', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7'), {
        code: 7,
        stdout: 'out\n',
        stderr: /err\n/,
      })
      const big = 'x'.repeat(1_000_000)
      t.equal((await k.feed(big, 'exec', '-i', 'whole', '-c', 'main', '--', 'cat')).stdout.length, big.length)
      const terminal = k.onTerminal('exec', '-it', 'whole', '-c', 'main', '--', 'sh')
      const said = heard(terminal)
      terminal.stdin?.write('tty; echo $((6 * 7))\n')
      await said.until(/\/dev\/(pts\/\d+|console)[\s\S]*\b42\b/)
      terminal.stdin?.write('exit\n')
      await ended(terminal)
      const name = `reads-${version.replace('.', '')}`
      await n.run(name, {
        restartPolicy: 'Never',
        // containerd hands over what is said once both streams are attached, and attaches the input first.
        containers: [shell('while read line; do sleep 0.5; echo "got $line"; done; echo over', { stdin: true, stdinOnce: true })],
      })
      await n.wait(name, isReady)
      t.match((await k.feed('a\nb\n', 'attach', '-i', name)).stdout, /got a\ngot b\n/)
      await n.wait(name, ({ status }) => status?.phase === 'Succeeded')
      const forward = k.start('port-forward', 'pod/whole', ':8080')
      const told = heard(forward)
      const [, port] = await told.until(/127\.0\.0\.1:(\d+) -> 8080/)
      t.equal(await (await fetch(`http://127.0.0.1:${port}/`)).status, 404)
      forward.kill()
      await ended(forward)
      t.equal((await k.run('logs', 'whole', '-c', 'main')).stdout, 'hello\n')
    })
  }

  t.test('figures, and a daemon that is started again', async (t) => {
    const summary = JSON.parse((await n.request('/stats/summary')).text) as { pods: { podRef: { name: string } }[] }
    t.ok(summary.pods.some(({ podRef }) => podRef.name === 'whole'))
    const measured = (await n.request('/metrics/cadvisor')).text
    t.match(measured, /^container_memory_working_set_bytes\{pod="whole",namespace="default",container="main"\} [1-9]/m)
    t.match(measured, /^container_cpu_usage_seconds_total\{pod="whole",namespace="default",container="main"\} \d+\.\d/m)
    t.match(measured, /^container_network_receive_bytes_total\{pod="whole",namespace="default",interface="eth0"\} [1-9]/m)
    const before = await n.get('whole')
    await n.daemon().stop()
    await n.start()
    const after = await n.wait('whole', isReady)
    t.equal(statusOf(after)?.containerID, statusOf(before)?.containerID)
    t.equal(statusOf(after)?.restartCount, statusOf(before)?.restartCount)
    const { cri } = n.daemon()
    const [sandbox] = await cri.listPodSandbox({ labelSelector: { 'io.kubernetes.pod.name': 'whole' } })
    await cri.stopPodSandbox(sandbox?.id ?? '')
    await n.wait('whole', (pod) => isReady(pod) && statusOf(pod)?.containerID !== statusOf(before)?.containerID)
  })

  t.test('nothing is left', async (t) => {
    for (const name of ['whole', 'ends', 'bad', ...versions.map((version) => `reads-${version.replace('.', '')}`)]) await n.remove(name)
    for (const name of ['whole', 'ends', 'bad']) await n.gone(name)
    const { cri } = n.daemon()
    await until(async () => ((await cri.listPodSandbox()).length === 0 ? true : undefined))
    t.strictSame(await cri.listContainers(), [])
    await until(async () => (left(join(n.s.dir, 'kubelet', 'pods')).length === 0 ? true : undefined))
    t.strictSame(
      left(join(n.s.dir, 'containerd', 'ipam', 'peer')).filter((name) => /^\d/.test(name)),
      [],
    )
  })
})
