// Probes of every kind for every purpose, as the container sees them and as the API tells of them. Needs root.
import t from 'tap'
import type { Pod, Probe } from '../../src/api/index.js'
import { FOREVER, isReady, nodeScene, options, shell, statusOf } from './scene.js'
import { web } from './web.js'

t.setTimeout(240_000)

const handlers: Readonly<Record<string, Probe>> = {
  exec: { exec: { command: ['sh', '-c', '! ls /shared/bad-exec'] } },
  http: { httpGet: { path: '/ok?a=b', port: 'web', httpHeaders: [{ name: 'X-Test', value: 'one' }] } },
  https: { httpGet: { path: '/moved', port: 8443, scheme: 'HTTPS' } },
  tcp: { tcpSocket: { port: 7070 } },
  grpc: { grpc: { port: 9090, service: 'shop' } },
}
const kinds = Object.keys(handlers)

const failures: Readonly<Record<string, RegExp>> = {
  exec: /probe failed: \/shared\/bad-exec\n/,
  http: /probe failed: HTTP probe failed with statuscode: 500$/,
  https: /probe failed: HTTP probe failed with statuscode: 500$/,
  tcp: /probe failed: dial tcp 10\.213\.\d+\.\d+:7070: connect: connection refused$/,
  grpc: /probe failed: service unhealthy \(responded with "NOT_SERVING"\)$/,
}

t.test('probes', options, async (t) => {
  t.setTimeout(200_000)
  const n = await nodeScene()
  t.teardown(() => n.end())

  /** A pod with the server, and a container for each kind of probe. */
  async function podWith(
    name: string,
    probes: (handler: Probe, kind: string) => Partial<Record<'livenessProbe' | 'readinessProbe' | 'startupProbe', Probe>>,
  ) {
    const server = await web(n, name)
    for (const kind of kinds) server.fail(kind, name !== 'liveness')
    await n.run(name, {
      volumes: server.volumes,
      // First the server, then those who are asked about it.
      initContainers: [
        {
          ...server.container,
          restartPolicy: 'Always',
          startupProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1, failureThreshold: 60 },
        },
      ],
      containers: kinds.map((kind) =>
        shell(FOREVER, {
          name: kind,
          ports: [{ name: 'web', containerPort: 8080 }],
          volumeMounts: [{ name: 'shared', mountPath: '/shared' }],
          ...probes(handlers[kind] as Probe, kind),
        }),
      ),
    })
    return server
  }
  const each = (what: (pod: Pod, kind: string) => boolean) => (pod: Pod) => kinds.every((kind) => what(pod, kind))

  t.test('readiness decides whether a container is ready, both ways', async (t) => {
    const server = await podWith('readiness', (handler) => ({ readinessProbe: { ...handler, periodSeconds: 1, failureThreshold: 1 } }))
    for (const kind of kinds) {
      const { involvedObject } = await n.eventWith('readiness', 'Unhealthy', failures[kind])
      t.ok(
        kinds.some((each) => involvedObject.fieldPath === `spec.containers{${each}}`),
        kind,
      )
    }
    const before = await n.wait(
      'readiness',
      each((pod, kind) => statusOf(pod, kind)?.state?.running !== undefined),
    )
    for (const kind of kinds) t.match(statusOf(before, kind), { ready: false, started: true, restartCount: 0 }, kind)
    t.match(
      before.status?.conditions?.find(({ type }) => type === 'Ready'),
      { status: 'False', reason: 'ContainersNotReady', message: 'containers with unready status: [exec http https tcp grpc]' },
    )
    for (const kind of kinds) server.fail(kind, false)
    await n.wait('readiness', isReady)
    t.ok(server.requests().includes('http GET /ok?a=b kube-probe/1.37 one'), 'path, headers and name of the asker')
    t.ok(
      server.requests().some((line) => line.startsWith('https GET /ok kube-probe/')),
      'redirects to the same host are followed',
    )
    t.ok(server.requests().includes('grpc shop'), 'the service is named')
    for (const kind of kinds) server.fail(kind, true)
    const after = await n.wait(
      'readiness',
      each((pod, kind) => statusOf(pod, kind)?.ready === false),
    )
    for (const kind of kinds) t.equal(statusOf(after, kind)?.restartCount, 0, kind)
    await n.remove('readiness', 0)
  })

  t.test('liveness restarts the container, and says so', async (t) => {
    const server = await podWith('liveness', (handler) => ({
      livenessProbe: { ...handler, periodSeconds: 1, failureThreshold: 1, terminationGracePeriodSeconds: 1 },
    }))
    await n.wait('liveness', isReady)
    for (const kind of kinds) server.fail(kind, true)
    await n.wait(
      'liveness',
      each((pod, kind) => (statusOf(pod, kind)?.restartCount ?? 0) >= 1),
    )
    for (const kind of kinds) server.fail(kind, false)
    const pod = await n.wait('liveness', isReady)
    for (const kind of kinds) {
      t.ok(statusOf(pod, kind)?.lastState?.terminated, kind)
      t.ok(await n.eventWith('liveness', 'Killing', new RegExp(`^Container ${kind} failed liveness probe, will be restarted$`)), kind)
    }
    t.equal(statusOf(pod, 'web')?.restartCount, 0, 'others are untouched')
    await n.remove('liveness', 0)
  })

  t.test('startup holds the other probes back, and restarts what does not come up', async (t) => {
    const never: Probe = { httpGet: { path: '/not-yet', port: 'web' }, periodSeconds: 1 }
    const server = await podWith('startup', (handler, kind) => ({
      startupProbe: { ...handler, periodSeconds: 1, failureThreshold: kind === 'exec' ? 1 : 60 },
      ...(kind === 'http' ? { readinessProbe: never } : {}),
    }))
    t.ok(await n.eventWith('startup', 'Killing', /^Container exec failed startup probe, will be restarted$/))
    const before = await n.wait('startup', (pod) => ['http', 'https', 'tcp', 'grpc'].every((kind) => statusOf(pod, kind)?.state?.running))
    for (const kind of ['http', 'https', 'tcp', 'grpc'])
      t.match(statusOf(before, kind), { ready: false, started: false, restartCount: 0 }, kind)
    t.notOk(server.requests().some((line) => line.includes('/not-yet')))
    for (const kind of kinds) server.fail(kind, false)
    const after = await n.wait(
      'startup',
      each((pod, kind) => statusOf(pod, kind)?.started === true && statusOf(pod, kind)?.ready === true),
      90_000,
    )
    t.equal(statusOf(after, 'http')?.restartCount, 0)
    t.ok(
      server.requests().some((line) => line.includes('/not-yet')),
      'readiness is asked once it has started',
    )
    await n.remove('startup', 0)
  })

  t.test('what is no answer, what is too late, and what leads elsewhere', async (t) => {
    const server = await web(n, 'odd')
    const soon = { periodSeconds: 1, failureThreshold: 1 }
    await n.run('odd', {
      volumes: server.volumes,
      containers: [
        server.container,
        shell(FOREVER, { name: 'absent', livenessProbe: { exec: { command: ['/no/such/program'] }, ...soon } }),
        shell(FOREVER, { name: 'unnamed', livenessProbe: { httpGet: { path: '/', port: 'nobody' }, ...soon } }),
        shell(FOREVER, { name: 'late', readinessProbe: { exec: { command: ['sleep', '30'] }, ...soon } }),
        shell(FOREVER, { name: 'slow', readinessProbe: { httpGet: { path: '/slow', port: 8080 }, ...soon, initialDelaySeconds: 1 } }),
        shell(FOREVER, {
          name: 'elsewhere',
          readinessProbe: { httpGet: { path: '/elsewhere', port: 8080 }, ...soon, failureThreshold: 30 },
        }),
        shell(FOREVER, { name: 'twice', readinessProbe: { exec: { command: ['true'] }, periodSeconds: 1, successThreshold: 2 } }),
      ],
    })
    t.ok(await n.eventWith('odd', 'Unhealthy', /^Liveness probe errored and resulted in unknown state: .*no such file or directory/))
    t.ok(
      await n.eventWith(
        'odd',
        'Unhealthy',
        /^Liveness probe errored and resulted in unknown state: strconv\.Atoi: parsing "nobody": invalid syntax$/,
      ),
    )
    t.ok(await n.eventWith('odd', 'Unhealthy', /^Readiness probe failed: command timed out: "sleep 30" timed out after 1s$/))
    t.ok(
      await n.eventWith(
        'odd',
        'Unhealthy',
        /^Readiness probe failed: Get "http:\/\/10\.213\.\d+\.\d+:8080\/slow": context deadline exceeded/,
      ),
    )
    t.ok(await n.eventWith('odd', 'ProbeWarning', /^Readiness probe warning: Probe terminated redirects/))
    const pod = await n.wait('odd', (now) => statusOf(now, 'elsewhere')?.ready === true && statusOf(now, 'twice')?.ready === true)
    t.match(statusOf(pod, 'absent'), { restartCount: 0, ready: true }, 'a question that cannot be put restarts nothing')
    t.match(statusOf(pod, 'unnamed'), { restartCount: 0, ready: true })
    t.match([statusOf(pod, 'late'), statusOf(pod, 'slow')], [{ ready: false }, { ready: false }])
    await n.remove('odd', 0)
  })
})
