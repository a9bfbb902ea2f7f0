import t from 'tap'
import type { EndpointSlice, Pod, Service } from '../../../api/index.js'
import { planSlices } from './endpoint-slices.js'
import { planSubsets } from './endpoints.js'

const pod = (index: number, more: { ready?: boolean; ips?: string[]; port?: number; deleting?: boolean; phase?: string } = {}): Pod =>
  ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `p${String(index).padStart(5, '0')}`,
      namespace: 'shop',
      uid: `p${index}`,
      ...(more.deleting ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
    },
    spec: {
      nodeName: 'n1',
      hostname: `host-${index}`,
      subdomain: 'web',
      containers: [{ name: 'main', ports: more.port ? [{ name: 'http', containerPort: more.port }] : [] }],
    },
    status: {
      phase: more.phase ?? 'Running',
      podIPs: (more.ips ?? [`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`]).map((ip) => ({ ip })),
      conditions: [{ type: 'Ready', status: more.ready === false ? 'False' : 'True' }],
    },
  }) as Pod
const service = (spec: Partial<NonNullable<Service['spec']>> = {}): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web', namespace: 'shop', uid: 'web' },
  spec: { selector: { app: 'web' }, clusterIP: '10.96.0.7', ports: [{ port: 80 }], ...spec },
})
const many = (count: number, more = {}) => Array.from({ length: count }, (_, index) => pod(index, more))
const slicesOf = (of: Service, pods: readonly Pod[], slices: readonly EndpointSlice[] = []) =>
  planSlices({ service: of, pods, slices, zoneOf: () => undefined })

t.test('more than a thousand addresses: Endpoints is cut off and says so, slices have them all', async (t) => {
  const pods = [...many(600, { ready: false }), ...many(1500).slice(600)]
  const { subsets, truncated } = planSubsets(service(), pods)
  t.ok(truncated)
  t.equal(subsets[0]?.addresses?.length, 900, 'the ready ones stay')
  t.equal(subsets[0]?.notReadyAddresses?.length, 100)
  t.notOk(planSubsets(service(), pods.slice(0, 1000)).truncated)
  const { create } = slicesOf(service(), pods)
  t.equal(create.length, 15)
  t.ok(create.every(({ endpoints }) => endpoints?.length === 100))
})

t.test('a change touches as few slices as it can', async (t) => {
  const pods = many(250)
  const slices = slicesOf(service(), pods).create.map((slice, index) => ({ ...slice, metadata: { ...slice.metadata, name: `s${index}` } }))
  t.same(slicesOf(service(), pods, slices), { create: [], update: [], remove: [], topology: new Map() })
  const one = slicesOf(service(), [...pods, pod(900)], slices)
  t.same([one.create.length, one.update.length, one.remove.length], [0, 1, 0])
  const fewer = slicesOf(service(), pods.slice(1), slices)
  t.same([fewer.create.length, fewer.update.length, fewer.remove.length], [0, 1, 0])
  const none = slicesOf(service(), [], slices)
  t.same([none.create.length, none.update.length, none.remove.length], [1, 0, 3], 'an empty one takes their place')
})

t.test('both families, each in slices of its own; Endpoints has the first', async (t) => {
  const dual = service({ ipFamilies: ['IPv6', 'IPv4'], ipFamilyPolicy: 'RequireDualStack' })
  const pods = [pod(1, { ips: ['10.0.0.1', 'fd00::1'] }), pod(2, { ips: ['10.0.0.2'] })]
  const { create } = slicesOf(dual, pods)
  t.same(
    create.map(({ addressType, endpoints }) => `${addressType} ${endpoints?.map(({ addresses }) => addresses[0])}`),
    ['IPv6 fd00::1', 'IPv4 10.0.0.1,10.0.0.2'],
  )
  t.same(
    planSubsets(dual, pods).subsets.flatMap(({ addresses }) => addresses?.map(({ ip }) => ip)),
    ['fd00::1'],
  )
})

t.test('ports by name differ from pod to pod; conditions follow the pod', async (t) => {
  const named = service({ ports: [{ port: 80, targetPort: 'http', name: 'web', appProtocol: 'h2c' }] })
  const pods = [pod(1, { port: 8080 }), pod(2, { port: 9090 }), pod(3)]
  t.same(
    planSubsets(named, pods).subsets.map(({ addresses, ports }) => [addresses?.map(({ ip }) => ip), ports?.map(({ port }) => port)]),
    [
      [['10.0.0.1'], [8080]],
      [['10.0.0.2'], [9090]],
    ],
    'one without the port is left out',
  )
  const { create } = slicesOf(named, pods)
  t.same(
    create.flatMap(({ ports }) => ports?.map(({ name, port, appProtocol }) => [name, port, appProtocol])),
    [
      ['web', 8080, 'h2c'],
      ['web', 9090, 'h2c'],
    ],
  )
  const states = [
    pod(1),
    pod(2, { ready: false }),
    pod(3, { deleting: true }),
    pod(4, { deleting: true, ready: false }),
    pod(5, { phase: 'Failed' }),
  ]
  const conditions = (of: Service) =>
    slicesOf(of, states).create[0]?.endpoints?.map(({ conditions }) => [conditions?.ready, conditions?.serving, conditions?.terminating])
  t.same(conditions(service()), [
    [true, true, false],
    [false, false, false],
    [false, true, true],
    [false, false, true],
  ])
  t.same(
    conditions(service({ publishNotReadyAddresses: true }))?.map(([ready]) => ready),
    [true, true, true, true],
  )
  t.same(
    planSubsets(service(), states).subsets.map(({ addresses, notReadyAddresses }) => [addresses?.length, notReadyAddresses?.length]),
    [[1, 1]],
  )
})

t.test('headless services say so, carry hostnames, and need no ports', async (t) => {
  const headless = service({ clusterIP: 'None', ports: [] })
  const [slice] = slicesOf(headless, [pod(1)]).create
  t.match(slice?.metadata.labels, {
    'service.kubernetes.io/headless': '',
    'kubernetes.io/service-name': 'web',
    'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
  })
  t.match(slice?.endpoints, [
    { hostname: 'host-1', nodeName: 'n1', targetRef: { kind: 'Pod', name: 'p00001', namespace: 'shop', uid: 'p1' } },
  ])
  t.match(planSubsets(headless, [pod(1)]).subsets, [{ addresses: [{ ip: '10.0.0.1', hostname: 'host-1', nodeName: 'n1' }] }])
  t.match(slicesOf(headless, []).create, [{ endpoints: [], ports: [] }], 'also without pods there is a slice to see')
})
