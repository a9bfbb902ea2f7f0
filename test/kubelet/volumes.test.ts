// Volumes, environment and identity, looked at from inside the container. Needs root.
import { chownSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ConfigMap, PersistentVolume, PersistentVolumeClaim, Secret, Service } from '../../src/api/index.js'
import { FOREVER, isReady, nodeScene, options, shell, slowness, statusOf, until } from './scene.js'

const base64 = (text: string): string => Buffer.from(text).toString('base64')

t.setTimeout(240_000 * slowness)

t.test('volumes and environment', options, async (t) => {
  t.setTimeout(180_000 * slowness)
  const n = await nodeScene()
  t.teardown(() => n.end())
  const meta = (name: string) => ({ name, namespace: 'default' })
  await n.client.create(ConfigMap, { apiVersion: 'v1', kind: 'ConfigMap', metadata: meta('map'), data: { one: '1', two: 'zwei' } })
  await n.client.create(Secret, {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: meta('secret'),
    type: 'Opaque',
    data: { key: base64('hush') },
  })

  t.test('environment: values, expansion, fields, resources, maps, secrets, services, prefixes', async (t) => {
    await n.client.create(Service, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: meta('my-db'),
      spec: { clusterIP: '10.96.7.7', ports: [{ name: 'pg', port: 5432, protocol: 'TCP' }], type: 'ClusterIP' },
    })
    await until(async () => (n.daemon() ? true : undefined))
    await n.run(
      'env',
      {
        containers: [
          shell(FOREVER, {
            args: ['ignored', '$(GREETING) $$(X) $(NOBODY)'],
            resources: { limits: { cpu: '500m', memory: '64Mi' } },
            envFrom: [{ configMapRef: { name: 'map' }, prefix: 'M-' }, { secretRef: { name: 'secret' } }],
            env: [
              { name: 'WHO', value: 'world' },
              { name: 'GREETING', value: 'hello $(WHO)' },
              { name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
              { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
              { name: 'NODE_IP', valueFrom: { fieldRef: { fieldPath: 'status.hostIP' } } },
              { name: 'LABEL', valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
              { name: 'CPU', valueFrom: { resourceFieldRef: { resource: 'limits.cpu', divisor: '1m' } } },
              { name: 'FROM_MAP', valueFrom: { configMapKeyRef: { name: 'map', key: 'two' } } },
              { name: 'FROM_SECRET', valueFrom: { secretKeyRef: { name: 'secret', key: 'key' } } },
              { name: 'NONE', valueFrom: { configMapKeyRef: { name: 'nope', key: 'x', optional: true } } },
            ],
          }),
        ],
      },
      { labels: { app: 'shop' } },
    )
    const pod = await n.wait('env', isReady)
    const text = readFileSync(`/proc/${await pidOf(pod)}/environ`, 'utf8')
    const env = Object.fromEntries(text.split('\0').map((line) => line.split(/=(.*)/s).slice(0, 2)))
    t.match(env, {
      GREETING: 'hello world',
      POD: 'env',
      IP: pod.status?.podIP,
      NODE_IP: '127.0.0.1',
      LABEL: 'shop',
      CPU: '500',
      FROM_MAP: 'zwei',
      FROM_SECRET: 'hush',
      'M-one': '1',
      key: 'hush',
      MY_DB_SERVICE_HOST: '10.96.7.7',
      MY_DB_PORT_5432_TCP: 'tcp://10.96.7.7:5432',
    })
    t.notOk('NONE' in env)
    t.match(readFileSync(`/proc/${await pidOf(pod)}/cmdline`, 'utf8'), /hello world \$\(X\) \$\(NOBODY\)\0$/)
  })

  async function pidOf(pod: Awaited<ReturnType<typeof n.wait>>): Promise<number> {
    const id = statusOf(pod)?.containerID?.replace(/^.*:\/\//, '') ?? ''
    return (await n.daemon().runtime?.state(id))?.pid ?? 0
  }

  t.test('configMap, secret, downward API, projected: content, modes, live update', async (t) => {
    await n.run(
      'files',
      {
        volumes: [
          { name: 'map', configMap: { name: 'map', items: [{ key: 'one', path: 'deep/one', mode: 0o600 }], defaultMode: 0o644 } },
          { name: 'all', configMap: { name: 'map' } },
          { name: 'secret', secret: { secretName: 'secret', defaultMode: 0o400 } },
          { name: 'down', downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
          {
            name: 'together',
            projected: {
              sources: [
                { serviceAccountToken: { path: 'token', expirationSeconds: 3600 } },
                { configMap: { name: 'map', items: [{ key: 'two', path: 'two' }] } },
                { secret: { name: 'gone', optional: true } },
              ],
            },
          },
        ],
        containers: [
          shell(FOREVER, {
            volumeMounts: ['map', 'all', 'secret', 'down', 'together'].map((name) => ({ name, mountPath: `/v/${name}` })),
          }),
        ],
      },
      { labels: { color: 'red' } },
    )
    await n.wait('files', isReady)
    const read = (...command: readonly string[]): Promise<string> => n.exec('files', 'main', ...command)
    t.equal(await read('cat', '/v/map/deep/one'), '1')
    t.equal(await read('stat', '-L', '-c', '%a', '/v/map/deep/one'), '600\n')
    t.equal(await read('stat', '-L', '-c', '%a %u', '/v/secret/key'), '400 0\n')
    t.equal(await read('readlink', '/v/all/one'), '..data/one\n')
    t.equal(await read('cat', '/v/down/labels'), 'color="red"')
    t.match(await read('cat', '/v/together/token', '/v/together/two'), /^.{5,}zwei$/)
    t.match(await read('touch', '/v/all/new'), /Read-only file system/)
    t.match(await read('mount'), / \/v\/secret type tmpfs /)
    await n.client.patch(ConfigMap, meta('map'), { data: { one: 'uno', three: '3' } }, { type: 'merge' })
    await until(async () => ((await read('cat', '/v/all/one')) === 'uno' ? true : undefined))
    // The link of a new file comes a moment after the files have changed.
    await until(async () => ((await read('cat', '/v/all/three')) === '3' ? true : undefined))
    await n.client.patch(ConfigMap, meta('map'), { data: { one: '1', three: null } }, { type: 'merge' })
  })

  t.test('emptyDir on disk and in memory, fsGroup, users', async (t) => {
    await n.run('empty', {
      securityContext: { fsGroup: 2000, runAsUser: 1000, runAsGroup: 1000 },
      volumes: [
        { name: 'disk', emptyDir: {} },
        { name: 'memory', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
      ],
      containers: [shell(FOREVER, { volumeMounts: ['disk', 'memory'].map((name) => ({ name, mountPath: `/${name}` })) })],
    })
    await n.wait('empty', isReady)
    const read = (...command: readonly string[]): Promise<string> => n.exec('empty', 'main', ...command)
    t.equal(await read('stat', '-c', '%a %g', '/disk', '/memory'), '2777 2000\n2777 2000\n')
    t.match(await read('mount'), / \/memory type tmpfs \(rw,[^)]*size=1024k/)
    t.match(await read('id'), /uid=1000.* gid=1000.* groups=.*2000/)
    await read('touch', '/disk/file')
    t.equal(await read('stat', '-c', '%u %g', '/disk/file'), '1000 2000\n')
    t.match(await read('dd', 'if=/dev/zero', 'of=/memory/big', 'bs=1024', 'count=2000'), /No space left/)
  })

  t.test('hostPath, claims, subPath, and paths that climb out', async (t) => {
    const host = join(n.s.dir, 'host')
    mkdirSync(join(host, 'sub'), { recursive: true })
    writeFileSync(join(host, 'sub', 'file'), 'inside')
    writeFileSync(join(n.s.dir, 'outside'), 'outside')
    symlinkSync(join(n.s.dir, 'outside'), join(host, 'escape'))
    symlinkSync('sub/file', join(host, 'link'))
    await n.client.create(PersistentVolume, {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name: 'pv' },
      spec: {
        capacity: { storage: '1Gi' },
        accessModes: ['ReadWriteOnce'],
        claimRef: { kind: 'PersistentVolumeClaim', apiVersion: 'v1', namespace: 'default', name: 'claim' },
        hostPath: { path: host },
        persistentVolumeReclaimPolicy: 'Retain',
      },
    })
    const made = await n.client.create(PersistentVolumeClaim, {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: meta('claim'),
      spec: { accessModes: ['ReadWriteOnce'], volumeName: 'pv', storageClassName: '', resources: { requests: { storage: '1Gi' } } },
    })
    await n.client.updateStatus(PersistentVolumeClaim, { ...made, status: { phase: 'Bound' } })
    const volumes = [
      { name: 'host', hostPath: { path: host, type: 'Directory' } },
      { name: 'claim', persistentVolumeClaim: { claimName: 'claim' } },
    ]
    await n.run('paths', {
      volumes,
      containers: [
        shell(FOREVER, {
          env: [{ name: 'WHERE', value: 'sub' }],
          volumeMounts: [
            { name: 'host', mountPath: '/host', readOnly: true },
            { name: 'claim', mountPath: '/claim' },
            { name: 'host', mountPath: '/one', subPath: 'link' },
            { name: 'host', mountPath: '/expr', subPathExpr: '$(WHERE)' },
            { name: 'claim', mountPath: '/new', subPath: 'made/here' },
          ],
        }),
      ],
    })
    await n.wait('paths', isReady)
    const read = (...command: readonly string[]): Promise<string> => n.exec('paths', 'main', ...command)
    t.equal(await read('cat', '/one', '/expr/file', '/claim/sub/file'), 'insideinsideinside')
    t.match(await read('touch', '/host/x'), /Read-only/)
    await read('touch', '/new/x')
    t.ok(readFileSync(join(host, 'made/here/x')))
    await n.run('climbs', {
      volumes,
      containers: [shell(FOREVER, { volumeMounts: [{ name: 'host', mountPath: '/o', subPath: 'escape' }] })],
    })
    await n.run('wrong-type', {
      volumes: [{ name: 'host', hostPath: { path: host, type: 'File' } }],
      containers: [shell(FOREVER, { volumeMounts: [{ name: 'host', mountPath: '/h' }] })],
    })
    await n.run('no-claim', {
      volumes: [{ name: 'c', persistentVolumeClaim: { claimName: 'nobody' } }],
      containers: [shell(FOREVER, { volumeMounts: [{ name: 'c', mountPath: '/c' }] })],
    })
    const climbs = await n.wait('climbs', (pod) => /not within volume path/.test(statusOf(pod)?.state?.waiting?.message ?? ''))
    t.equal(statusOf(climbs)?.state?.waiting?.reason, 'CreateContainerConfigError')
    t.ok(await n.eventWith('wrong-type', 'FailedMount', /hostPath type check failed: .* is not a file/))
    t.ok(await n.eventWith('no-claim', 'FailedMount', /persistentvolumeclaim "nobody" not found/))
    // The event may be there before the status is.
    await n.wait('no-claim', (pod) => statusOf(pod)?.state?.waiting?.reason === 'ContainerCreating')
  })

  t.test('a local volume belongs to the group of the pod, always or only when its top does not yet', async (t) => {
    const path = join(n.s.dir, 'local-disk')
    mkdirSync(join(path, 'below'), { recursive: true })
    writeFileSync(join(path, 'below/file'), 'data', { mode: 0o600 })
    const name = 'local-disk'
    await n.client.create(PersistentVolume, {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name },
      spec: {
        capacity: { storage: '1Gi' },
        accessModes: ['ReadWriteOnce'],
        claimRef: { kind: 'PersistentVolumeClaim', apiVersion: 'v1', namespace: 'default', name },
        local: { path },
        nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'x', operator: 'DoesNotExist' }] }] } },
        persistentVolumeReclaimPolicy: 'Retain',
      },
    })
    const made = await n.client.create(PersistentVolumeClaim, {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: meta(name),
      spec: { accessModes: ['ReadWriteOnce'], volumeName: name, storageClassName: '', resources: { requests: { storage: '1Gi' } } },
    })
    await n.client.updateStatus(PersistentVolumeClaim, { ...made, status: { phase: 'Bound' } })
    const groups = async (pod: string, policy: 'Always' | 'OnRootMismatch', fsGroup: number): Promise<string> => {
      await n.run(pod, {
        securityContext: { fsGroup, fsGroupChangePolicy: policy },
        volumes: [{ name: 'disk', persistentVolumeClaim: { claimName: name } }],
        containers: [shell(FOREVER, { volumeMounts: [{ name: 'disk', mountPath: '/disk' }] })],
      })
      await n.wait(pod, isReady)
      const said = await n.exec(pod, 'main', 'stat', '-c', '%g %a', '/disk', '/disk/below', '/disk/below/file')
      await n.remove(pod, 0)
      await n.gone(pod)
      return said
    }
    t.equal(await groups('group-one', 'OnRootMismatch', 4000), '4000 2775\n4000 2775\n4000 660\n', 'the top was not the group’s')
    chownSync(join(path, 'below/file'), 0, 77)
    t.equal(await groups('group-two', 'OnRootMismatch', 4000), '4000 2775\n4000 2775\n77 660\n', 'the top is: nothing below is looked at')
    t.equal(await groups('group-three', 'Always', 4000), '4000 2775\n4000 2775\n4000 660\n')
  })

  t.test('a missing ConfigMap holds the pod until it comes', async (t) => {
    await n.run('waits', {
      volumes: [{ name: 'late', configMap: { name: 'late' } }],
      containers: [shell(FOREVER, { volumeMounts: [{ name: 'late', mountPath: '/late' }] })],
    })
    t.ok(await n.eventWith('waits', 'FailedMount', /^MountVolume\.SetUp failed for volume "late" : configmap "late" not found$/))
    await n.client.create(ConfigMap, { apiVersion: 'v1', kind: 'ConfigMap', metadata: meta('late'), data: { now: 'here' } })
    await n.wait('waits', isReady)
    t.equal(await n.exec('waits', 'main', 'cat', '/late/now'), 'here')
  })

  t.test('names and resolvers', async (t) => {
    await n.run('names', {
      hostname: 'alpha',
      subdomain: 'beta',
      dnsPolicy: 'None',
      dnsConfig: { nameservers: ['192.0.2.53'], searches: ['example.test'], options: [{ name: 'ndots', value: '3' }] },
      hostAliases: [{ ip: '192.0.2.1', hostnames: ['gamma', 'delta'] }],
      shareProcessNamespace: true,
      containers: [shell(FOREVER), shell(FOREVER, { name: 'other' })],
    })
    await n.wait('names', isReady)
    const read = (...command: readonly string[]): Promise<string> => n.exec('names', 'main', ...command)
    t.equal(await read('hostname'), 'alpha\n')
    t.match(await read('cat', '/etc/hosts'), /\talpha\.beta\.default\.svc\.cluster\.local\talpha\n[\s\S]*192\.0\.2\.1\tgamma\tdelta\n/)
    t.match(await read('cat', '/etc/resolv.conf'), /search example\.test\nnameserver 192\.0\.2\.53\noptions ndots:3/)
    t.equal((await read('ps')).match(/trap/g)?.length, 2)
    await n.run('long-name', { hostname: 'alpha', subdomain: 'beta', setHostnameAsFQDN: true, containers: [shell(FOREVER)] })
    await n.run('unlinked', { enableServiceLinks: false, containers: [shell(FOREVER)] })
    await n.wait('long-name', isReady)
    await n.wait('unlinked', isReady)
    t.equal(await n.exec('long-name', 'main', 'hostname'), 'alpha.beta.default.svc.cluster.local\n')
    t.match(await n.exec('long-name', 'main', 'env'), /^MY_DB_SERVICE_HOST=10\.96\.7\.7$/m)
    t.notMatch(await n.exec('unlinked', 'main', 'env'), /MY_DB/)
  })
})
