// Logs as kubectl shows them: followed over rotations without a gap, of earlier runs, of several containers, from a time on. Needs root and kubectl.
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import t from 'tap'
import { logDirectoryOf } from '../../src/kubelet/sandbox/config.js'
import { ended, heard, kubectl, versions } from './kubectl.js'
import { FOREVER, isReady, nodeScene, options, shell, statusOf, until } from './scene.js'

t.setTimeout(240_000)

t.test('logs', versions.length > 0 ? options : { skip: 'no kubectl' }, async (t) => {
  t.setTimeout(240_000)
  const n = await nodeScene({ containerLogMaxSizeBytes: 16 * 1024, containerLogMaxFiles: 3, containerLogMonitorIntervalMs: 200 })
  t.teardown(() => n.end())
  const k = kubectl(n, versions[0] as string)

  t.test('rotated by size, kept by number, and a follower sees every line once', async (t) => {
    await n.run('chatty', {
      // In bursts with rests between: one without them grows as fast as the machine lets it, and takes it from those who read.
      containers: [
        shell(
          'i=0; while [ ! -e /tmp/end ]; do for n in $(seq 50); do i=$((i+1)); echo "line $i of a log that grows"; done; sleep 0.05; done; echo last',
        ),
      ],
    })
    const pod = await n.wait('chatty', isReady)
    const folder = join(logDirectoryOf(pod, join(n.s.dir, 'pod-logs')), 'main')
    const half = join(folder, '0.log.20200101-000000.tmp')
    writeFileSync(half, 'of a daemon that was killed while it compressed')
    const followers = versions.map((version) => kubectl(n, version).start('logs', '-f', '--since=1h', 'chatty'))
    const said = followers.map(heard)
    const moved = new Set<string>()
    await until(async () => {
      for (const name of readdirSync(folder))
        if (/^0\.log\.\d{8}-\d{6}/.test(name)) moved.add(name.slice(0, '0.log.20260101-000000'.length))
      return moved.size >= 5 ? true : undefined
    })
    await n.exec('chatty', 'main', 'touch', '/tmp/end')
    for (const [i, follower] of followers.entries()) {
      t.equal(await ended(follower), 0)
      const numbers = said[i]?.text().trimEnd().split('\n') ?? []
      t.equal(numbers.pop(), 'last')
      const [first = 0, ...rest] = numbers.map((line) => Number(/^line (\d+) of a log that grows$/.exec(line)?.[1]))
      t.ok(
        rest.every((number, at) => number === first + at + 1),
        'no line is lost, none is there twice',
      )
    }
    const kept = readdirSync(folder).filter((name) => name.startsWith('0.log'))
    t.ok(kept.length <= 3, kept.join())
    t.notOk(existsSync(half))
    const compressed = kept.find((name) => name.endsWith('.gz'))
    t.match(gunzipSync(readFileSync(join(folder, compressed ?? ''))).toString(), / stdout F line \d+ of a log that grows\n/)
    t.ok(statSync(join(folder, kept.find((name) => !name.endsWith('.gz') && name !== '0.log') ?? '')).size >= 16 * 1024)
    await n.remove('chatty', 0)
  })

  t.test('of the run before, of one container, of all of them, with names and times', async (t) => {
    await n.run('many', {
      initContainers: [shell('echo from the beginning', { name: 'init' })],
      containers: [
        shell(`echo run $(cat /count/n 2>/dev/null || echo 1); if [ ! -e /count/n ]; then echo 2 > /count/n; exit 1; fi; ${FOREVER}`, {
          volumeMounts: [{ name: 'count', mountPath: '/count' }],
        }),
        shell(`echo aside; ${FOREVER}`, { name: 'side' }),
      ],
      volumes: [{ name: 'count', emptyDir: {} }],
    })
    await n.wait('many', (pod) => isReady(pod) && statusOf(pod)?.restartCount === 1)
    t.equal((await k.run('logs', 'many', '-c', 'main')).stdout, 'run 2\n')
    t.equal((await k.run('logs', 'many', '-c', 'main', '--previous')).stdout, 'run 1\n')
    t.equal((await k.run('logs', 'many', '-c', 'init')).stdout, 'from the beginning\n')
    t.match(await k.run('logs', 'many', '-c', 'side', '--previous'), {
      code: 1,
      stderr: /previous terminated container "side" in pod "many" not found/,
    })
    t.strictSame((await k.run('logs', 'many', '--all-containers')).stdout.trimEnd().split('\n').sort(), [
      'aside',
      'from the beginning',
      'run 2',
    ])
    const prefixed = (await k.run('logs', 'many', '--all-containers', '--prefix', '--timestamps')).stdout
    t.match(prefixed, /^\[pod\/many\/side\] \d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d) aside$/m)
    t.match(
      (await k.run('logs', 'many')).stderr + (await k.run('logs', 'many')).stdout,
      /Defaulted container "main" out of: main, side, init \(init\)[\s\S]*run 2/,
    )
    t.equal((await k.run('logs', 'many', '-c', 'main', '--limit-bytes=4')).stdout, 'run ')
  })

  t.test('from a time on', async (t) => {
    await n.run('timed', { containers: [shell(`echo early; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo late; ${FOREVER}`)] })
    await n.wait('timed', isReady)
    const line = async (): Promise<string> => (await k.run('logs', 'timed', '--timestamps')).stdout
    const early = Date.parse((await until(async () => (await line()) || undefined)).split(' ')[0] ?? '')
    // kubectl sends whole seconds.
    await until(async () => (Date.now() - early > 2_000 ? true : undefined))
    await n.exec('timed', 'main', 'touch', '/tmp/go')
    await until(async () => ((await line()).includes('late') ? true : undefined))
    t.equal((await k.run('logs', 'timed', `--since-time=${new Date(early + 1_000).toISOString()}`)).stdout, 'late\n')
    t.equal((await k.run('logs', 'timed', '--since=1h')).stdout, 'early\nlate\n')
    t.equal((await k.run('logs', 'timed', '--since=1h', '--tail=1')).stdout, 'late\n')
  })
})
