// Who owns what, and what becomes of it: replication controllers, claims of stateful sets, mirrored endpoints, references that reach nothing.
import t from 'tap'
import {
  ConfigMap,
  EndpointSlice,
  Endpoints,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  ReplicationController,
  Secret,
  Service,
  ServiceAccount,
  StatefulSet,
} from '../../src/api/index.js'
import { virtualPlane } from './virtual-plane.js'

t.setTimeout(300_000)

const namespace = 'default'
const START = Date.UTC(2026, 0, 1)

t.test('a replication controller adopts, releases, replaces and counts', async (t) => {
  const { client, until, told } = await virtualPlane(t, { start: START })
  const labels = { app: 'rc' }
  const spec = { terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image: 'busybox' }] }
  const stray: Pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'stray', namespace, labels }, spec }
  await until('service account', () => client.create(Pod, stray).catch(() => undefined))
  const name = 'rc'
  await client.create(ReplicationController, {
    apiVersion: 'v1',
    kind: 'ReplicationController',
    metadata: { name, namespace },
    spec: { replicas: 3, selector: labels, template: { metadata: { labels }, spec } },
  })
  const get = () => client.get(ReplicationController, { namespace, name })
  const pods = async () => (await client.list(Pod, { namespace })).items.filter((each) => !each.metadata.deletionTimestamp)
  await until('three ready', async () => (await get()).status?.readyReplicas === 3)
  t.match((await get()).status, { replicas: 3, fullyLabeledReplicas: 3, availableReplicas: 3, observedGeneration: 1 })
  t.notOk('terminatingReplicas' in ((await get()).status ?? {}), 'a field that only ReplicaSets have')
  t.equal((await client.get(Pod, { namespace, name: 'stray' })).metadata.ownerReferences?.[0]?.name, name, 'the stray was adopted')
  t.equal((await pods()).length, 3)

  await client.patch(Pod, { namespace, name: 'stray' }, { metadata: { labels: { app: 'free' } } }, { type: 'merge' })
  await until('the released one is replaced', async () => (await pods()).length === 4 && (await get()).status?.readyReplicas === 3)
  t.equal((await client.get(Pod, { namespace, name: 'stray' })).metadata.ownerReferences, undefined)
  await client.patch(ReplicationController, { namespace, name }, { spec: { replicas: 1 } }, { type: 'merge' })
  await until('one is left', async () => (await get()).status?.replicas === 1)
  const messages = await told(name)
  t.ok(messages.some((each) => /^SuccessfulCreate: Created pod: rc-[a-z0-9]{5}$/.test(each)))
  t.ok(messages.some((each) => /^SuccessfulDelete: Deleted pod: rc-[a-z0-9]{5}$/.test(each)))
})

t.test('claims of a stateful set stay or go as its retention policy says', async (t) => {
  const { client, until, pass } = await virtualPlane(t, { start: START })
  const make = async (name: string, whenDeleted: string, whenScaled: string): Promise<void> => {
    const labels = { app: name }
    await client.create(StatefulSet, {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: { name, namespace },
      spec: {
        replicas: 2,
        serviceName: name,
        selector: { matchLabels: labels },
        persistentVolumeClaimRetentionPolicy: { whenDeleted, whenScaled },
        template: { metadata: { labels }, spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image: 'busybox' }] } },
        volumeClaimTemplates: [
          {
            metadata: { name: 'data' },
            spec: { storageClassName: 'standard', accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
          },
        ] as never,
      },
    })
  }
  const claims = async (name: string) =>
    (await client.list(PersistentVolumeClaim, { namespace })).items
      .map((each) => each.metadata.name)
      .filter((each) => each.includes(`-${name}-`))
  const cases = [
    { name: 'retain', whenDeleted: 'Retain', whenScaled: 'Retain', scaled: 2, deleted: 2 },
    { name: 'scale', whenDeleted: 'Retain', whenScaled: 'Delete', scaled: 1, deleted: 1 },
    { name: 'delete', whenDeleted: 'Delete', whenScaled: 'Retain', scaled: 2, deleted: 0 },
    { name: 'both', whenDeleted: 'Delete', whenScaled: 'Delete', scaled: 1, deleted: 0 },
  ]
  for (const each of cases) await make(each.name, each.whenDeleted, each.whenScaled)
  for (const { name } of cases) {
    await until(`${name} ready`, async () => (await client.get(StatefulSet, { namespace, name })).status?.readyReplicas === 2)
    t.same(await claims(name), [`data-${name}-0`, `data-${name}-1`])
  }
  for (const { name } of cases) await client.patch(StatefulSet, { namespace, name }, { spec: { replicas: 1 } }, { type: 'merge' })
  for (const { name, scaled } of cases) {
    await until(`${name} scaled`, async () => (await client.get(StatefulSet, { namespace, name })).status?.replicas === 1)
    await until(`${name} has ${scaled} claims`, async () => (await claims(name)).length === scaled)
  }
  await pass(30)
  for (const { name, scaled } of cases) t.equal((await claims(name)).length, scaled, `${name} scaled down`)
  for (const { name } of cases) await client.delete(StatefulSet, { namespace, name })
  for (const { name, deleted } of cases) await until(`${name} has ${deleted} claims`, async () => (await claims(name)).length === deleted)
  await pass(30)
  for (const { name, deleted } of cases) t.equal((await claims(name)).length, deleted, `${name} deleted`)
  t.equal((await client.list(PersistentVolume)).items.length, 3, 'volumes of kept claims stay, the others are gone')
})

t.test('endpoints written by hand are mirrored', async (t) => {
  const { client, until, pass } = await virtualPlane(t, { start: START })
  const name = 'outside'
  await client.create(Service, { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace }, spec: { ports: [{ port: 80 }] } })
  const subset = (ips: readonly string[], more: readonly string[] = []) => ({
    addresses: ips.map((ip) => ({ ip })),
    ...(more.length > 0 ? { notReadyAddresses: more.map((ip) => ({ ip })) } : {}),
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
  })
  const metadata = {
    name,
    namespace,
    labels: { team: 'a' },
    annotations: { note: 'x', 'kubectl.kubernetes.io/last-applied-configuration': '{}' },
  }
  await client.create(Endpoints, {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata,
    subsets: [subset(['10.1.0.1', 'fd00::1'], ['10.1.0.2'])],
  })
  const slices = async () => (await client.list(EndpointSlice, { namespace, labelSelector: `kubernetes.io/service-name=${name}` })).items
  const shown = async () =>
    (await slices())
      .map(
        (slice) =>
          `${slice.addressType} ${slice.endpoints?.map(({ addresses, conditions }) => `${addresses[0]}${conditions?.ready ? '' : '!'}`)}`,
      )
      .sort()
  await until('two slices', async () => (await slices()).length === 2)
  t.same(await shown(), ['IPv4 10.1.0.1,10.1.0.2!', 'IPv6 fd00::1'])
  const [slice] = await slices()
  t.match(slice?.metadata, {
    labels: { team: 'a', 'endpointslice.kubernetes.io/managed-by': 'endpointslicemirroring-controller.k8s.io' },
    annotations: { note: 'x' },
    ownerReferences: [{ kind: 'Endpoints', name, controller: true }],
  })
  t.notOk(slice?.metadata.annotations?.['kubectl.kubernetes.io/last-applied-configuration'])
  t.match(slice?.ports, [{ name: 'http', port: 8080, protocol: 'TCP' }])

  await client.patch(Endpoints, { namespace, name }, { subsets: [subset(['10.1.0.3'])] }, { type: 'merge' })
  await until('follows', async () => JSON.stringify(await shown()) === '["IPv4 10.1.0.3"]')
  await client.patch(Service, { namespace, name }, { spec: { selector: { app: 'x' } } }, { type: 'merge' })
  const mirrored = async () =>
    (await slices()).filter((each) => each.metadata.labels?.['endpointslice.kubernetes.io/managed-by']?.includes('mirroring'))
  await until('with a selector there is nothing to mirror', async () => (await mirrored()).length === 0)
  const skip = { name: 'skipped', namespace, labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } }
  await client.create(Service, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'skipped', namespace },
    spec: { ports: [{ port: 80 }] },
  })
  await client.create(Endpoints, { apiVersion: 'v1', kind: 'Endpoints', metadata: skip, subsets: [subset(['10.1.0.9'])] })
  await pass(5)
  t.same((await client.list(EndpointSlice, { namespace, labelSelector: 'kubernetes.io/service-name=skipped' })).items, [])
})

t.test('a secret that asks for the token of an account gets it, and goes with the account', async (t) => {
  const { client, until } = await virtualPlane(t, { start: START })
  const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'robot', namespace } } as const
  const { uid } = (await client.create(ServiceAccount, account)).metadata
  await client.create(Secret, {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'kubernetes.io/service-account-token',
    metadata: { name: 'robot-token', namespace, annotations: { 'kubernetes.io/service-account.name': 'robot' } },
  })
  const secret = () => client.find(Secret, { namespace, name: 'robot-token' })
  await until('a token', async () => (await secret())?.data?.token)
  const found = await secret()
  const text = (key: string) => Buffer.from(found?.data?.[key] ?? '', 'base64').toString('utf8')
  t.equal(text('namespace'), namespace)
  t.equal(text('ca.crt'), 'CA')
  t.equal(found?.metadata.annotations?.['kubernetes.io/service-account.uid'], uid)
  const claims = JSON.parse(Buffer.from(text('token').split('.')[1] ?? '', 'base64url').toString('utf8'))
  t.match(claims, { sub: 'system:serviceaccount:default:robot', 'kubernetes.io': { secret: { name: 'robot-token' } } })
  await client.delete(ServiceAccount, { namespace, name: 'robot' })
  await until('gone with its account', async () => !(await secret()))
})

t.test('an owner of another namespace is none, and that is said', async (t) => {
  const { client, until, told, pass } = await virtualPlane(t, { start: START })
  const config = (name: string, where: string, ownerReferences?: readonly unknown[]) =>
    client.create(ConfigMap, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: where, ownerReferences } as never })
  const owner = await config('owner', 'default')
  const reference = { apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid: owner.metadata.uid }
  await config('child', 'default', [reference])
  await config('foreign', 'kube-system', [reference])
  await until('the foreign child is gone', async () => !(await client.find(ConfigMap, { namespace: 'kube-system', name: 'foreign' })))
  const uid = owner.metadata.uid
  t.same(await told('foreign'), [
    `OwnerRefInvalidNamespace: ownerRef [v1/ConfigMap, namespace: kube-system, name: owner, uid: ${uid}] does not exist in namespace "kube-system"`,
  ])
  await pass(10)
  t.ok(await client.find(ConfigMap, { namespace, name: 'child' }))
  const volume = { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], hostPath: { path: '/x' } }
  await client.create(PersistentVolume, {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name: 'wide', ownerReferences: [reference] } as never,
    spec: volume,
  })
  await client.delete(ConfigMap, { namespace, name: 'owner' })
  await until('the child goes with its owner', async () => !(await client.find(ConfigMap, { namespace, name: 'child' })))
  await pass(10)
  t.ok(await client.find(PersistentVolume, { name: 'wide' }), 'cluster-wide objects have no owners in namespaces')
  t.match(await told('wide'), [/^OwnerRefInvalidNamespace: /])
})
