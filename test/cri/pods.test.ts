// Pods on the real kernel: sandboxes, containers, logs, exits. Needs root.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { contents, exited, leftovers, options, run, scene, until } from './scene.js'

const hostNetwork = { securityContext: { namespaceOptions: { network: 'NODE' as const } } }

t.setTimeout(300_000)

t.test('pods', options, async (t) => {
  const s = await scene()
  const { cri, close } = await s.open()
  t.teardown(async () => {
    close()
    await s.end()
  })

  t.test('a pod of the host network: runs, logs, ends, is removed', { timeout: 120_000 }, async (t) => {
    const config = s.pod('host', { linux: hostNetwork })
    const { podSandboxId } = await cri.runPodSandbox({ config })
    const id = await run(cri, podSandboxId, config, 'echo out; echo err >&2; readlink /proc/self/ns/net; printf tail; exit 3')
    const status = await exited(cri, id)
    t.match(status, { exitCode: 3, reason: 'Error', imageId: /^sha256:/ })
    t.ok(status.startedAt > 0 && status.finishedAt >= status.startedAt)
    // The network that this thread is in is the machine's, as far as the test goes.
    t.strictSame([...contents(s.dir, 'host', 'main/0.log')].sort(), ['err', readlinkSync('/proc/thread-self/ns/net'), 'out', 'tail'])
    t.equal((await cri.podSandboxStatus(podSandboxId)).status.network.ip, '')
    await cri.removePodSandbox(podSandboxId)
    t.strictSame(await cri.listPodSandbox(), [])
    t.strictSame(await cri.listContainers(), [])
    await cri.removePodSandbox(podSandboxId)
  })

  t.test('a pod of its own network: an address, its own name, files that say so', { timeout: 120_000 }, async (t) => {
    const config = s.pod('web', { dnsConfig: { servers: ['10.96.0.10'], searches: ['test.svc'], options: ['ndots:5'] } })
    const { podSandboxId } = await cri.runPodSandbox({ config })
    const { status } = await cri.podSandboxStatus(podSandboxId)
    t.match(status.network.ip, /^10\.213\./)
    t.equal(status.state, 'SANDBOX_READY')
    const id = await run(
      cri,
      podSandboxId,
      config,
      'hostname; cat /etc/hostname; grep web /etc/hosts; cat /etc/resolv.conf; ip -4 addr show eth0 | grep inet',
    )
    t.match(await exited(cri, id), { exitCode: 0, reason: 'Completed' })
    const text = contents(s.dir, 'web', 'main/0.log').join('\n')
    t.match(text, /^web\nweb\n10\.213\.\d+\.\d+\tweb\nsearch test\.svc\nnameserver 10\.96\.0\.10\noptions ndots:5\n/)
    t.ok(text.includes(`inet ${status.network.ip}/24`))
    await cri.removePodSandbox(podSandboxId)
    t.strictSame(readdirSync(join(s.dir, 'run', 'netns')), [], 'no network namespace stays')
    t.strictSame(readdirSync(join(s.dir, 'run', 'sandboxes')), [], 'no folder stays')
  })

  t.test('a pod with addresses of both families', { timeout: 120_000 }, async (t) => {
    const path = join(s.dir, 'net.d', '10-test.conflist')
    const before = readFileSync(path, 'utf8')
    t.teardown(() => writeFileSync(path, before))
    writeFileSync(path, before.replace(/"ranges":\[/, '"ranges":[[{"subnet":"fd13::/64"}],'))
    const config = s.pod('both')
    const { podSandboxId } = await cri.runPodSandbox({ config })
    const { ip, additionalIps } = (await cri.podSandboxStatus(podSandboxId)).status.network
    t.match([ip, additionalIps], [/^fd13::/, [{ ip: /^10\.213\./ }]], 'in the order of the network')
    const id = await run(cri, podSandboxId, config, 'grep both /etc/hosts; ip addr show eth0')
    await exited(cri, id)
    const [first, second, ...shown] = contents(s.dir, 'both', 'main/0.log')
    t.strictSame([first, second], [`${ip}\tboth`, `${additionalIps[0]?.ip}\tboth`])
    t.ok([ip, additionalIps[0]?.ip].every((one) => shown.join().includes(` ${one}/`)))
    await cri.removePodSandbox(podSandboxId)
    t.strictSame(await leftovers(s), [])
  })

  t.test('plugins of others are told bandwidth and ports of the pod', { skip: !existsSync('/usr/lib/cni/bandwidth') }, async (t) => {
    const path = join(s.dir, 'net.d', '10-test.conflist')
    const before = readFileSync(path, 'utf8')
    t.teardown(() => writeFileSync(path, before))
    const network = JSON.parse(before) as { plugins: object[] }
    const more = [
      { type: 'bandwidth', capabilities: { bandwidth: true } },
      { type: 'portmap', capabilities: { portMappings: true } },
    ]
    writeFileSync(path, JSON.stringify({ ...network, cniVersion: '1.0.0', plugins: [...network.plugins, ...more] }))
    const config = s.pod('limited', {
      annotations: { 'kubernetes.io/ingress-bandwidth': '2M', 'kubernetes.io/egress-bandwidth': '1M' },
      portMappings: [{ hostPort: 7080, containerPort: 80, protocol: 'TCP' }],
    })
    const { podSandboxId } = await cri.runPodSandbox({ config })
    const shaped = execFileSync('tc', ['qdisc', 'show'], { encoding: 'utf8' })
    t.match(shaped, /qdisc tbf .* dev veth\w+ .*rate 2Mbit/, 'what comes in')
    t.match(shaped, /qdisc tbf .* dev bwp\w+ .*rate 1Mbit/, 'what goes out')
    await run(cri, podSandboxId, config, 'while :; do echo hello | nc -l -p 80; done')
    const { ip } = (await cri.podSandboxStatus(podSandboxId)).status.network
    const machine = ip.replace(/\d+$/, '1')
    const said = await until(async () => {
      const { stdout } = spawnSync('busybox', ['nc', '-w', '5', machine, '7080'], { encoding: 'utf8', input: '' })
      return stdout || undefined
    })
    t.equal(said, 'hello\n', 'the port of the machine leads into the pod')
    await cri.removePodSandbox(podSandboxId)
    t.notMatch(execFileSync('tc', ['qdisc', 'show'], { encoding: 'utf8' }), /tbf/)
    t.strictSame(await leftovers(s), [])
  })

  t.test('containers of a pod share network, IPC, name and processes', { timeout: 120_000 }, async (t) => {
    const config = s.pod('shared')
    const { podSandboxId } = await cri.runPodSandbox({ config })
    const first = await run(cri, podSandboxId, config, 'echo shared > /dev/shm/word; exec sleep 1000', { metadata: { name: 'first' } })
    await until(async () => existsSync(join(s.dir, 'run', 'sandboxes', podSandboxId, 'shm', 'word')) || undefined)
    const namespaces = 'for n in net ipc uts pid mnt; do readlink /proc/self/ns/$n; done'
    const second = await run(cri, podSandboxId, config, `cat /dev/shm/word; ps -o args; ${namespaces}; exit`, {
      metadata: { name: 'second' },
    })
    await exited(cri, second)
    const lines = contents(s.dir, 'shared', 'second/0.log')
    t.equal(lines[0], 'shared')
    t.ok(lines.includes('/pause') && lines.includes('sleep 1000'), 'sees the processes of the pod')
    const { stdout } = await cri.execSync(first, ['sh', '-c', `${namespaces}; exit`])
    const [mine, others] = [lines.slice(-5), Buffer.from(stdout).toString().trim().split('\n')]
    t.strictSame(mine.slice(0, 4), others.slice(0, 4))
    t.not(mine[4], others[4], 'but not their files')
    for (const own of mine) t.not(own, readlinkSync(`/proc/thread-self/ns/${own.split(':')[0]}`))
    const { pid: pause } = JSON.parse((await cri.podSandboxStatus(podSandboxId, { verbose: true })).info.info ?? '{}') as { pid: number }
    const pages = Number(/^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pause}/status`, 'utf8'))?.[1]) / 4
    t.ok(pages < 10, `the pause process has ${pages} pages of its own`)
    const pid = JSON.parse((await cri.containerStatus(first, { verbose: true })).info.info ?? '{}').pid as number
    t.ok(pid > 0 && readFileSync(`/proc/${pid}/comm`, 'utf8') !== '')
    await cri.stopPodSandbox(podSandboxId)
    t.match(await exited(cri, first), { exitCode: 137, reason: 'Error' })
    t.equal((await cri.podSandboxStatus(podSandboxId)).status.state, 'SANDBOX_NOTREADY')
    await cri.removePodSandbox(podSandboxId)
  })
})
