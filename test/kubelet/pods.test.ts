// Pods from the API to the kernel and back: phases, restarts, order, hooks, probes. Needs root.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { conditionOf, FOREVER, isReady, left, nodeScene, options, shell, statusOf, until } from './scene.js'

t.setTimeout(240_000)

t.test('pods', options, async (t) => {
  t.setTimeout(180_000)
  const n = await nodeScene()
  t.teardown(() => n.end())

  t.test('a pod runs, says so, is deleted with grace, and leaves nothing', async (t) => {
    const created = await n.run('plain', { containers: [shell(`echo hello; ${FOREVER}`)] })
    const pod = await n.wait('plain', isReady)
    t.match(pod.status, {
      phase: 'Running',
      qosClass: 'BestEffort',
      hostIP: '127.0.0.1',
      podIP: /^10\.213\./,
      containerStatuses: [{ name: 'main', ready: true, started: true, restartCount: 0, containerID: /^knarr:\/\/[0-9a-f]{64}$/ }],
    })
    for (const type of ['PodScheduled', 'PodReadyToStartContainers', 'Initialized', 'ContainersReady', 'Ready'])
      t.equal(conditionOf(pod, type), 'True', type)
    t.equal(await until(async () => (await n.logs('plain', 'main')) || undefined), 'hello\n')
    const reasons = (await n.events('plain')).map(({ reason }) => reason)
    for (const reason of ['Pulled', 'Created', 'Started']) t.ok(reasons.includes(reason), reason)
    t.match(await n.exec('plain', 'main', 'cat', '/etc/hosts'), /^# Kubernetes-managed hosts file\.[\s\S]*\tplain\n/)
    await n.remove('plain')
    await n.gone('plain')
    t.match(await n.eventWith('plain', 'Killing'), { message: 'Stopping container main' })
    const uid = created.metadata.uid ?? ''
    await until(async () => (left(join(n.s.dir, 'kubelet', 'pods')).includes(uid) ? undefined : true))
    await until(async () => (left(join(n.s.dir, 'pod-logs')).some((name) => name.includes(uid)) ? undefined : true))
  })

  t.test('a pod that ends: Succeeded, Failed, with exit code, message and kept logs', async (t) => {
    await n.run('good', { restartPolicy: 'Never', containers: [shell('echo done; printf "all is well" > /dev/termination-log')] })
    await n.run('bad', {
      restartPolicy: 'OnFailure',
      activeDeadlineSeconds: 600,
      containers: [shell('echo last words; exit 3', { terminationMessagePolicy: 'FallbackToLogsOnError' })],
    })
    const good = await n.wait('good', ({ status }) => status?.phase === 'Succeeded')
    t.match(statusOf(good)?.state, { terminated: { exitCode: 0, reason: 'Completed', message: 'all is well' } })
    t.match(
      good.status?.conditions?.find(({ type }) => type === 'Ready'),
      { status: 'False', reason: 'PodCompleted' },
    )
    t.equal(await n.logs('good', 'main'), 'done\n')
    const bad = await n.wait(
      'bad',
      (pod) => (statusOf(pod)?.restartCount ?? 0) >= 1 && statusOf(pod)?.state?.waiting?.reason === 'CrashLoopBackOff',
    )
    t.equal(bad.status?.phase, 'Running')
    t.match(statusOf(bad)?.lastState, { terminated: { exitCode: 3, reason: 'Error', message: 'last words\n' } })
    t.match(statusOf(bad)?.state?.waiting?.message, /^back-off 10s restarting failed container=main pod=bad_default\(/)
    t.match(await n.eventWith('bad', 'BackOff'), { message: /^Back-off restarting failed container main in pod bad_default\(/ })
    t.equal(await n.logs('bad', 'main', '?previous=true'), 'last words\n')
  })

  t.test('init containers run in turn, a failing one ends a pod that never restarts', async (t) => {
    const volumes = [{ name: 'shared', emptyDir: {} }]
    const volumeMounts = [{ name: 'shared', mountPath: '/shared' }]
    await n.run('init', {
      volumes,
      initContainers: [
        shell('echo one >> /shared/order', { name: 'one', volumeMounts }),
        shell('echo two >> /shared/order', { name: 'two', volumeMounts }),
      ],
      containers: [shell(`echo main >> /shared/order; ${FOREVER}`, { volumeMounts })],
    })
    const pod = await n.wait('init', isReady)
    t.equal(await until(async () => (await n.exec('init', 'main', 'cat', '/shared/order')) || undefined), 'one\ntwo\nmain\n')
    t.match(statusOf(pod, 'one'), { ready: true, state: { terminated: { reason: 'Completed' } } })
    await n.run('init-fails', { restartPolicy: 'Never', initContainers: [shell('exit 5', { name: 'one' })], containers: [shell(FOREVER)] })
    const failed = await n.wait('init-fails', ({ status }) => status?.phase === 'Failed')
    t.match(
      failed.status?.conditions?.find(({ type }) => type === 'Initialized'),
      {
        status: 'False',
        reason: 'ContainersNotInitialized',
        message: 'containers with incomplete status: [one]',
      },
    )
    t.match(statusOf(failed)?.state, { waiting: { reason: 'PodInitializing' } })
  })

  t.test('sidecars start before the containers in turn, and stop after them the other way round', async (t) => {
    const volumes = [{ name: 'shared', hostPath: { path: join(n.s.dir, 'sidecar'), type: 'DirectoryOrCreate' } }]
    const volumeMounts = [{ name: 'shared', mountPath: '/shared' }]
    // Slow to end: who does not wait for it would be first.
    const trap = (name: string): string =>
      `echo ${name} up >> /shared/order; trap "sleep 0.5; echo ${name} down >> /shared/order; exit 0" TERM; while true; do sleep 0.1; done`
    const sidecar = (name: string) =>
      shell(trap(name), {
        name,
        restartPolicy: 'Always',
        volumeMounts,
        startupProbe: { exec: { command: ['grep', '-q', `${name} up`, '/shared/order'] }, periodSeconds: 1 },
      })
    await n.run('sidecar', {
      terminationGracePeriodSeconds: 20,
      volumes,
      initContainers: [sidecar('first'), sidecar('second'), sidecar('third')],
      containers: [shell(trap('main'), { volumeMounts })],
    })
    const pod = await n.wait('sidecar', isReady)
    t.match(statusOf(pod, 'second'), { ready: true, started: true, state: { running: {} } })
    await until(async () => (/main up/.test(await n.exec('sidecar', 'main', 'cat', '/shared/order')) ? true : undefined))
    await n.remove('sidecar')
    await n.gone('sidecar')
    t.same(
      readFileSync(join(n.s.dir, 'sidecar', 'order'), 'utf8')
        .trim()
        .split('\n'),
      [
        ...['first', 'second', 'third', 'main'].map((name) => `${name} up`),
        ...['main', 'third', 'second', 'first'].map((name) => `${name} down`),
      ],
    )
  })

  t.test('hooks: postStart before readiness, preStop inside the grace period, and a hook that fails', async (t) => {
    const path = join(n.s.dir, 'hooks')
    const volumes = [{ name: 'shared', hostPath: { path, type: 'DirectoryOrCreate' } }]
    const volumeMounts = [{ name: 'shared', mountPath: '/shared' }]
    await n.run('hooks', {
      terminationGracePeriodSeconds: 10,
      volumes,
      containers: [
        shell(`trap "echo term >> /shared/log; exit 0" TERM; while true; do sleep 0.1; done`, {
          volumeMounts,
          lifecycle: {
            postStart: { exec: { command: ['sh', '-c', 'echo post >> /shared/log'] } },
            preStop: { exec: { command: ['sh', '-c', 'echo pre >> /shared/log'] } },
          },
        }),
      ],
    })
    await n.wait('hooks', isReady)
    await until(async () => (/post/.test(await n.exec('hooks', 'main', 'cat', '/shared/log')) ? true : undefined))
    await n.remove('hooks')
    await n.gone('hooks')
    t.equal(readFileSync(join(path, 'log'), 'utf8'), 'post\npre\nterm\n')
    await n.run('bad-hook', { containers: [shell(FOREVER, { lifecycle: { postStart: { exec: { command: ['false'] } } } })] })
    await n.wait('bad-hook', (pod) => ['PostStartHookError', 'CrashLoopBackOff'].includes(statusOf(pod)?.state?.waiting?.reason ?? ''))
    t.ok(await n.eventWith('bad-hook', 'FailedPostStartHook'))
  })

  t.test('probes: startup holds back, readiness decides, liveness restarts', async (t) => {
    await n.run('ready', {
      containers: [shell(FOREVER, { readinessProbe: { exec: { command: ['cat', '/tmp/ready'] }, periodSeconds: 1, failureThreshold: 1 } })],
    })
    await n.wait('ready', ({ status }) => status?.phase === 'Running')
    t.equal(conditionOf(await n.get('ready'), 'Ready'), 'False')
    t.ok(await n.eventWith('ready', 'Unhealthy', /^Readiness probe failed: /))
    await n.exec('ready', 'main', 'touch', '/tmp/ready')
    await n.wait('ready', isReady)
    await n.exec('ready', 'main', 'rm', '/tmp/ready')
    await n.wait('ready', (pod) => !isReady(pod))
    await n.run('live', {
      containers: [
        shell(`touch /tmp/ok; ${FOREVER}`, {
          livenessProbe: { exec: { command: ['cat', '/tmp/ok'] }, periodSeconds: 1, failureThreshold: 1 },
          startupProbe: { exec: { command: ['cat', '/tmp/ok'] }, periodSeconds: 1 },
        }),
      ],
    })
    await n.wait('live', isReady)
    await n.exec('live', 'main', 'rm', '/tmp/ok')
    const restarted = await n.wait('live', (pod) => statusOf(pod)?.restartCount === 1 && isReady(pod))
    t.ok(statusOf(restarted)?.lastState?.terminated)
    t.ok(await n.eventWith('live', 'Killing', /^Container main failed liveness probe, will be restarted$/))
  })

  t.test('probes over the network: httpGet with headers, tcpSocket', async (t) => {
    const web = 'mkdir -p /tmp/www; echo fine > /tmp/www/ok; exec httpd -f -p 8080 -h /tmp/www'
    await n.run('web', {
      containers: [
        shell(web, {
          ports: [{ name: 'http', containerPort: 8080 }],
          readinessProbe: { httpGet: { path: '/ok', port: 'http', httpHeaders: [{ name: 'X-Test', value: '1' }] }, periodSeconds: 1 },
          livenessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1, initialDelaySeconds: 1 },
        }),
        shell(FOREVER, { name: 'nowhere', readinessProbe: { httpGet: { path: '/', port: 9 }, periodSeconds: 1 } }),
      ],
    })
    const pod = await n.wait('web', (pod) => statusOf(pod)?.ready === true)
    t.equal(statusOf(pod, 'nowhere')?.ready, false)
    t.match(
      pod.status?.conditions?.find(({ type }) => type === 'ContainersReady'),
      {
        reason: 'ContainersNotReady',
        message: 'containers with unready status: [nowhere]',
      },
    )
    t.ok(await n.eventWith('web', 'Unhealthy', /connect: connection refused/))
  })

  t.test('what cannot be: states and events that people know, and a mend that helps', async (t) => {
    await n.run('no-map', { containers: [shell(FOREVER, { envFrom: [{ configMapRef: { name: 'missing' } }] })] })
    await n.run('no-command', { containers: [shell('', { command: ['/no/such/program'] })] })
    await n.run('no-image', { containers: [shell(FOREVER, { image: 'test.local/nothing:1', imagePullPolicy: 'Never' })] })
    await n.run('bad-name', { containers: [shell(FOREVER, { image: 'UPPER CASE' })] })
    await n.run('root', { securityContext: { runAsNonRoot: true }, containers: [shell(FOREVER)] })
    await n.run('deadline', { activeDeadlineSeconds: 1, containers: [shell(FOREVER)] })
    const reason = (name: string, wanted: string) => n.wait(name, (pod) => statusOf(pod)?.state?.waiting?.reason === wanted)
    t.match(statusOf(await reason('no-map', 'CreateContainerConfigError'))?.state?.waiting?.message, 'configmap "missing" not found')
    t.match(statusOf(await reason('no-image', 'ErrImageNeverPull'))?.state?.waiting?.message, /is not present with pull policy of Never$/)
    await reason('bad-name', 'InvalidImageName')
    t.match(statusOf(await reason('root', 'CreateContainerConfigError'))?.state?.waiting?.message, /image will run as root/)
    await n.wait('no-command', (pod) =>
      ['RunContainerError', 'CrashLoopBackOff', 'CreateContainerError'].includes(statusOf(pod)?.state?.waiting?.reason ?? ''),
    )
    const late = await n.wait('deadline', ({ status }) => status?.phase === 'Failed')
    t.match(late.status, { reason: 'DeadlineExceeded', message: 'Pod was active on the node longer than the specified deadline' })
  })
})
