// The node API as people use it: kubectl through our API server, over WebSocket (1.33) and SPDY (1.29). Needs root and kubectl.
import { execFile, spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { deferred } from '../../src/lib/index.js'
import { FOREVER, IMAGE, isReady, nodeScene, options, shell, statusOf, until } from './scene.js'

const FOLDER = '/usr/lib/google-cloud-sdk/bin'
const versions = ['1.33', '1.29']
  .map((version) => ({ version, path: join(FOLDER, `kubectl.${version}`) }))
  .filter(({ path }) => existsSync(path))

interface Result {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

t.setTimeout(240_000)

t.test('kubectl', versions.length > 0 ? options : { skip: 'no kubectl' }, async (t) => {
  t.setTimeout(240_000)
  const n = await nodeScene()
  t.teardown(() => n.end())
  const env = { ...process.env, KUBECONFIG: n.api.kubeconfig, HOME: n.s.dir }
  const kubectl = (path: string, args: readonly string[], input = ''): Promise<Result> =>
    new Promise((resolve) => {
      const child = execFile(path, args, { env, maxBuffer: 64 * 1024 * 1024, timeout: 60_000 }, (error, stdout, stderr) =>
        resolve({ code: typeof error?.code === 'number' ? error.code : error ? 1 : 0, stdout, stderr }),
      )
      child.stdin?.end(input)
    })
  const web = 'mkdir -p /tmp/www; echo page > /tmp/www/index.html; httpd -p 127.0.0.1:8080 -h /tmp/www; '
  const target = async (name: string): Promise<unknown> => {
    await n.run(name, { containers: [shell(`echo line one; echo line two; ${web}${FOREVER}`)] })
    return await n.wait(name, isReady)
  }

  for (const { version, path } of versions) {
    t.test(version, async (t) => {
      const name = `v${version.replace('.', '')}`
      await target(name)
      const run = (...args: readonly string[]): Promise<Result> => kubectl(path, args)
      t.equal((await run('logs', name)).stdout, 'line one\nline two\n')
      t.equal((await run('logs', name, '--tail=1')).stdout, 'line two\n')
      t.match((await run('logs', name, '--timestamps')).stdout, /^\d{4}-\d\d-\d\dT[\d:.]+Z line one\n/)
      t.equal((await run('logs', name, '--limit-bytes=6')).stdout, 'line o')
      t.match(await run('exec', name, '--', 'sh', '-c', 'echo out; echo err >&2'), { code: 0, stdout: 'out\n', stderr: /err\n/ })
      t.equal((await run('exec', name, '--', 'sh', '-c', 'exit 7')).code, 7)
      t.match((await run('exec', name, '--', '/no/such/thing')).stderr, /no\/such\/thing/)
      const big = 'x'.repeat(3_000_000)
      const echoed = await kubectl(path, ['exec', '-i', name, '--', 'cat'], big)
      t.equal(echoed.stdout.length, big.length)
      writeFileSync(join(n.s.dir, 'up'), 'carried')
      await n.exec(name, 'main', 'rm', '-f', '/tmp/up')
      const terminal = await kubectl('script', ['-qec', `${path} exec -it ${name} -- sh -c "tty; stty size"`, '/dev/null'])
      t.match(terminal.stdout, /\/dev\/(pts\/\d+|console)/)
      const described = await run('describe', 'pod', name)
      t.match(described.stdout, /Started +\S+ +kubelet +Started container main/)

      const follower = spawn(path, ['logs', '-f', '--tail=1', name], { env })
      let followed = ''
      const seen = deferred()
      follower.stdout.on('data', (chunk: Buffer) => {
        followed += chunk
        if (/news/.test(followed)) seen.resolve()
      })
      await until(async () => (/line two|news/.test(followed) ? true : undefined))
      await n.exec(name, 'main', 'sh', '-c', 'echo news > /proc/1/fd/1')
      await seen.promise
      follower.kill()

      const forwarder = spawn(path, ['port-forward', `pod/${name}`, ':8080', ':9'], { env })
      let said = ''
      forwarder.stdout.on('data', (chunk: Buffer) => {
        said += chunk
      })
      const port = await until(async () => /127\.0\.0\.1:(\d+) -> 8080/.exec(said)?.[1])
      for (let i = 0; i < 3; i++) t.match(await ask(Number(port)), /^HTTP\/1\.[01] 200[\s\S]*page\n$/)
      const nowhere = await until(async () => /127\.0\.0\.1:(\d+) -> 9\b/.exec(said)?.[1])
      t.equal(await ask(Number(nowhere)), '')
      forwarder.kill()
    })
  }

  t.test('attach, debug, and what is refused', async (t) => {
    const { path } = versions[0] as { path: string }
    await target('target')
    await n.run('reads', {
      restartPolicy: 'Never',
      containers: [shell('while read line; do echo "got $line"; done; echo over', { stdin: true, stdinOnce: true })],
    })
    await n.wait('reads', isReady)
    const attached = await kubectl(path, ['attach', '-i', 'reads'], 'a\nb\n')
    t.match(attached.stdout, /got a\ngot b\n/)
    await n.wait('reads', ({ status }) => status?.phase === 'Succeeded')
    const debug = await kubectl(path, [
      'debug',
      'target',
      `--image=${IMAGE}`,
      '--image-pull-policy=IfNotPresent',
      '--target=main',
      '-c',
      'probe',
      '--profile=general',
      '--',
      'sh',
      '-c',
      'ps; sleep 600',
    ])
    t.equal(debug.code, 0, debug.stderr)
    const pod = await n.wait('target', (seen) => statusOf(seen, 'probe')?.state?.running !== undefined)
    t.match(statusOf(pod, 'probe'), { restartCount: 0 })
    t.match(await until(async () => (await n.logs('target', 'probe')) || undefined), /trap/)
    await t.rejects(n.logs('target', 'main', '?previous=true'), {
      message: '400 previous terminated container "main" in pod "target" not found\n',
    })
    t.match((await kubectl(path, ['exec', 'reads', '--', 'true'])).stderr, /container not found|cannot exec|completed/)
  })

  t.test('node endpoints, and who may use them', async (t) => {
    const { path } = versions[0] as { path: string }
    const raw = async (rest: string): Promise<string> =>
      (await kubectl(path, ['get', '--raw', `/api/v1/nodes/node-a/proxy/${rest}`])).stdout
    t.equal(await raw('healthz'), 'ok')
    t.ok(
      (JSON.parse(await raw('pods')) as { items: { metadata: { name: string } }[] }).items.some(
        ({ metadata }) => metadata.name === 'target',
      ),
    )
    const summary = JSON.parse(await raw('stats/summary')) as {
      node: { nodeName: string }
      pods: { podRef: { name: string }; containers: { memory?: { workingSetBytes?: number } }[] }[]
    }
    t.equal(summary.node.nodeName, 'node-a')
    t.ok(summary.pods.some(({ podRef, containers }) => podRef.name === 'target' && (containers[0]?.memory?.workingSetBytes ?? 0) > 0))
    t.match(await raw('metrics/resource'), /^container_memory_working_set_bytes\{container="main",namespace="default",pod="target"\} \d+/m)
    t.match(await raw('metrics'), /^kubelet_running_pods \d+/m)
    t.match(JSON.parse(await raw('configz')), { kubeletconfig: { kind: 'KubeletConfiguration' } })
    const anonymous = await n.daemon().kubelet.handler({ method: 'GET', url: '/pods', headers: {} })
    t.equal(anonymous.status, 401)
    const nobody = { name: 'nobody', groups: ['system:authenticated'] }
    const refused = await n.daemon().kubelet.handler({ method: 'GET', url: '/pods', headers: {}, peer: { inProcessUser: nobody } })
    t.equal(refused.status, 403)
    t.equal((await n.daemon().kubelet.handler({ method: 'GET', url: '/healthz', headers: {} })).status, 200)
    t.ok(readFileSync(n.api.kubeconfig))
  })
})

/** One HTTP request without a library: what comes back until the end. */
function ask(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    let text = ''
    socket.on('connect', () => socket.write('GET / HTTP/1.0\r\n\r\n'))
    socket.on('data', (chunk) => {
      text += chunk
    })
    socket.on('error', () => resolve(text))
    socket.on('close', () => resolve(text))
  })
}
