// The relays themselves, on loopback. Needs root.
import { createSocket, type Socket } from 'node:dgram'
import t from 'tap'
import { silentLog, systemClock, systemRandom } from '../../src/lib/index.js'
import { userspaceApplier } from '../../src/proxy/index.js'
import { sendFromPortZero } from '../machines/port-zero.js'

const bound = (): Promise<Socket> =>
  new Promise((resolve) => {
    const socket = createSocket('udp4')
    socket.bind(0, '127.0.0.1', () => resolve(socket))
  })

t.test('a packet from port 0 goes nowhere, and the relay goes on', { skip: process.getuid?.() === 0 ? false : 'needs root' }, async (t) => {
  const [endpoint, client, free] = await Promise.all([bound(), bound(), bound()])
  const port = free.address().port
  await new Promise<void>((resolve) => free.close(() => resolve()))
  const heard: string[] = []
  endpoint.on('message', (bytes, from) => {
    heard.push(bytes.toString())
    endpoint.send(`re: ${bytes}`, from.port, from.address)
  })
  const applier = userspaceApplier({
    addresses: { add: async () => {}, remove: async () => {}, list: () => ['127.0.0.1'], isLocal: () => true },
    clusterCidrs: [],
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  })
  t.teardown(async () => {
    await applier.remove()
    for (const socket of [endpoint, client]) socket.close()
  })
  const to = { ip: '127.0.0.1', port: endpoint.address().port, local: true }
  const what = {
    service: 'default/echo',
    kind: 'ClusterIP',
    family: 'IPv4',
    protocol: 'UDP',
    masquerade: 'never',
    whenEmpty: 'reject',
  } as const
  await applier.apply({ frontends: [{ ...what, ip: '127.0.0.1', port, endpoints: [to], local: false }], healthChecks: [] })
  sendFromPortZero(port, Buffer.from('from nowhere'))
  const answer = new Promise((resolve) => client.once('message', (bytes) => resolve(bytes.toString())))
  client.send('hello', port, '127.0.0.1')
  t.equal(await answer, 're: hello')
  t.same(heard, ['hello'])
})
