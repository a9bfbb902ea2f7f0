// The CRI as others use it: gRPC on the socket, streams by WebSocket and SPDY. Needs root.
import { once } from 'node:events'
import { existsSync, statSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { WebSocket } from 'ws'
import type { Message } from '../../src/cri/grpc/codec.js'
import { serveCri, serveStreams } from '../../src/cri/index.js'
import { systemClock, systemRandom } from '../../src/lib/index.js'
import { criClient } from './client.js'
import { IMAGE, options, scene, testLog, until } from './scene.js'

/** What a client of remotecommand v4 and v5 does with the channels. */
function channels(
  url: string,
  protocol: string,
): { socket: WebSocket; texts: string[]; closed: Promise<unknown>; send(channel: number, text: string): void } {
  const socket = new WebSocket(url.replace('http:', 'ws:'), [protocol])
  const texts: string[] = []
  socket.on('message', (data: Buffer) => {
    const channel = data[0] ?? 0
    texts[channel] = (texts[channel] ?? '') + data.subarray(1).toString()
  })
  return {
    socket,
    texts,
    closed: once(socket, 'close'),
    send: (channel, text) => socket.send(Buffer.concat([Buffer.from([channel]), Buffer.from(text)])),
  }
}

const pressureIsMeasured = (): boolean => ['', 'unified'].some((folder) => existsSync(join('/sys/fs/cgroup', folder, 'cpu.pressure')))

t.setTimeout(300_000)

t.test('grpc', options, async (t) => {
  const s = await scene()
  const daemon = await s.open()
  const streams = await serveStreams({ cri: daemon.cri, clock: systemClock, random: systemRandom, log: testLog })
  const socket = join(s.dir, 'cri.sock')
  const server = await serveCri({ cri: daemon.cri, urls: streams.urls, socket, log: testLog })
  const client = criClient(socket)
  t.teardown(async () => {
    client.close()
    await server.close()
    streams.close()
    daemon.close()
    await s.end()
  })
  const config = s.pod('wire')
  const events: Message[] = []
  const stop = client.events((event) => events.push(event))
  // The stream is open when the first event of a later call comes; nothing says so before.
  let podSandboxId = ''
  let containerId = ''

  t.test('version, status, configuration; the socket is for root', { timeout: 120_000 }, async (t) => {
    t.match(await client.call('Version', { version: 'v1' }), { runtimeName: 'knarr', runtimeApiVersion: 'v1' })
    const status = await client.call('Status', { verbose: true })
    t.match(status, {
      status: {
        conditions: [
          { type: 'RuntimeReady', status: true },
          { type: 'NetworkReady', status: true },
        ],
      },
    })
    t.match(status.runtimeHandlers, [{ name: '', features: { recursiveReadOnlyMounts: true, userNamespaces: true } }])
    t.match(await client.call('RuntimeConfig'), { linux: { cgroupDriver: 'CGROUPFS' } })
    t.equal(statSync(socket).mode & 0o777, 0o600)
  })

  t.test('a pod from beginning to end', { timeout: 120_000 }, async (t) => {
    podSandboxId = (await client.call('RunPodSandbox', { config })).podSandboxId as string
    const container = {
      metadata: { name: 'main' },
      image: { image: IMAGE },
      command: ['sleep', '1000'],
      logPath: 'main.log',
      labels: { app: 'x' },
    }
    containerId = (await client.call('CreateContainer', { podSandboxId, config: container, sandboxConfig: config })).containerId as string
    await client.call('StartContainer', { containerId })
    t.match((await client.call('ListContainers', { filter: { labelSelector: { app: 'x' } } })).containers, [
      { id: containerId, state: 'CONTAINER_RUNNING' },
    ])
    t.strictSame((await client.call('ListContainers', { filter: { labelSelector: { app: 'y' } } })).containers, [])
    t.strictSame((await client.call('ListContainers', { filter: { state: 'CONTAINER_EXITED' } })).containers, [])
    t.match((await client.call('ListPodSandbox', { filter: { id: podSandboxId.slice(0, 12) } })).items, [
      { id: podSandboxId, state: 'SANDBOX_READY' },
    ])
    t.match(await client.call('PodSandboxStatus', { podSandboxId }), {
      status: { network: { ip: /^10\./ } },
      containersStatuses: [{ id: containerId }],
    })
    const sync = await client.call('ExecSync', { containerId, cmd: ['sh', '-c', 'echo hi; exit 2'] })
    t.match({ ...sync, stdout: String(sync.stdout) }, { stdout: 'hi\n', exitCode: 2 })
  })

  t.test('images', { timeout: 120_000 }, async (t) => {
    t.match((await client.call('ListImages')).images, [{ repoTags: [IMAGE] }])
    t.match((await client.call('ImageStatus', { image: { image: IMAGE } })).image, { repoTags: [IMAGE], size: Number })
    t.equal((await client.call('ImageStatus', { image: { image: 'test.local/none:1' } })).image, undefined)
    const { imageFilesystems, containerFilesystems } = (await client.call('ImageFsInfo')) as Record<string, Message[]>
    const [filesystem] = imageFilesystems ?? []
    t.match(filesystem, { fsId: { mountpoint: join(s.dir, 'images') } })
    t.ok(Number(filesystem?.usedBytes) > statSync('/bin/busybox').size && Number(filesystem?.inodesUsed) > 10)
    t.match(containerFilesystems, [{ fsId: filesystem?.fsId }])
    await t.rejects(client.call('PullImage', { image: { image: '127.0.0.1:1/none:1' } }), /127\.0\.0\.1:1/)
    await t.rejects(client.call('RemoveImage', { image: { image: IMAGE } }), { code: 9 }, 'in use')
    await client.call('RemoveImage', { image: { image: 'test.local/none:1' } })
  })

  t.test('resources of a pod, which its caller sets, are remembered', { timeout: 120_000 }, async (t) => {
    const resources = { cpuShares: 512, memoryLimitInBytes: 2 ** 30 }
    await client.call('UpdatePodSandboxResources', { podSandboxId, resources, overhead: { cpuShares: 2 } })
    const { info } = await client.call('PodSandboxStatus', { podSandboxId, verbose: true })
    t.match(JSON.parse((info as { info: string }).info), { config: { linux: { resources, overhead: { cpuShares: 2 } } } })
    await t.rejects(client.call('UpdatePodSandboxResources', { podSandboxId, resources: { memoryLimitInBytes: -1 } }), { code: 3 })
    await t.rejects(client.call('UpdatePodSandboxResources', { podSandboxId: 'f00', resources }), { code: 5 })
  })

  t.test('errors have codes and sentences', { timeout: 120_000 }, async (t) => {
    await t.rejects(client.call('ContainerStatus', { containerId: 'f00' }), { code: 5, details: /"f00" not found/ })
    await t.rejects(client.call('RunPodSandbox', {}), { code: 3, details: /no config/ })
    await t.rejects(client.call('RunPodSandbox', { config, runtimeHandler: 'other' }), { code: 3, details: /no runtime for "other"/ })
    await t.rejects(client.call('RunPodSandbox', { config }), { code: 6 })
    await t.rejects(client.call('StartContainer', { containerId }), { code: 9 })
    await t.rejects(client.call('CheckpointContainer', { containerId, location: '/tmp/x' }), { code: 12 })
    await t.rejects(client.call('Exec', { containerId, cmd: ['true'], tty: true, stdout: true, stderr: true }), { code: 3 })
  })

  t.test('stats', { timeout: 120_000 }, async (t) => {
    const MiB = 2 ** 20
    const { status } = (await client.call('PodSandboxStatus', { podSandboxId })) as { status: { network: { ip: string } } }
    const gateway = status.network.ip.replace(/\d+$/, '1')
    const work = `dd if=/dev/zero of=/big bs=1M count=3; dd if=/dev/zero of=/dev/shm/big bs=1M count=8; ping -c2 -s 1000 ${gateway}`
    t.match(await client.call('ExecSync', { containerId, cmd: ['sh', '-c', work] }), { exitCode: 0 })
    const { stats } = (await client.call('ContainerStats', { containerId })) as { stats: Record<string, Message> }
    t.match(stats, { attributes: { id: containerId, metadata: { name: 'main' }, labels: { app: 'x' } } })
    const { cpu, memory, writableLayer: layer } = stats
    t.ok(Number(cpu?.usageCoreNanoSeconds) > 0)
    t.ok(Number(memory?.workingSetBytes) > 8 * MiB)
    t.ok(Number(layer?.usedBytes) > 3 * MiB && Number(layer?.usedBytes) < 8 * MiB && Number(layer?.inodesUsed) >= 1)
    const pods = (await client.call('ListPodSandboxStats')).stats as Message[]
    t.match(pods, [
      { linux: { network: { defaultInterface: { name: 'eth0' }, interfaces: [] }, containers: [{ attributes: { id: containerId } }] } },
    ])
    const pod = pods[0]?.linux as Record<string, Message>
    const counters = pod.network?.defaultInterface as Message | undefined
    for (const bytes of [counters?.rxBytes, counters?.txBytes]) t.ok(Number(bytes) > 2000 && Number(bytes) < MiB)
    t.equal(pod.process?.processCount, 2, 'the container and pause')
    t.ok(Number(pod.memory?.workingSetBytes) >= Number(memory?.workingSetBytes))
    const rate = await until(async () => {
      const { stats: later } = (await client.call('ContainerStats', { containerId })) as { stats: { cpu: Message } }
      return later.cpu.usageNanoCores as number | undefined
    })
    t.ok(rate < 1e9, 'the second look has a rate')
    const names = (list: unknown): readonly string[] => (list as Message[]).map(({ name }) => String(name))
    const descriptors = names((await client.call('ListMetricDescriptors')).descriptors)
    const [sandbox] = (await client.call('ListPodSandboxMetrics')).podMetrics as Message[]
    const [member] = (sandbox?.containerMetrics ?? []) as Message[]
    t.match([sandbox, member], [{ podSandboxId }, { containerId }])
    const told = new Set([...names(sandbox?.metrics ?? []), ...names(member?.metrics ?? [])])
    // A device that nothing was read from is not named, and not every kernel measures pressure or knows huge pages.
    t.strictSame(
      descriptors.filter((name) => !told.has(name) && !/_fs_(reads|writes)|blkio|pressure|hugetlb/.test(name)),
      [],
    )
  })

  t.test('pressure, where the kernel measures it', { timeout: 120_000, skip: !pressureIsMeasured() && 'no PSI in cgroups' }, async (t) => {
    const psi = { some: { total: Number }, full: { total: Number } }
    t.match(await client.call('ContainerStats', { containerId }), { stats: { cpu: { psi }, memory: { psi }, io: { psi } } })
    t.match(await client.call('PodSandboxStats', { podSandboxId }), { stats: { linux: { cpu: { psi }, memory: { psi }, io: { psi } } } })
  })

  t.test('lists as streams', { timeout: 120_000 }, async (t) => {
    t.match(await client.stream('StreamPodSandboxes'), [{ podSandboxes: [{ id: podSandboxId }] }])
    t.match(await client.stream('StreamContainers', { filter: { podSandboxId } }), [{ containers: [{ id: containerId }] }])
    t.strictSame(await client.stream('StreamContainers', { filter: { id: 'f00' } }), [], 'of nothing, nothing')
    t.match(await client.stream('StreamContainerStats'), [{ containerStats: [{ attributes: { id: containerId } }] }])
    t.match(await client.stream('StreamPodSandboxStats'), [{ podSandboxStats: [{ attributes: { id: podSandboxId } }] }])
    t.match(await client.stream('StreamPodSandboxMetrics'), [{ podSandboxMetrics: [{ podSandboxId }] }])
    t.match(await client.stream('StreamImages'), [{ images: [{ repoTags: [IMAGE] }] }])
  })

  t.test(
    'what is left out on the wire: no seccomp profile is none, in a user namespace no masks are none',
    { timeout: 120_000 },
    async (t) => {
      const specOf = async (name: string, linux: Message): Promise<{ linux: { seccomp?: unknown; maskedPaths: string[] } }> => {
        const made = await client.call('CreateContainer', {
          podSandboxId,
          sandboxConfig: config,
          config: { metadata: { name }, image: { image: IMAGE }, command: ['true'], linux },
        })
        const { info } = await client.call('ContainerStatus', { containerId: made.containerId, verbose: true })
        await client.call('RemoveContainer', { containerId: made.containerId })
        return (JSON.parse((info as { info: string }).info) as { runtimeSpec: never }).runtimeSpec
      }
      const plain = await specOf('plain', {})
      t.equal(plain.linux.seccomp, undefined)
      t.ok(plain.linux.maskedPaths.includes('/proc/kcore'))
      t.ok((await specOf('default', { securityContext: { seccomp: { profileType: 'RuntimeDefault' } } })).linux.seccomp)
      const map = [{ hostId: 300_000, containerId: 0, length: 65_536 }]
      const securityContext = {
        namespaceOptions: { usernsOptions: { mode: 'POD', uids: map, gids: map } },
        maskedPaths: [],
        readonlyPaths: [],
      }
      const users = { ...s.pod('users'), linux: { ...config.linux, securityContext } }
      const pod = (await client.call('RunPodSandbox', { config: users })).podSandboxId as string
      const made = await client.call('CreateContainer', {
        podSandboxId: pod,
        sandboxConfig: users,
        config: { metadata: { name: 'open' }, image: { image: IMAGE }, command: ['sleep', '1000'], linux: { securityContext } },
      })
      await client.call('StartContainer', made)
      const { stdout } = await client.call('ExecSync', {
        containerId: made.containerId,
        cmd: ['sh', '-c', 'wc -c < /proc/interrupts; grep -c " /proc/" /proc/mounts'],
      })
      t.match(String(stdout), /^[1-9]\d*\n0\n$/, 'nothing is mounted over what is in /proc')
      await client.call('RemovePodSandbox', { podSandboxId: pod })
    },
  )

  t.test('exec over WebSocket: input, output, exit status', { timeout: 120_000 }, async (t) => {
    const { url } = await client.call('Exec', {
      containerId,
      cmd: ['sh', '-c', 'read x; echo "got $x"; echo bad >&2; exit 6'],
      stdin: true,
      stdout: true,
      stderr: true,
    })
    const remote = channels(String(url), 'v5.channel.k8s.io')
    await once(remote.socket, 'open')
    remote.send(0, 'word\n')
    await remote.closed
    t.equal(remote.texts[1], 'got word\n')
    t.equal(remote.texts[2], 'bad\n')
    t.match(JSON.parse(remote.texts[3] ?? ''), { status: 'Failure', reason: 'NonZeroExitCode', details: { causes: [{ message: '6' }] } })
    const second = new WebSocket(String(url).replace('http:', 'ws:'), ['v5.channel.k8s.io'])
    const [error] = await once(second, 'error')
    t.match(String(error), /404/, 'an address is good once')
  })

  t.test('the size of a terminal counts also when it comes before its process', { timeout: 120_000 }, async (t) => {
    const { url } = await client.call('Exec', { containerId, cmd: ['sh', '-c', 'read x; stty size'], stdin: true, stdout: true, tty: true })
    const remote = channels(String(url), 'v5.channel.k8s.io')
    await once(remote.socket, 'open')
    remote.send(4, '{"Width":111,"Height":33}')
    remote.send(0, 'go\n')
    await remote.closed
    t.match(remote.texts[1], /\b33 111\b/)
  })

  t.test('attach sees output; a stranger to the address space gets 404, a plain request 400', { timeout: 120_000 }, async (t) => {
    const { url } = await client.call('Attach', { containerId, stdout: true })
    const remote = channels(String(url), 'v4.channel.k8s.io')
    await once(remote.socket, 'open')
    await client.call('ExecSync', { containerId, cmd: ['sh', '-c', 'echo to-the-log > /proc/2/fd/1 || echo to-the-log > /proc/1/fd/1'] })
    await until(async () => (remote.texts[1] ?? '').includes('to-the-log') || undefined)
    remote.socket.close()
    await remote.closed
    const { port } = new URL(String(url))
    const plain = httpRequest({ port, path: '/exec/x' }).end()
    const [response] = (await once(plain, 'response')) as [{ statusCode: number; resume(): void }]
    response.resume()
    t.equal(response.statusCode, 400)
  })

  t.test('SPDY is spoken too: the upgrade is answered', { timeout: 120_000 }, async (t) => {
    const { url } = await client.call('Exec', { containerId, cmd: ['true'], stdout: true })
    const { port, pathname } = new URL(String(url))
    const upgrade = httpRequest({
      port,
      path: pathname,
      method: 'POST',
      headers: { connection: 'Upgrade', upgrade: 'SPDY/3.1', 'x-stream-protocol-version': 'v4.channel.k8s.io' },
    }).end()
    const [response, stream] = (await once(upgrade, 'upgrade')) as [{ statusCode: number; headers: Record<string, string> }, Socket]
    t.equal(response.statusCode, 101)
    t.equal(response.headers['x-stream-protocol-version'], 'v4.channel.k8s.io')
    stream.destroy()
  })

  t.test('port-forward as kubectl has it: SPDY within WebSocket', { timeout: 120_000 }, async (t) => {
    const { url } = await client.call('PortForward', { podSandboxId, port: [7000] })
    const { port, pathname } = new URL(String(url))
    const upgrade = httpRequest({
      port,
      path: pathname,
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': Buffer.alloc(16, 1).toString('base64'),
        'sec-websocket-protocol': 'SPDY/3.1+portforward.k8s.io',
      },
    }).end()
    const [response, stream] = (await once(upgrade, 'upgrade')) as [{ statusCode: number; headers: Record<string, string> }, Socket]
    t.equal(response.statusCode, 101)
    t.equal(response.headers['sec-websocket-protocol'], 'SPDY/3.1+portforward.k8s.io')
    stream.destroy()
  })

  t.test('port-forward over WebSocket channels', { timeout: 120_000 }, async (t) => {
    const made = await client.call('CreateContainer', {
      podSandboxId,
      sandboxConfig: config,
      config: { metadata: { name: 'echo' }, image: { image: IMAGE }, command: ['nc', '-ll', '-p', '7000', '-e', 'cat'] },
    })
    await client.call('StartContainer', { containerId: made.containerId })
    await until(() =>
      daemon.cri.portForward(podSandboxId, 7000).then(
        (probe) => probe.destroy(),
        () => undefined,
      ),
    )
    const { url } = await client.call('PortForward', { podSandboxId, port: [7000] })
    const remote = channels(String(url), 'v4.channel.k8s.io')
    await once(remote.socket, 'open')
    remote.send(0, 'through')
    await until(async () => (remote.texts[0] ?? '').includes('through') || undefined)
    t.equal(remote.texts[0]?.slice(2), 'through', 'behind the two bytes that name the port')
    remote.socket.close()
    await remote.closed
  })

  t.test('removal, and the events of it all', { timeout: 120_000 }, async (t) => {
    await client.call('StopContainer', { containerId, timeout: 0 })
    await client.call('RemovePodSandbox', { podSandboxId })
    await client.call('RemovePodSandbox', { podSandboxId })
    const kinds = (id: string): unknown[] =>
      events.filter((event) => event.containerId === id).map(({ containerEventType }) => containerEventType)
    await until(async () => kinds(podSandboxId).includes('CONTAINER_DELETED_EVENT') || undefined)
    t.strictSame(kinds(containerId), [
      'CONTAINER_CREATED_EVENT',
      'CONTAINER_STARTED_EVENT',
      'CONTAINER_STOPPED_EVENT',
      'CONTAINER_DELETED_EVENT',
    ])
    t.match(
      events.find(({ containerEventType, containerId: id }) => id === containerId && containerEventType === 'CONTAINER_STOPPED_EVENT'),
      {
        podSandboxStatus: { id: podSandboxId },
      },
    )
    stop()
  })
})
