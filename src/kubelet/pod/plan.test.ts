import t from 'tap'
import type { Container, Pod, PodSpec } from '../../api/index.js'
import { mainContainersOf } from './containers.js'
import { nothingObserved, type ObservedContainer, type ObservedPod, withContainer, withSandbox } from './observed.js'
import { mayRestart, type PlanInput, type ProbeFindings, planPod, stopOrder } from './plan.js'
import { phaseOf, podStatus } from './status.js'

const pod = (spec: Partial<PodSpec>, metadata: Partial<Pod['metadata']> = {}): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p', namespace: 'default', uid: 'u', ...metadata },
  spec: { containers: [{ name: 'main', image: 'i' }], ...spec },
})

const calm: ProbeFindings = { started: () => true, readinessHolds: () => true, livenessFailed: () => false, startupFailed: () => false }

const container = (name: string, more: Partial<ObservedContainer> = {}): ObservedContainer => ({
  id: `${name}-${more.attempt ?? 0}`,
  name,
  sandboxId: 's0',
  attempt: 0,
  phase: 'running',
  image: 'i',
  imageRef: 'sha256:1',
  imageId: 'sha256:1',
  createdAt: 1,
  startedAt: 2,
  finishedAt: 0,
  exitCode: 0,
  reason: '',
  message: '',
  specHash: 'h',
  logPath: '',
  ...more,
})

const ended = (name: string, exitCode: number, more: Partial<ObservedContainer> = {}): ObservedContainer =>
  container(name, { phase: 'exited', exitCode, finishedAt: 3, ...more })

const sandboxed = withSandbox(nothingObserved, { id: 's0', attempt: 0, ready: true, createdAt: 1, ips: ['10.0.0.2'] })
const seeing = (...containers: readonly ObservedContainer[]): ObservedPod => containers.reduce(withContainer, sandboxed)

const plan = (of: Pod, observed: ObservedPod, more: Partial<PlanInput> = {}) =>
  planPod({ pod: of, observed, probes: calm, restartsKnown: () => undefined, hashOf: () => 'h', ...more })

const starts = (of: Pod, observed: ObservedPod, more: Partial<PlanInput> = {}): readonly string[] =>
  plan(of, observed, more).start.map(({ container: { spec }, attempt }) => `${spec.name}/${attempt}`)

t.test('a new pod gets a sandbox first, then its containers', async (t) => {
  t.match(plan(pod({}), nothingObserved), { finished: false, sandbox: { attempt: 0 }, start: [] })
  t.strictSame(starts(pod({}), sandboxed), ['main/0'])
  t.match(plan(pod({}), seeing(container('main'))), { finished: false, start: [], stop: [] })
})

t.test('restart policies', async (t) => {
  const cases = [
    ['Always', 0, true],
    ['Always', 1, true],
    ['OnFailure', 0, false],
    ['OnFailure', 1, true],
    ['Never', 0, false],
    ['Never', 1, false],
  ] as const
  for (const [restartPolicy, code, again] of cases) {
    const of = pod({ restartPolicy })
    t.strictSame(starts(of, seeing(ended('main', code))), again ? ['main/1'] : [], `${restartPolicy} after ${code}`)
    t.equal(plan(of, seeing(ended('main', code))).finished, !again)
  }
  const rules = {
    name: 'main',
    image: 'i',
    restartPolicy: 'Never',
    restartPolicyRules: [{ action: 'Restart', exitCodes: { operator: 'In', values: [42] } }],
  }
  const [main] = mainContainersOf(pod({ containers: [rules] }))
  if (!main) throw new Error('no container')
  t.equal(mayRestart(pod({}), main, ended('main', 42)), true)
  t.equal(mayRestart(pod({}), main, ended('main', 43)), false)
})

t.test('init containers: one after another; a failure ends a pod that never restarts', async (t) => {
  const initContainers: Container[] = [
    { name: 'a', image: 'i' },
    { name: 'b', image: 'i' },
  ]
  const of = pod({ initContainers })
  t.strictSame(starts(of, sandboxed), ['a/0'])
  t.strictSame(starts(of, seeing(container('a'))), [])
  t.strictSame(starts(of, seeing(ended('a', 0))), ['b/0'])
  t.strictSame(starts(of, seeing(ended('a', 1))), ['a/1'])
  t.strictSame(starts(of, seeing(ended('a', 0), ended('b', 0))), ['main/0'])
  t.strictSame(starts(of, seeing(ended('main', 1))), ['main/1'], 'records of init containers may be gone')
  t.equal(plan(pod({ initContainers, restartPolicy: 'Never' }), seeing(ended('a', 1))).finished, true)
})

t.test('sidecars: hold back what follows until they have started, and are kept running', async (t) => {
  const initContainers: Container[] = [{ name: 'side', image: 'i', restartPolicy: 'Always' }]
  const of = pod({ initContainers, restartPolicy: 'OnFailure' })
  t.strictSame(starts(of, seeing(container('side')), { probes: { ...calm, started: () => false } }), [])
  t.strictSame(starts(of, seeing(container('side'))), ['main/0'])
  t.strictSame(starts(of, seeing(ended('side', 0), container('main'))), ['side/1'])
  t.equal(plan(of, seeing(container('side'), ended('main', 0))).finished, true, 'a sidecar keeps no pod alive')
  const order = stopOrder(of, [container('main'), container('side')])
  t.strictSame(
    order.map(({ target, waitsFor }) => [target.name, waitsFor]),
    [
      ['main', []],
      ['side', ['main']],
    ],
  )
})

t.test('failed probes and changed specs stop a container, with the words of the event', async (t) => {
  const failing = { ...calm, livenessFailed: () => true }
  t.match(plan(pod({}), seeing(container('main')), { probes: failing }).stop, [
    { cause: 'livenessProbe', message: 'Container main failed liveness probe, will be restarted' },
  ])
  t.match(plan(pod({}), seeing(container('main')), { hashOf: () => 'other' }).stop, [
    { message: 'Container main definition changed, will be restarted' },
  ])
})

t.test('a lost sandbox: everything again, unless the pod never restarts', async (t) => {
  const lost = withSandbox(seeing(ended('main', 137)), { id: 's0', attempt: 0, ready: false, createdAt: 1, ips: [] })
  t.match(plan(pod({}), lost), { sandbox: { attempt: 1 } })
  t.equal(plan(pod({ restartPolicy: 'Never' }), lost).finished, true)
})

t.test('ephemeral containers start once, even while the pod initialises', async (t) => {
  const of = pod({ initContainers: [{ name: 'a', image: 'i' }], ephemeralContainers: [{ name: 'debug', image: 'i' }] })
  t.strictSame(starts(of, sandboxed), ['debug/0', 'a/0'])
  t.strictSame(starts(of, seeing(container('a'), ended('debug', 1))), [])
})

t.test('news about a container never takes it back', async (t) => {
  const exited = seeing(ended('main', 1))
  t.equal(withContainer(exited, container('main')), exited)
})

t.test('phases', async (t) => {
  const running = { name: 'main', image: 'i', imageID: '', ready: true, restartCount: 0, state: { running: {} } }
  const done = (exitCode: number) => ({ ...running, state: { terminated: { exitCode } } })
  t.equal(phaseOf(pod({}), [], [], false), 'Pending')
  t.equal(phaseOf(pod({}), [], [running], false), 'Running')
  t.equal(phaseOf(pod({}), [], [done(0)], false), 'Running')
  t.equal(phaseOf(pod({ restartPolicy: 'Never' }), [], [done(0)], false), 'Succeeded')
  t.equal(phaseOf(pod({ restartPolicy: 'OnFailure' }), [], [done(1)], false), 'Running')
  t.equal(phaseOf(pod({}), [], [done(0)], true), 'Succeeded')
  t.equal(phaseOf(pod({}), [], [done(1)], true), 'Failed')
})

t.test('a status: times move only with the status, gates hold Ready back', async (t) => {
  const of = pod({ readinessGates: [{ conditionType: 'example.com/up' }] }, { generation: 4 })
  const input = {
    pod: of,
    observed: seeing(container('main')),
    probes: calm,
    waiting: new Map(),
    terminal: false,
    hostIps: ['192.0.2.9'],
    runtime: 'knarr',
    recursiveReadOnly: true,
    startTime: '2026-01-01T00:00:00Z',
  }
  const first = podStatus({ ...input, known: undefined, now: '2026-01-01T00:00:01Z' })
  t.match(first, { phase: 'Running', podIP: '10.0.0.2', hostIP: '192.0.2.9', observedGeneration: 4, startTime: '2026-01-01T00:00:00Z' })
  t.match(
    first.conditions?.find(({ type }) => type === 'Ready'),
    {
      status: 'False',
      reason: 'ReadinessGatesNotReady',
      message: 'corresponding condition of pod readiness gate "example.com/up" does not exist.',
    },
  )
  const open = { ...of, status: { conditions: [{ type: 'example.com/up', status: 'True' }] } }
  const second = podStatus({ ...input, pod: open, known: first, now: '2026-01-01T00:01:00Z' })
  const time = (type: string): string | undefined => second.conditions?.find((each) => each.type === type)?.lastTransitionTime
  t.equal(time('Ready'), '2026-01-01T00:01:00Z')
  t.equal(time('ContainersReady'), '2026-01-01T00:00:01Z')
})

const input = (of: Pod, observed: ObservedPod, more: object = {}): Parameters<typeof podStatus>[0] => ({
  pod: of,
  observed,
  probes: calm,
  waiting: new Map(),
  known: undefined,
  terminal: false,
  hostIps: ['192.0.2.1'],
  runtime: 'knarr',
  recursiveReadOnly: true,
  now: '2026-01-01T00:00:00Z',
  startTime: '2026-01-01T00:00:00Z',
  ...more,
})

t.test('a pod that was turned away shows its reason and nothing else', async (t) => {
  const verdict = { reason: 'OutOfpods', message: 'Pod was rejected: no place' }
  const status = podStatus(input(pod({}, { generation: 3 }), nothingObserved, { refused: true, verdict }))
  t.strictSame(status, {
    observedGeneration: 3,
    phase: 'Failed',
    ...verdict,
    startTime: '2026-01-01T00:00:00Z',
    qosClass: 'BestEffort',
  })
  t.strictSame(podStatus(input(pod({}), nothingObserved, { refused: true, known: status })).reason, 'OutOfpods', 'nor later')
})

t.test('a pod that is over has no waiting containers, unless it never came to them', async (t) => {
  const lost = { terminated: { exitCode: 137, reason: 'ContainerStatusUnknown' } }
  const over = (of: Pod, observed: ObservedPod) => podStatus(input(of, observed, { terminal: true }))
  t.match(over(pod({}), nothingObserved), { phase: 'Failed', containerStatuses: [{ state: lost }] })
  const withInit = pod({ restartPolicy: 'Never', initContainers: [{ name: 'init', image: 'i' }] })
  t.match(over(withInit, seeing(ended('init', 1))), {
    phase: 'Failed',
    containerStatuses: [{ state: { waiting: { reason: 'PodInitializing' } } }],
  })
})

t.test('last words of many containers fit in one pod', async (t) => {
  const names = ['a', 'b', 'c', 'd']
  const many = pod({ restartPolicy: 'Never', containers: names.map((name) => ({ name, image: 'i' })) })
  const observed = seeing(...names.map((name) => ended(name, 1, { message: 'x'.repeat(4096) })))
  const lengths = podStatus(input(many, observed)).containerStatuses?.map(({ state }) => state?.terminated?.message?.length)
  t.strictSame(lengths, [3072, 3072, 3072, 3072])
})
