// The node API as people use it: kubectl through our API server, over WebSocket (1.33) and SPDY (1.29). Needs root and kubectl.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { ConfigMap } from '../../src/api/index.js'
import { ended, heard, kubectl, versions } from './kubectl.js'
import { FOREVER, IMAGE, isReady, NODE, nodeScene, options, shell, statusOf, until } from './scene.js'

t.setTimeout(240_000)

t.test('kubectl', versions.length > 0 ? options : { skip: 'no kubectl' }, async (t) => {
  t.setTimeout(240_000)
  const n = await nodeScene()
  t.teardown(() => n.end())
  // Pods that kubectl makes have a token, and the authority beside it.
  await n.client.create(ConfigMap, {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'kube-root-ca.crt', namespace: 'default' },
    data: { 'ca.crt': n.api.ca.cert },
  })
  const web = 'mkdir -p /tmp/www; echo page > /tmp/www/index.html; httpd -p 127.0.0.1:8080 -h /tmp/www; '
  const target = async (name: string): Promise<unknown> => {
    const readinessProbe = { exec: { command: ['true'] } }
    await n.run(name, { containers: [shell(`echo line one; echo line two; ${web}${FOREVER}`, { readinessProbe })] })
    await n.wait(name, isReady)
    // Ready says that it runs, not that it has written.
    return await until(async () => ((await n.logs(name, 'main')).includes('line two') ? true : undefined))
  }

  for (const version of versions) {
    const k = kubectl(n, version)
    const suffix = version.replace('.', '')

    t.test(`${version}: logs, exec, describe, port-forward`, async (t) => {
      const name = `v${suffix}`
      await target(name)
      t.equal((await k.run('logs', name)).stdout, 'line one\nline two\n')
      t.equal((await k.run('logs', name, '--tail=1')).stdout, 'line two\n')
      t.match((await k.run('logs', name, '--timestamps')).stdout, /^\d{4}-\d\d-\d\dT[\d:.]+Z line one\n/)
      t.equal((await k.run('logs', name, '--limit-bytes=6')).stdout, 'line o')
      t.match(await k.run('exec', name, '--', 'sh', '-c', 'echo out; echo err >&2'), { code: 0, stdout: 'out\n', stderr: /err\n/ })
      t.equal((await k.run('exec', name, '--', 'sh', '-c', 'exit 7')).code, 7)
      t.match((await k.run('exec', name, '--', '/no/such/thing')).stderr, /no\/such\/thing/)
      t.match(await k.run('exec', name, '-c', 'nobody', '--', 'true'), { code: 1, stderr: /container nobody/ })
      const big = 'x'.repeat(3_000_000)
      t.equal((await k.feed(big, 'exec', '-i', name, '--', 'cat')).stdout.length, big.length)

      const terminal = k.onTerminal('exec', '-it', name, '--', 'sh')
      const shown = heard(terminal)
      // What is typed and the size of the window come by ways of their own: either may be first.
      terminal.stdin?.write('tty; until stty size | grep 111; do sleep 0.1; done; echo $((6 * 7))\n')
      await shown.until(/\/dev\/(pts\/\d+|console)[\s\S]*33 111[\s\S]*\b42\b/)
      t.notMatch(shown.text(), /Unknown stream/)
      terminal.stdin?.write('exit 3\n')
      t.equal(await ended(terminal), 3)

      // Events come after what they tell of.
      for (const words of [
        /Pulled +\S+ +kubelet +Container image/,
        /Created +\S+ +kubelet +Created container: main/,
        /Started +\S+ +kubelet +Started container main/,
      ])
        t.ok(await until(async () => words.test((await k.run('describe', 'pod', name)).stdout) || undefined), String(words))
      const node = /Ready +True[\s\S]*KubeletReady[\s\S]*NodeReady/
      t.ok(await until(async () => node.test((await k.run('describe', 'node', NODE)).stdout) || undefined))

      const follower = k.start('logs', '-f', '--tail=1', name)
      const followed = heard(follower)
      await followed.until(/line two/)
      await n.exec(name, 'main', 'sh', '-c', 'echo news > /proc/1/fd/1')
      await followed.until(/news/)
      await n.remove(name, 1)
      t.equal(await ended(follower), 0, 'it ends with the container')
    })

    t.test(`${version}: port-forward`, async (t) => {
      const name = `port-${suffix}`
      await target(name)
      const forwarder = k.start('port-forward', `pod/${name}`, ':8080', ':9')
      const said = heard(forwarder)
      const [, port] = await said.until(/127\.0\.0\.1:(\d+) -> 8080/)
      for (let i = 0; i < 3; i++) t.match(await ask(Number(port)), /^HTTP\/1\.[01] 200[\s\S]*page\n$/)
      const [, nowhere] = await said.until(/127\.0\.0\.1:(\d+) -> 9\b/)
      t.equal(await ask(Number(nowhere)), '')
      forwarder.kill()
      await ended(forwarder)
    })

    t.test(`${version}: run, attach on a terminal, cp both ways, debug of a node`, async (t) => {
      const name = `run-${suffix}`
      const overrides = JSON.stringify({ spec: { nodeName: NODE, terminationGracePeriodSeconds: 1 } })
      const image = [`--image=${IMAGE}`, '--image-pull-policy=IfNotPresent', `--overrides=${overrides}`]
      t.match(await k.run('run', name, ...image, '--restart=Never', '--', 'sh', '-c', FOREVER), { code: 0, stdout: /created/ })
      await n.wait(name, isReady)
      t.match((await k.run('get', 'pod', name)).stdout, /1\/1 +Running +0/)

      const once = await k.feed(
        'one\ntwo\n',
        'run',
        `once-${suffix}`,
        ...image,
        '--restart=Never',
        '-i',
        '--rm',
        '--quiet',
        '--',
        'sh',
        '-c',
        'while read line; do echo "got $line"; done',
      )
      t.match(once, { code: 0, stdout: /got one\ngot two\n/ })
      await n.gone(`once-${suffix}`)

      await n.run(`tty-${suffix}`, { containers: [shell('while read line; do echo "got $line"; done', { stdin: true, tty: true })] })
      await n.wait(`tty-${suffix}`, isReady)
      const attached = k.onTerminal('attach', '-it', `tty-${suffix}`)
      const shown = heard(attached)
      await until(async () => {
        attached.stdin?.write('hello\n')
        return /got hello/.test(shown.text()) ? true : undefined
      })
      attached.kill()
      await ended(attached)

      // kubectl cp runs tar in the container.
      await n.exec(name, name, '/bin/busybox', 'ln', '-s', 'busybox', '/bin/tar')
      const from = join(n.s.dir, `from-${suffix}`)
      mkdirSync(join(from, 'deep'), { recursive: true })
      writeFileSync(join(from, 'deep', 'file'), 'carried '.repeat(100_000))
      t.match(await k.run('cp', from, `${name}:/tmp/there`), { code: 0 })
      t.match(await n.exec(name, name, 'wc', '-c', '/tmp/there/deep/file'), /^800000 /)
      const back = join(n.s.dir, `back-${suffix}`)
      t.match(await k.run('cp', `${name}:/tmp/there`, back), { code: 0 })
      t.equal(readFileSync(join(back, 'deep', 'file'), 'utf8'), 'carried '.repeat(100_000))

      const debugged = k.start(
        'debug',
        `node/${NODE}`,
        `--image=${IMAGE}`,
        '--image-pull-policy=IfNotPresent',
        '--',
        'sh',
        '-c',
        'cat /host/proc/self/comm; ps',
      )
      const told = heard(debugged)
      t.equal(await ended(debugged), 0, told.text())
      const created = /node-debugger-\S+/.exec(told.text())?.[0]?.replace(/[.,]$/, '') ?? ''
      await n.wait(created, ({ status }) => status?.phase === 'Succeeded')
      t.match(await n.logs(created, 'debugger'), /node/, 'processes of the node are seen')
    })
  }

  t.test('attach, debug, and what is refused', async (t) => {
    const k = kubectl(n, versions[0] as string)
    await target('target')
    await n.run('reads', {
      restartPolicy: 'Never',
      containers: [shell('while read line; do echo "got $line"; done; echo over', { stdin: true, stdinOnce: true })],
    })
    await n.wait('reads', isReady)
    const attached = await k.feed('a\nb\n', 'attach', '-i', 'reads')
    t.match(attached.stdout, /got a\ngot b\n/)
    await n.wait('reads', ({ status }) => status?.phase === 'Succeeded')
    const debug = await k.run(
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
    )
    t.equal(debug.code, 0, debug.stderr)
    const pod = await n.wait('target', (seen) => statusOf(seen, 'probe')?.state?.running !== undefined)
    t.match(statusOf(pod, 'probe'), { restartCount: 0 })
    t.match(await until(async () => (await n.logs('target', 'probe')) || undefined), /trap/)
    await t.rejects(n.logs('target', 'main', '?previous=true'), {
      message: '400 previous terminated container "main" in pod "target" not found\n',
    })
    t.match((await k.run('exec', 'reads', '--', 'true')).stderr, /container not found|cannot exec|completed/)
  })

  t.test('node endpoints, and who may use them', async (t) => {
    const k = kubectl(n, versions[0] as string)
    const raw = async (rest: string): Promise<string> => (await k.run('get', '--raw', `/api/v1/nodes/node-a/proxy/${rest}`)).stdout
    t.equal(await raw('healthz'), 'ok')
    t.ok(
      (JSON.parse(await raw('pods')) as { items: { metadata: { name: string } }[] }).items.some(
        ({ metadata }) => metadata.name === 'target',
      ),
    )
    const when = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/
    const cpu = { time: when, usageNanoCores: Number, usageCoreNanoSeconds: Number }
    const memory = {
      time: when,
      usageBytes: Number,
      workingSetBytes: Number,
      rssBytes: Number,
      pageFaults: Number,
      majorPageFaults: Number,
    }
    const used = { time: when, usedBytes: Number, inodesUsed: Number }
    const disk = { ...used, availableBytes: Number, capacityBytes: Number, inodes: Number, inodesFree: Number }
    const counted = { rxBytes: Number, rxErrors: Number, txBytes: Number, txErrors: Number }
    await n.run('measured', {
      containers: [
        shell(`head -c 300000 /dev/zero > /root-file; head -c 200000 /dev/zero > /data/file; echo ready; ${FOREVER}`, {
          volumeMounts: [
            { name: 'data', mountPath: '/data' },
            { name: 'memory', mountPath: '/memory' },
          ],
        }),
      ],
      volumes: [
        { name: 'data', emptyDir: {} },
        { name: 'memory', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
      ],
    })
    const measured = await n.wait('measured', isReady)
    await until(async () => (await n.logs('measured', 'main')) === 'ready\n' || undefined)
    const summary = JSON.parse(await raw('stats/summary')) as {
      node: unknown
      pods: { podRef: { name: string }; volume: { name: string; capacityBytes: number }[]; 'ephemeral-storage': { usedBytes: number } }[]
    }
    t.match(summary.node, {
      nodeName: 'node-a',
      startTime: when,
      cpu,
      memory,
      fs: disk,
      runtime: { imageFs: disk, containerFs: disk },
      rlimit: { time: when, maxpid: Number, curproc: Number },
    })
    const pod = summary.pods.find(({ podRef }) => podRef.name === 'measured')
    t.match(pod, {
      podRef: { name: 'measured', namespace: 'default', uid: measured.metadata.uid },
      startTime: measured.status?.startTime,
      cpu,
      memory,
      network: { time: when, name: 'eth0', ...counted, interfaces: [{ name: 'eth0', ...counted }] },
      'ephemeral-storage': disk,
      process_stats: { process_count: Number },
      containers: [{ name: 'main', startTime: when, cpu, memory, rootfs: disk, logs: disk }],
    })
    const sizes = new Map(pod?.volume.map(({ name, ...of }) => [name, of]))
    t.match(sizes.get('data'), disk)
    t.match(sizes.get('memory'), { capacityBytes: 1024 * 1024 })
    t.ok((pod?.['ephemeral-storage'].usedBytes ?? 0) >= 500_000)
    await n.remove('measured', 0)
    t.match(await raw('metrics/resource'), /^container_memory_working_set_bytes\{container="main",namespace="default",pod="target"\} \d+/m)
    t.match(await raw('metrics'), /^kubelet_running_pods \d+/m)
    const labels = 'pod="target",namespace="default",container="main",id="[0-9a-f]{64}",image="[^"]*busybox[^"]*"'
    const families = await raw('metrics/cadvisor')
    for (const name of ['container_cpu_usage_seconds_total', 'container_memory_working_set_bytes', 'container_processes'])
      t.match(families, new RegExp(`^# TYPE ${name} (counter|gauge)\n[^#]*^${name}\\{${labels}\\} [\\d.]+ \\d+$`, 'm'))
    t.match(families, /^container_network_receive_bytes_total\{pod="target",namespace="default",.*interface="eth0"\} \d+/m)
    t.match(
      await raw('metrics/probes'),
      /^prober_probe_total\{probe_type="Readiness",result="successful",container="main",pod="target",namespace="default",pod_uid="[-0-9a-f]{36}"\} [1-9]/m,
    )
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
