// How things end: namespaces with what is in them, owners with what is theirs, claims with their volumes.
import t from 'tap'
import {
  ConfigMap,
  CustomResourceDefinition,
  type Kind,
  kind,
  Namespace,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  type Resource,
  Secret,
  StorageClass,
} from '../../src/api/index.js'
import { virtualPlane } from './virtual-plane.js'

t.setTimeout(300_000)

const namespace = 'default'
const START = Date.UTC(2026, 0, 1)
const pod = (name: string, where = namespace, spec: Partial<NonNullable<Pod['spec']>> = {}): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: where },
  spec: { terminationGracePeriodSeconds: 5, containers: [{ name: 'main', image: 'x' }], ...spec },
})
const map = (name: string, where = namespace, metadata: Partial<ConfigMap['metadata']> = {}): ConfigMap => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: where, ...metadata },
})

t.test('a namespace: pods go first, conditions say what it waits for', async (t) => {
  const { client, until, pass } = await virtualPlane(t, { start: START, hollow: { stopMs: [5000, 5000], heartbeatMs: 30_000 } })
  const name = 'shop'
  await client.create(Namespace, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
  await until('made', () => client.create(Pod, pod('web', name)).catch(() => undefined))
  await client.create(ConfigMap, map('free', name))
  await client.create(ConfigMap, map('held', name, { finalizers: ['example.com/hold'] }))
  await until('running', async () => (await client.get(Pod, { namespace: name, name: 'web' })).status?.phase === 'Running')
  const get = () => client.find(Namespace, { name })
  const conditions = async () =>
    Object.fromEntries(
      ((await get())?.status?.conditions ?? []).map(({ type, status, reason, message }) => [type, `${status} ${reason}: ${message}`]),
    )
  await client.delete(Namespace, { name })
  t.equal((await get())?.status?.phase, 'Terminating')
  await pass(2)
  t.ok(await client.find(ConfigMap, { namespace: name, name: 'free' }), 'a pod may still read it')
  t.match(await conditions(), {
    NamespaceDeletionDiscoveryFailure: 'False ResourcesDiscovered: All resources successfully discovered',
    NamespaceDeletionGroupVersionParsingFailure: 'False ParsedGroupVersions: All legacy kube types successfully parsed',
    NamespaceDeletionContentFailure: 'False ContentDeleted: All content successfully deleted, may be waiting on finalization',
    NamespaceContentRemaining: 'True SomeResourcesRemain: Some resources are remaining: pods. has 1 resource instances',
    NamespaceFinalizersRemaining: 'False ContentHasNoFinalizers: All content-preserving finalizers finished',
  })
  const refused = await client.create(ConfigMap, map('late', name)).catch((error: Error) => error)
  t.match(refused, {
    code: 403,
    message: 'configmaps "late" is forbidden: unable to create new content in namespace shop because it is being terminated',
  })
  await until('the pod is gone', async () => !(await client.find(Pod, { namespace: name, name: 'web' })))
  await until('then the rest', async () => !(await client.find(ConfigMap, { namespace: name, name: 'free' })))
  await pass(2)
  t.match(await conditions(), {
    NamespaceContentRemaining: 'True SomeResourcesRemain: Some resources are remaining: configmaps. has 1 resource instances',
    NamespaceFinalizersRemaining:
      'True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances',
  })
  await client.patch(ConfigMap, { namespace: name, name: 'held' }, { metadata: { finalizers: null } }, { type: 'merge' })
  await until('gone', async () => !(await get()))
})

t.test('owners: all gone, one of several gone, waited for, left alone', async (t) => {
  const { client, until, pass } = await virtualPlane(t, { start: START })
  const owner = async (name: string, finalizers: string[] = []) => {
    const made = await client.create(ConfigMap, map(name, namespace, finalizers.length > 0 ? { finalizers } : {}))
    return { apiVersion: 'v1', kind: 'ConfigMap', name, uid: made.metadata.uid ?? '' }
  }
  const child = (name: string, ownerReferences: unknown[], finalizers: string[] = []) =>
    client.create(Secret, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name, namespace, ownerReferences: ownerReferences as never, ...(finalizers.length > 0 ? { finalizers } : {}) },
    })
  const there = (name: string) => client.find(Secret, { namespace, name })
  const owners = async (name: string) => (await there(name))?.metadata.ownerReferences?.map((each) => each.name)
  const remove = (name: string, propagationPolicy: 'Background' | 'Foreground' | 'Orphan') =>
    client.delete(ConfigMap, { namespace, name }, { propagationPolicy })

  const [a, b] = [await owner('a'), await owner('b')]
  await child('of-both', [a, b])
  await child('of-one', [a])
  await remove('a', 'Background')
  t.notOk(await client.find(ConfigMap, { namespace, name: 'a' }), 'the owner goes at once')
  await until('its own goes', async () => !(await there('of-one')))
  await until('the other keeps what is left', async () => JSON.stringify(await owners('of-both')) === '["b"]')
  await remove('b', 'Background')
  await until('and goes with the last', async () => !(await there('of-both')))

  await child('never', [{ ...a, name: 'nobody', uid: '00000000-0000-0000-0000-000000000000' }])
  await until('an owner that never was', async () => !(await there('never')))
  const same = await owner('again')
  await child('of-the-older', [{ ...same, uid: '00000000-0000-0000-0000-000000000001' }])
  await until('an owner of the same name is another', async () => !(await there('of-the-older')))

  const c = await owner('c')
  await child('blocks', [{ ...c, blockOwnerDeletion: true }], ['example.com/hold'])
  await child('follows', [c], ['example.com/hold'])
  await remove('c', 'Foreground')
  await pass(5)
  const waiting = await client.find(ConfigMap, { namespace, name: 'c' })
  t.same(waiting?.metadata.finalizers, ['foregroundDeletion'], 'it waits')
  t.ok((await there('blocks'))?.metadata.deletionTimestamp)
  t.ok((await there('follows'))?.metadata.deletionTimestamp)
  await client.patch(Secret, { namespace, name: 'blocks' }, { metadata: { finalizers: null } }, { type: 'merge' })
  await until('it waits for those alone that block it', async () => !(await client.find(ConfigMap, { namespace, name: 'c' })))
  t.ok(await there('follows'))

  const d = await owner('d')
  await child('left', [d])
  await remove('d', 'Orphan')
  await until('the owner is gone', async () => !(await client.find(ConfigMap, { namespace, name: 'd' })))
  await pass(10)
  t.same(await owners('left'), undefined)
})

t.test('objects of custom kinds own and are owned', async (t) => {
  const { client, until, pass } = await virtualPlane(t, { start: START })
  const names = { plural: 'things', singular: 'thing', kind: 'Thing', listKind: 'ThingList' }
  const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } }
  await client.create(CustomResourceDefinition, {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'things.example.com' },
    spec: { group: 'example.com', scope: 'Namespaced', names, versions: [{ name: 'v1', served: true, storage: true, schema }] },
  } as never)
  const Thing = kind({
    group: 'example.com',
    version: 'v1',
    kind: 'Thing',
    plural: 'things',
    namespaced: true,
    subresources: [],
  }) as Kind<Resource>
  const thing = (name: string, metadata: object = {}) => ({
    apiVersion: 'example.com/v1',
    kind: 'Thing',
    metadata: { name, namespace, ...metadata },
  })
  await until('served', () => client.create(Thing, thing('owner')).catch(() => undefined))
  const { uid = '' } = (await client.get(Thing, { namespace, name: 'owner' })).metadata
  const ownerReferences = [{ apiVersion: 'example.com/v1', kind: 'Thing', name: 'owner', uid }]
  await client.create(Thing, thing('child', { ownerReferences }))
  await client.create(ConfigMap, map('child', namespace, { ownerReferences }))
  await pass(35)
  t.ok(await client.find(ConfigMap, { namespace, name: 'child' }))
  await client.delete(Thing, { namespace, name: 'owner' })
  await until(
    'both gone',
    async () => !(await client.find(ConfigMap, { namespace, name: 'child' })) && !(await client.find(Thing, { namespace, name: 'child' })),
  )
  t.pass('both gone')
})

t.test('claims and volumes: bound, protected, released, reclaimed', async (t) => {
  const { client, until, pass, told } = await virtualPlane(t, { start: START })
  const volume = (name: string, storage: string, spec: object = {}) =>
    client.create(PersistentVolume, {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name, labels: { size: storage } },
      spec: { capacity: { storage }, accessModes: ['ReadWriteOnce'], storageClassName: 'manual', hostPath: { path: '/x' }, ...spec },
    })
  const claim = (name: string, storage: string, spec: object = {}) =>
    client.create(PersistentVolumeClaim, {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name, namespace },
      spec: { storageClassName: 'manual', accessModes: ['ReadWriteOnce'], resources: { requests: { storage } }, ...spec },
    })
  const claimed = (name: string) => client.find(PersistentVolumeClaim, { namespace, name })
  const volumed = (name: string) => client.find(PersistentVolume, { name })
  const phase = async (name: string) => (await volumed(name))?.status?.phase
  await claim('early', '3Gi')
  await until('pending', async () => (await claimed('early'))?.status?.phase === 'Pending')
  for (const [name, size] of [
    ['small', '1Gi'],
    ['middle', '5Gi'],
    ['large', '10Gi'],
  ] as const)
    await volume(name, size)
  await until('bound', async () => (await claimed('early'))?.status?.phase === 'Bound')
  const early = await claimed('early')
  t.equal(early?.spec?.volumeName, 'middle', 'the smallest that will do')
  t.same(early?.status?.capacity, { storage: '5Gi' })
  t.match(early?.metadata.annotations, { 'pv.kubernetes.io/bind-completed': 'yes', 'pv.kubernetes.io/bound-by-controller': 'yes' })
  t.match((await volumed('middle'))?.spec?.claimRef, { name: 'early', namespace, uid: early?.metadata.uid })
  t.equal(await phase('middle'), 'Bound')
  t.equal(await phase('small'), 'Available')
  t.same(early?.metadata.finalizers, ['kubernetes.io/pvc-protection'])
  t.same((await volumed('middle'))?.metadata.finalizers, ['kubernetes.io/pv-protection'])

  await until('a pod uses it', () =>
    client
      .create(Pod, pod('user', namespace, { volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'early' } }] }))
      .catch(() => undefined),
  )
  await until('running', async () => (await client.get(Pod, { namespace, name: 'user' })).status?.phase === 'Running')
  await client.delete(PersistentVolume, { name: 'middle' })
  await client.delete(PersistentVolumeClaim, { namespace, name: 'early' })
  await pass(20)
  t.ok((await claimed('early'))?.metadata.deletionTimestamp, 'while the pod runs')
  t.ok((await volumed('middle'))?.metadata.deletionTimestamp, 'while it is bound')
  await client.delete(Pod, { namespace, name: 'user' })
  await until('both gone', async () => !(await claimed('early')) && !(await volumed('middle')))

  // Chosen by name, by labels, and by what has to be kept.
  await volume('kept', '1Gi', { persistentVolumeReclaimPolicy: 'Retain' })
  await claim('named', '1Gi', { volumeName: 'kept' })
  await claim('picky', '1Gi', { selector: { matchLabels: { size: '10Gi' } } })
  await until(
    'both bound',
    async () => (await claimed('named'))?.status?.phase === 'Bound' && (await claimed('picky'))?.status?.phase === 'Bound',
  )
  t.equal((await claimed('picky'))?.spec?.volumeName, 'large')
  await client.delete(PersistentVolumeClaim, { namespace, name: 'named' })
  await until('released', async () => (await phase('kept')) === 'Released')
  await claim('next', '1Gi', { volumeName: 'kept' })
  await pass(10)
  t.equal((await claimed('next'))?.status?.phase, 'Pending', 'a released volume is not given to the next')
  await client.patch(PersistentVolume, { name: 'kept' }, { spec: { claimRef: null } }, { type: 'merge' })
  await until('freed by hand', async () => (await claimed('next'))?.status?.phase === 'Bound')
  await client.patch(PersistentVolume, { name: 'large' }, { spec: { persistentVolumeReclaimPolicy: 'Delete' } }, { type: 'merge' })
  await client.delete(PersistentVolumeClaim, { namespace, name: 'picky' })
  await until('nobody can delete it', async () => (await phase('large')) === 'Failed')
  t.ok((await told('large')).some((each) => each.startsWith('VolumeFailedDelete: ')))
  await client.delete(PersistentVolume, { name: 'kept' })
  await client.patch(PersistentVolume, { name: 'kept' }, { metadata: { finalizers: null } }, { type: 'merge' })
  await until('lost', async () => !(await volumed('kept')) && (await claimed('next'))?.status?.phase === 'Lost')
  t.ok((await told('next')).includes('ClaimLost: Bound claim has lost its PersistentVolume. Data on the volume is lost!'))
})

t.test('volumes of the class standard: made where the pod goes, refused in words, gone with the claim or kept', async (t) => {
  const { client, until, pass, told } = await virtualPlane(t, { start: START, options: () => ({ localPath: '/srv/volumes' }) })
  const claimed = (name: string) => client.find(PersistentVolumeClaim, { namespace, name })
  const claim = (name: string, spec: object = {}) =>
    client.create(PersistentVolumeClaim, {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name, namespace },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '2Gi' } }, ...spec },
    })
  const use = (name: string) =>
    until('made', () =>
      client
        .create(Pod, pod(name, namespace, { volumes: [{ name: 'v', persistentVolumeClaim: { claimName: name } }] }))
        .catch(() => undefined),
    )
  const standard = await client.get(StorageClass, { name: 'standard' })
  t.match(standard, {
    provisioner: 'knarr.io/local-path',
    reclaimPolicy: 'Delete',
    volumeBindingMode: 'WaitForFirstConsumer',
    metadata: { annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } },
  })
  await claim('data')
  await pass(5)
  t.equal((await claimed('data'))?.spec?.storageClassName, 'standard', 'it is the default')
  t.equal((await claimed('data'))?.status?.phase, 'Pending')
  t.ok((await told('data')).includes('WaitForFirstConsumer: waiting for first consumer to be created before binding'))
  await use('data')
  await until('bound', async () => (await claimed('data'))?.status?.phase === 'Bound')
  const node = (await client.get(Pod, { namespace, name: 'data' })).spec?.nodeName
  const name = `pvc-${(await claimed('data'))?.metadata.uid}`
  const volume = await client.get(PersistentVolume, { name })
  t.match(volume.spec, {
    capacity: { storage: '2Gi' },
    hostPath: { path: `/srv/volumes/${name}_default_data`, type: 'DirectoryOrCreate' },
    nodeAffinity: {
      required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [node] }] }] },
    },
    persistentVolumeReclaimPolicy: 'Delete',
  })
  const messages = await told('data')
  t.ok(messages.includes('Provisioning: External provisioner is provisioning volume for claim "default/data"'))
  t.ok(messages.includes(`ProvisioningSucceeded: Successfully provisioned volume ${name}`))

  await claim('shared', { accessModes: ['ReadWriteMany'] })
  await use('shared')
  await until('refused', async () =>
    (await told('shared')).some((each) => each.includes('ReadWriteMany is not supported: the volume is a folder of one node')),
  )
  t.equal((await claimed('shared'))?.status?.phase, 'Pending')

  await client.create(StorageClass, { ...standard, metadata: { name: 'kept' }, reclaimPolicy: 'Retain' })
  await claim('keep', { storageClassName: 'kept' })
  await use('keep')
  await until('bound', async () => (await claimed('keep'))?.status?.phase === 'Bound')
  const kept = (await claimed('keep'))?.spec?.volumeName ?? ''
  for (const each of ['data', 'keep']) {
    await client.delete(Pod, { namespace, name: each })
    await client.delete(PersistentVolumeClaim, { namespace, name: each })
  }
  await until('gone with its claim', async () => !(await client.find(PersistentVolume, { name })))
  await until('kept', async () => (await client.get(PersistentVolume, { name: kept })).status?.phase === 'Released')
  await claim('none', { storageClassName: 'absent' })
  await until('said', async () => (await told('none')).includes('ProvisioningFailed: storageclass.storage.k8s.io "absent" not found'))
})
