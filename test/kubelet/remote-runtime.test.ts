// A kubelet and a runtime with gRPC between them: our own runtime, served as CRI v1. Needs root.
import { once } from 'node:events'
import { join } from 'node:path'
import t from 'tap'
import { serveCri, serveStreams } from '../../src/cri/index.js'
import { remoteRuntime } from '../../src/kubelet/index.js'
import { systemClock, systemRandom } from '../../src/lib/index.js'
import { testLog } from '../cri/scene.js'
import { FOREVER, isReady, nodeScene, options, shell, statusOf, until } from './scene.js'

t.setTimeout(120_000)

t.test('a runtime behind gRPC', options, async (t) => {
  t.setTimeout(120_000)
  const n = await nodeScene()
  t.teardown(() => n.end())
  const served = n.daemon().cri
  const streams = await serveStreams({ cri: served, clock: systemClock, random: systemRandom, log: testLog })
  const socket = join(n.s.dir, 'cri.sock')
  const grpc = await serveCri({ cri: served, urls: streams.urls, socket, log: testLog })
  const cri = await remoteRuntime(socket, systemClock)
  t.teardown(async () => {
    cri.close()
    streams.close()
    await grpc.close()
  })
  await n.run('far', { containers: [shell(`echo hello; httpd -p 127.0.0.1:8080; ${FOREVER}`)] })
  const pod = await n.wait('far', isReady)
  const id = statusOf(pod)?.containerID?.replace(/^.*:\/\//, '') ?? ''

  t.match(await cri.version(), { runtimeName: 'knarr', runtimeApiVersion: 'v1' })
  t.match((await cri.containerStatus(id)).status, { id, state: 'CONTAINER_RUNNING', startedAt: Number })
  t.match(await served.containerStatus(id), { status: { startedAt: (await cri.containerStatus(id)).status.startedAt } })
  const { stdout, exitCode } = await cri.execSync(id, ['echo', 'over the wire'], 10)
  t.equal(`${Buffer.from(stdout)}${exitCode}`, 'over the wire\n0')
  await t.rejects(cri.containerStatus('nothing'), { code: 'NOT_FOUND' })
  t.equal(await cri.imageStatus({ image: 'test.local/none:1' }), undefined)

  const session = await cri.exec({ containerId: id, cmd: ['sh', '-c', 'cat; exit 4'], stdin: true, stdout: true })
  const chunks: Buffer[] = []
  session.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk))
  session.stdin?.end('typed')
  t.strictSame(await session.exit, { exitCode: 4 })
  t.equal(Buffer.concat(chunks).toString(), 'typed')

  const [sandbox] = await cri.listPodSandbox({ labelSelector: { 'io.kubernetes.pod.name': 'far' } })
  const port = await cri.portForward(sandbox?.id ?? '', 8080)
  let answer = ''
  port.on('data', (chunk: Buffer) => {
    answer += chunk
  })
  port.write('GET / HTTP/1.0\r\n\r\n')
  await once(port, 'close')
  t.match(answer, /^HTTP\/1\.[01] \d+/)

  const abort = new AbortController()
  const seen: string[] = []
  const listening = (async () => {
    for await (const { containerEventType, containerId } of cri.getContainerEvents(abort.signal))
      if (containerId === id) seen.push(containerEventType)
  })()
  await until(async () => {
    if (seen.length === 0) await cri.stopContainer(id, 2)
    return seen.includes('CONTAINER_STOPPED_EVENT') ? true : undefined
  })
  abort.abort()
  await listening
})
