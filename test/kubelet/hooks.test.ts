// postStart and preStop of every kind, and how they end: seen from inside, and from the API. Needs root.
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { FOREVER, isReady, nodeScene, options, shell, statusOf, until } from './scene.js'
import { web } from './web.js'

t.setTimeout(240_000)

t.test('hooks', options, async (t) => {
  t.setTimeout(200_000)
  const n = await nodeScene()
  t.teardown(() => n.end())
  const volumeMounts = [{ name: 'shared', mountPath: '/shared' }]

  t.test('over http, by sleeping, by exec: before ready, and inside the grace period', async (t) => {
    const server = await web(n, 'hooks')
    const noting = (name: string): string => `trap "echo ${name} >> /shared/term; exit 0" TERM; while true; do sleep 0.1; done`
    const call = (path: string) => ({ httpGet: { path, port: 'web', httpHeaders: [{ name: 'X-Test', value: 'hook' }] } })
    await n.run('hooks', {
      terminationGracePeriodSeconds: 20,
      volumes: server.volumes,
      // Ends after all others: their last calls reach it.
      initContainers: [{ ...server.container, restartPolicy: 'Always', startupProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 } }],
      containers: [
        shell(noting('http'), {
          name: 'http',
          ports: [{ name: 'web', containerPort: 8080 }],
          volumeMounts,
          lifecycle: { postStart: call('/up'), preStop: call('/down') },
        }),
        shell(noting('sleep'), {
          name: 'sleep',
          volumeMounts,
          lifecycle: { postStart: { sleep: { seconds: 1 } }, preStop: { sleep: { seconds: 2 } } },
        }),
        shell(noting('exec'), {
          name: 'exec',
          volumeMounts,
          lifecycle: {
            postStart: { exec: { command: ['sh', '-c', 'echo up >> /shared/exec'] } },
            preStop: { exec: { command: ['sh', '-c', 'echo down >> /shared/exec; touch /shared/began'] } },
          },
        }),
      ],
    })
    const pod = await n.wait('hooks', isReady)
    t.ok(server.requests().includes('http GET /up kube-lifecycle/1.37 hook'))
    const began = (name: string): number => Date.parse(statusOf(pod, name)?.state?.running?.startedAt ?? '')
    t.ok(began('exec') >= began('sleep') + 1000, 'the next container waits for the hook')
    await n.remove('hooks')
    await n.gone('hooks')
    t.ok(server.requests().includes('http GET /down kube-lifecycle/1.37 hook'))
    t.equal(readFileSync(join(server.folder, 'exec'), 'utf8'), 'up\ndown\n')
    const term = readFileSync(join(server.folder, 'term'), 'utf8').split('\n').slice(0, -1)
    t.strictSame([...term].sort(), ['exec', 'http', 'sleep'])
    t.equal(term.at(-1), 'sleep', 'the one that slept is told last')
    t.ok(statSync(join(server.folder, 'term')).mtimeMs - statSync(join(server.folder, 'began')).mtimeMs > 1_500)
  })

  t.test('a preStop that fails, and one that does not end', async (t) => {
    const path = join(n.s.dir, 'stops')
    await n.run('stops', {
      terminationGracePeriodSeconds: 2,
      volumes: [{ name: 'shared', hostPath: { path, type: 'DirectoryOrCreate' } }],
      containers: [
        shell('trap "touch /shared/fails; exit 0" TERM; while true; do sleep 0.1; done', {
          name: 'fails',
          volumeMounts,
          lifecycle: { preStop: { exec: { command: ['sh', '-c', 'echo no good; exit 3'] } } },
        }),
        shell('trap "touch /shared/hangs; exit 0" TERM; while true; do sleep 0.1; done', {
          name: 'hangs',
          volumeMounts,
          lifecycle: { preStop: { exec: { command: ['sleep', '1000'] } } },
        }),
      ],
    })
    await n.wait('stops', isReady)
    const asked = Date.now()
    await n.remove('stops')
    t.match(await n.eventWith('stops', 'FailedPreStopHook'), { type: 'Warning', message: /^PreStopHook failed/ })
    await n.gone('stops')
    t.ok(Date.now() - asked < 20_000)
    t.ok(existsSync(join(path, 'fails')) && existsSync(join(path, 'hangs')), 'both were told to end')
  })

  t.test('a postStart that fails ends its container, which comes back', async (t) => {
    await n.run('bad', {
      terminationGracePeriodSeconds: 1,
      containers: [
        shell(FOREVER, { name: 'exec', lifecycle: { postStart: { exec: { command: ['sh', '-c', 'echo not today; exit 1'] } } } }),
        shell(FOREVER, { name: 'http', lifecycle: { postStart: { httpGet: { path: '/', port: 9 } } } }),
        shell(FOREVER, { name: 'fine' }),
      ],
    })
    for (const name of ['exec', 'http']) {
      await n.wait('bad', (pod) => (statusOf(pod, name)?.restartCount ?? 0) >= 1)
      await n.wait('bad', (pod) => ['PostStartHookError', 'CrashLoopBackOff'].includes(statusOf(pod, name)?.state?.waiting?.reason ?? ''))
    }
    const events = await until(async () => {
      const all = (await n.events('bad')).filter(({ reason }) => reason === 'FailedPostStartHook')
      return new Set(all.map(({ involvedObject }) => involvedObject.fieldPath)).size === 2 ? all : undefined
    })
    for (const { message, type } of events) t.match({ message, type }, { type: 'Warning', message: /^PostStartHook failed/ })
    t.match(statusOf(await n.get('bad'), 'fine'), { ready: true, restartCount: 0 })
  })
})
