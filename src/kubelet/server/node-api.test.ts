// Logs, who may ask for what, probes' thresholds, the Node's status, static pods: the rules around the daemon.
import { promises as fs } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { NodeStatus } from '../../api/index.js'
import { nodeAddresses, nodeFacts } from '../node/facts.js'
import { allocatableOf, conditionsOf, type NodeInput } from '../node/status.js'
import { defaultSettings } from '../options.js'
import { decodeStatus, encodeRequest } from '../probe/grpc.js'
import { afterAnswer, initialState } from '../probe/machine.js'
import { mirrorOf, staticPod } from '../source/static-pods.js'
import { attributesOf } from './auth.js'
import { type LogOptions, readLog } from './log-reader.js'
import { family } from './metrics.js'

const everything: LogOptions = {
  follow: false,
  tailLines: undefined,
  since: undefined,
  timestamps: false,
  limitBytes: undefined,
  stream: 'All',
}

t.test('logs', async (t) => {
  const dir = await fs.mkdtemp(join(tmpdir(), 'knarr-kubelet-'))
  t.teardown(() => fs.rm(dir, { recursive: true }))
  const path = join(dir, '0.log')
  const line = (second: number, stream: string, tag: string, text: string): string =>
    `2026-01-01T00:00:0${second}.5Z ${stream} ${tag} ${text}\n`
  await fs.writeFile(
    path,
    line(1, 'stdout', 'F', 'one') + line(2, 'stderr', 'F', 'two') + line(3, 'stdout', 'P', 'thr') + line(3, 'stdout', 'F', 'ee'),
  )
  const read = async (more: Partial<LogOptions>, source = {}): Promise<string> => {
    const parts: Uint8Array[] = []
    const abort = new AbortController()
    for await (const part of readLog(
      { path, alive: () => false, onChange: () => () => {}, signal: abort.signal, ...source },
      { ...everything, ...more },
    ))
      parts.push(part)
    return Buffer.concat(parts).toString()
  }
  t.equal(await read({}), 'one\ntwo\nthree\n')
  t.equal(await read({ stream: 'Stderr' }), 'two\n')
  t.equal(await read({ tailLines: 1 }), 'ee\n')
  t.equal(await read({ tailLines: 0 }), '')
  t.equal(await read({ tailLines: 100 }), 'one\ntwo\nthree\n')
  t.equal(await read({ since: Date.parse('2026-01-01T00:00:02Z'), limitBytes: 5 }), 'two\nt')
  t.equal(await read({ timestamps: true, tailLines: 1 }), '2026-01-01T00:00:03.5Z ee\n')
  let alive = true
  let tell = (): void => {}
  const onChange = (listener: () => void): (() => void) => {
    tell = listener
    return () => {}
  }
  const source = { path, alive: () => alive, onChange, signal: new AbortController().signal }
  const following = readLog(source, { ...everything, follow: true })
  const seen: Uint8Array[] = []
  const first = await following.next()
  if (!first.done) seen.push(first.value)
  await fs.rename(path, `${path}.old`)
  await fs.appendFile(`${path}.old`, line(4, 'stdout', 'F', 'late'))
  await fs.writeFile(path, line(5, 'stdout', 'F', 'after rotation'))
  tell()
  // The reader has not come so far, and what it will want is gone.
  await fs.rename(path, `${path}.older`)
  await fs.writeFile(path, line(6, 'stdout', 'F', 'after another'))
  tell()
  await fs.rm(`${path}.older`)
  alive = false
  tell()
  for await (const part of following) seen.push(part)
  t.equal(Buffer.concat(seen).toString(), 'one\ntwo\nthree\nlate\nafter rotation\nafter another\n')
})

t.test('what a request is judged by', async (t) => {
  const judged = (method: string, path: string): string => {
    const { verb, subresource } = attributesOf(method, path, 'n') ?? {}
    return `${verb} ${subresource}`
  }
  t.strictSame(
    [
      ['GET', '/pods'],
      ['GET', '/metrics/resource'],
      ['GET', '/stats/summary'],
      ['GET', '/containerLogs/a/b/c'],
      ['GET', '/exec/a/b/c'],
      ['POST', '/run/a/b/c'],
    ].map(([method = '', path = '']) => judged(method, path)),
    ['get pods', 'get metrics', 'get stats', 'get proxy', 'create proxy', 'create proxy'],
  )
})

t.test('probes: thresholds in a row', async (t) => {
  const probe = { failureThreshold: 2, successThreshold: 2 }
  let state = initialState('readiness')
  t.equal(state.verdict, 'failure')
  const answer = (outcome: 'success' | 'failure'): string => {
    state = afterAnswer(state, probe, outcome)
    return state.verdict
  }
  t.strictSame(
    ['success', 'success', 'failure', 'success', 'failure', 'failure'].map((outcome) => answer(outcome as 'success')),
    ['failure', 'success', 'success', 'success', 'success', 'failure'],
  )
  t.equal(initialState('liveness').verdict, 'success')
  t.equal(initialState('startup').verdict, 'unknown')
  t.strictSame([...encodeRequest('ab')], [0, 0, 0, 0, 4, 0x0a, 2, 97, 98])
  t.strictSame([...encodeRequest('')], [0, 0, 0, 0, 0])
  t.equal(decodeStatus(Buffer.from([0, 0, 0, 0, 2, 8, 1])), 1)
})

t.test('the node: what it offers, and why it is not Ready', async (t) => {
  const facts = { ...nodeFacts(), cpus: 4, memoryBytes: 4 * 2 ** 30 }
  const settings = { ...defaultSettings, kubeReserved: { cpu: '500m', memory: '1Gi' } }
  t.match(allocatableOf({ facts, settings, diskBytes: 0 }), {
    cpu: '3500m',
    memory: `${(3 * 2 ** 30 - 100 * 2 ** 20) / 1024}Ki`,
    pods: '110',
  })
  const condition = (status: boolean) => ({
    type: 'NetworkReady',
    status,
    reason: 'NetworkPluginNotReady',
    message: 'cni plugin not initialized',
  })
  const input = (network: boolean, known?: NodeStatus): NodeInput => ({
    name: 'n',
    version: 'v1',
    facts,
    settings,
    addresses: [],
    port: 1,
    runtime: undefined,
    runtimeStatus: {
      status: { conditions: [condition(network)] },
      info: {},
      runtimeHandlers: [],
      features: { supplementalGroupsPolicy: true, userNamespacesHostNetwork: false },
    },
    runtimeError: undefined,
    images: [],
    diskBytes: 0,
    diskAvailable: 0,
    memoryAvailable: 2 ** 30,
    processes: 1,
    now: '2026-01-01T00:00:09Z',
    known,
    shuttingDown: false,
  })
  const conditions = conditionsOf(input(false))
  const ready = conditions.find(({ type }) => type === 'Ready')
  t.match(ready, {
    status: 'False',
    reason: 'KubeletNotReady',
    message: 'container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:cni plugin not initialized',
  })
  const later = conditionsOf({ ...input(false, { conditions }), now: '2026-01-01T00:00:19Z' }).find(({ type }) => type === 'Ready')
  t.match(later, { lastHeartbeatTime: '2026-01-01T00:00:19Z', lastTransitionTime: '2026-01-01T00:00:09Z' })
  const address = { address: '192.0.2.7', family: 'IPv4' as const, internal: false, netmask: '', mac: '', cidr: null }
  const routes = 'Iface\tDestination\tGateway\tFlags\neth1\t00000000\t0100000A\t0003\n'
  t.strictSame(nodeAddresses(routes, { eth0: [{ ...address, address: '192.0.2.6' }], eth1: [address] }), ['192.0.2.7'])
})

t.test('static pods', async (t) => {
  const text = 'apiVersion: v1\nkind: Pod\nmetadata: {name: Web, namespace: kube-system}\nspec: {containers: [{name: a, image: i}]}'
  const pod = staticPod(text, 'n1')
  t.match(pod, { metadata: { name: 'web-n1', uid: /^[0-9a-f]{32}$/ }, spec: { nodeName: 'n1', restartPolicy: 'Always' } })
  t.not(staticPod(`${text} `, 'n1').metadata.uid, pod.metadata.uid)
  t.match(mirrorOf(pod, 'node-uid').metadata, {
    uid: undefined,
    annotations: { 'kubernetes.io/config.mirror': pod.metadata.uid },
    ownerReferences: [{ uid: 'node-uid' }],
  })
  for (const bad of [
    '',
    'kind: Service',
    'kind: Pod\nmetadata: {name: x}\nspec: {}',
    'kind: Pod\nspec: {containers: [{name: a, image: i}]}',
  ])
    t.throws(() => staticPod(bad, 'n'), Error)
})

t.test('metrics are text that Prometheus reads', async (t) => {
  t.equal(
    family('x_total', 'counter', 'help', [{ labels: { a: 'q"\n' }, value: 1, at: 5.5 }]),
    '# HELP x_total help\n# TYPE x_total counter\nx_total{a="q\\"\\n"} 1 5\n',
  )
})
