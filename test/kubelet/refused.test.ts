// Pods that ask for what cannot be: the states, reasons, messages and events that Kubernetes gives, and what helps. Needs root.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ConfigMap, type PodSpec, RuntimeClass, Secret } from '../../src/api/index.js'
import { kubectl, versions } from './kubectl.js'
import { FOREVER, isReady, nodeScene, options, shell, statusOf } from './scene.js'

t.setTimeout(240_000)

interface Case {
  readonly spec: Partial<PodSpec>
  /** Of the container `main`. */
  readonly waiting: string
  readonly message?: RegExp
  readonly event: readonly [reason: string, message: RegExp]
}

t.test('what cannot be', options, async (t) => {
  t.setTimeout(200_000)
  const n = await nodeScene({ maxPods: 40 })
  t.teardown(() => n.end())
  await n.s.images.import(join(n.s.dir, 'busybox'), { name: 'test.local/nobody:1', config: { User: 'nobody-here', Cmd: ['/bin/sh'] } })
  const mounting = (volume: NonNullable<PodSpec['volumes']>[number], more: object = {}): Partial<PodSpec> => ({
    volumes: [volume],
    containers: [shell(FOREVER, { volumeMounts: [{ name: volume.name, mountPath: '/v', ...more }] })],
  })
  const folder = join(n.s.dir, 'folder')
  mkdirSync(folder)
  writeFileSync(join(folder, 'file'), '')
  await n.client.create(ConfigMap, {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'there', namespace: 'default' },
    data: { a: '1' },
  })
  await n.client.create(Secret, { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'there', namespace: 'default' }, type: 'Opaque' })
  await n.run('bystander', { containers: [shell(FOREVER)] })
  await n.wait('bystander', isReady)

  const cases: Readonly<Record<string, Case>> = {
    'no-map': {
      spec: { containers: [shell(FOREVER, { envFrom: [{ configMapRef: { name: 'missing' } }] })] },
      waiting: 'CreateContainerConfigError',
      message: /^configmap "missing" not found$/,
      event: ['Failed', /^Error: configmap "missing" not found$/],
    },
    'no-key': {
      spec: { containers: [shell(FOREVER, { env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'there', key: 'b' } } }] })] },
      waiting: 'CreateContainerConfigError',
      message: /^couldn't find key b in ConfigMap default\/there$/,
      event: ['Failed', /^Error: couldn't find key b in ConfigMap default\/there$/],
    },
    'no-secret-key': {
      spec: { containers: [shell(FOREVER, { env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 'there', key: 'b' } } }] })] },
      waiting: 'CreateContainerConfigError',
      message: /^couldn't find key b in Secret default\/there$/,
      event: ['Failed', /^Error: couldn't find key b in Secret default\/there$/],
    },
    'no-user': {
      spec: { containers: [shell(FOREVER, { image: 'test.local/nobody:1' })] },
      waiting: 'CreateContainerError',
      message: /nobody-here/,
      event: ['Failed', /^Error: .*nobody-here/],
    },
    'no-name-for-root': {
      spec: { securityContext: { runAsNonRoot: true }, containers: [shell(FOREVER, { image: 'test.local/nobody:1' })] },
      waiting: 'CreateContainerConfigError',
      message: /^container has runAsNonRoot and image has non-numeric user \(nobody-here\), cannot verify user is non-root/,
      event: ['Failed', /^Error: container has runAsNonRoot/],
    },
    'root-forbidden': {
      spec: { securityContext: { runAsNonRoot: true }, containers: [shell(FOREVER)] },
      waiting: 'CreateContainerConfigError',
      message: /^container has runAsNonRoot and image will run as root/,
      event: ['Failed', /^Error: container has runAsNonRoot and image will run as root/],
    },
    'no-image': {
      spec: { containers: [shell(FOREVER, { image: 'test.local/nothing:1', imagePullPolicy: 'Never' })] },
      waiting: 'ErrImageNeverPull',
      message: /^Container image "test\.local\/nothing:1" is not present with pull policy of Never$/,
      event: ['ErrImageNeverPull', /^Container image "test\.local\/nothing:1" is not present with pull policy of Never$/],
    },
    'bad-name': {
      spec: { containers: [shell(FOREVER, { image: 'UPPER/CASE' })] },
      waiting: 'InvalidImageName',
      message: /^Failed to apply default image tag "UPPER\/CASE": couldn't parse image name "UPPER\/CASE": invalid reference format/,
      event: ['InspectFailed', /^Failed to apply default image tag "UPPER\/CASE"/],
    },
    'no-registry': {
      spec: { containers: [shell(FOREVER, { image: '127.0.0.1:9/team/app:1' })] },
      waiting: 'ImagePullBackOff',
      message: /^Back-off pulling image "127\.0\.0\.1:9\/team\/app:1": ErrImagePull: /,
      event: ['BackOff', /^Back-off pulling image "127\.0\.0\.1:9\/team\/app:1"$/],
    },
    'no-volume-map': {
      spec: mounting({ name: 'm', configMap: { name: 'missing' } }),
      waiting: 'ContainerCreating',
      event: ['FailedMount', /^MountVolume\.SetUp failed for volume "m" : configmap "missing" not found$/],
    },
    'no-volume-key': {
      spec: mounting({ name: 'm', configMap: { name: 'there', items: [{ key: 'b', path: 'b' }] } }),
      waiting: 'ContainerCreating',
      event: ['FailedMount', /^MountVolume\.SetUp failed for volume "m" : configmap references non-existent config key: b$/],
    },
    'no-volume-secret': {
      spec: mounting({ name: 's', secret: { secretName: 'missing' } }),
      waiting: 'ContainerCreating',
      event: ['FailedMount', /^MountVolume\.SetUp failed for volume "s" : secret "missing" not found$/],
    },
    'no-bundle': {
      spec: mounting({ name: 'b', projected: { sources: [{ clusterTrustBundle: { name: 'missing', path: 'ca.pem' } }] } }),
      waiting: 'ContainerCreating',
      event: ['FailedMount', /^MountVolume\.SetUp failed for volume "b" : clustertrustbundle "missing" not found$/],
    },
    'no-device': {
      spec: mounting({ name: 'd', hostPath: { path: join(folder, 'device'), type: 'BlockDevice' } }),
      waiting: 'ContainerCreating',
      event: ['FailedMount', /^MountVolume\.SetUp failed for volume "d" : hostPath type check failed: .*\/device is not a block device$/],
    },
    'not-a-folder': {
      spec: mounting({ name: 'd', hostPath: { path: join(folder, 'file'), type: 'Directory' } }),
      waiting: 'ContainerCreating',
      event: ['FailedMount', /: hostPath type check failed: .*\/file is not a directory$/],
    },
    climbs: {
      spec: mounting({ name: 'h', hostPath: { path: folder } }, { subPathExpr: '$(UP)/etc' }),
      waiting: 'CreateContainerConfigError',
      message: /^missing value for "UP"$/,
      event: ['Failed', /^Error: missing value for "UP"$/],
    },
    'climbs-out': {
      spec: {
        ...mounting({ name: 'h', hostPath: { path: folder } }),
        containers: [
          shell(FOREVER, { env: [{ name: 'UP', value: '..' }], volumeMounts: [{ name: 'h', mountPath: '/v', subPathExpr: '$(UP)/etc' }] }),
        ],
      },
      waiting: 'CreateContainerConfigError',
      message: /must not contain '\.\.'/,
      event: ['Failed', /must not contain '\.\.'/],
    },
    'no-profile': {
      spec: { securityContext: { seccompProfile: { type: 'Localhost', localhostProfile: 'missing.json' } }, containers: [shell(FOREVER)] },
      waiting: 'CreateContainerError',
      message: /missing\.json/,
      event: ['Failed', /^Error: .*missing\.json/],
    },
  }

  t.test('every one has its reason, its words and its event; others are untouched', async (t) => {
    for (const [name, { spec }] of Object.entries(cases)) await n.run(name, spec)
    for (const [name, { waiting, message, event }] of Object.entries(cases)) {
      const pod = await n.wait(name, (now) => statusOf(now)?.state?.waiting?.reason === waiting)
      t.equal(pod.status?.phase, 'Pending', name)
      if (message) t.match(statusOf(pod)?.state?.waiting?.message, message, name)
      t.ok(await n.eventWith(name, ...event), name)
    }
    t.match(statusOf(await n.get('bystander')), { ready: true, restartCount: 0 })
    for (const name of Object.keys(cases)) await n.remove(name)
    for (const name of Object.keys(cases)) await n.gone(name)
  })

  t.test('a program that is not there: the run has failed before it began', async (t) => {
    await n.run('never', { restartPolicy: 'Never', containers: [shell('', { command: ['/no/such/program'] })] })
    await n.run('always', { containers: [shell('', { command: ['not-in-path'] })] })
    await n.run('no-folder', { restartPolicy: 'Never', containers: [shell('true', { workingDir: '/bin/sh/no' })] })
    const never = await n.wait('never', ({ status }) => status?.phase === 'Failed')
    t.match(statusOf(never)?.state, { terminated: { exitCode: 128, reason: 'StartError', message: /no such file or directory/ } })
    t.ok(await n.eventWith('never', 'Failed', /^Error: .*no such file or directory/))
    const always = await n.wait('always', (pod) => statusOf(pod)?.state?.waiting?.reason === 'CrashLoopBackOff')
    t.match(statusOf(always)?.lastState, {
      terminated: { exitCode: 128, reason: 'StartError', message: /executable file not found in \$PATH/ },
    })
    t.match(statusOf(always)?.state?.waiting?.message, /^back-off 10s restarting failed container=main pod=always_default\([0-9a-f-]+\)$/)
    await n.wait(
      'no-folder',
      ({ status }) => status?.phase === 'Failed' || status?.containerStatuses?.[0]?.state?.waiting?.reason === 'CreateContainerError',
    )
    for (const name of ['never', 'always', 'no-folder']) await n.remove(name, 0)
  })

  t.test('turned away by the node: Failed at once, and kubectl shows why', async (t) => {
    const refused: Readonly<Record<string, readonly [spec: Partial<PodSpec>, reason: string, message: RegExp]>> = {
      picky: [
        { nodeSelector: { disk: 'gold' }, containers: [shell(FOREVER)] },
        'NodeAffinity',
        /^Pod was rejected: Predicate NodeAffinity failed/,
      ],
      huge: [
        { containers: [shell(FOREVER, { resources: { requests: { cpu: '5000' } } })] },
        'OutOfcpu',
        /^Pod was rejected: Node didn't have enough resource: cpu, requested: 5000000, used: \d+, capacity: \d+$/,
      ],
      ...(existsSync('/sys/module/apparmor')
        ? {}
        : {
            apparmor: [
              { securityContext: { appArmorProfile: { type: 'RuntimeDefault' } }, containers: [shell(FOREVER)] },
              'AppArmor',
              /^Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host$/,
            ],
          }),
      sysctl: [
        { securityContext: { sysctls: [{ name: 'kernel.msgmax', value: '1' }] }, containers: [shell(FOREVER)] },
        'SysctlForbidden',
        /^Pod was rejected: forbidden sysctl: "kernel\.msgmax" not allowlisted$/,
      ],
    }
    for (const [name, [spec]] of Object.entries(refused)) await n.run(name, spec)
    for (const [name, [, reason, message]] of Object.entries(refused)) {
      const pod = await n.wait(name, ({ status }) => status?.phase === 'Failed')
      t.match(pod.status, { reason, message })
      t.notOk(pod.status?.containerStatuses, 'no container is said to be on its way')
      t.ok(await n.eventWith(name, reason))
      for (const version of versions) t.match((await kubectl(n, version).run('get', 'pod', name)).stdout, new RegExp(`\\b${reason}\\b`))
    }
    await n.daemon().stop()
    await n.start()
    for (const name of Object.keys(refused)) t.notOk((await n.get(name))?.status?.containerStatuses, 'nor by the next daemon')
    for (const name of Object.keys(refused)) await n.remove(name)
    for (const name of Object.keys(refused)) await n.gone(name)
  })

  t.test('no place for one more', async (t) => {
    await n.daemon().stop()
    await n.start({ maxPods: 1 })
    await n.run('more', { containers: [shell(FOREVER)] })
    const pod = await n.wait('more', ({ status }) => status?.phase === 'Failed')
    t.match(pod.status, {
      reason: 'OutOfpods',
      message: "Pod was rejected: Node didn't have enough resource: pods, requested: 1, used: 1, capacity: 1",
    })
    await n.remove('more')
    await n.gone('more')
    await n.daemon().stop()
    await n.start()
  })

  t.test('a sandbox that cannot be made, until it can', async (t) => {
    const handler = { apiVersion: 'node.k8s.io/v1', kind: 'RuntimeClass', metadata: { name: 'odd' }, handler: 'nobody' } as const
    await n.client.create(RuntimeClass, handler)
    await n.run('classy', { runtimeClassName: 'odd', containers: [shell(FOREVER)] })
    t.ok(await n.eventWith('classy', 'FailedCreatePodSandBox', /^Failed to create pod sandbox: .*nobody/))
    await n.wait('classy', (pod) => statusOf(pod)?.state?.waiting?.reason === 'ContainerCreating')
    await n.client.delete(RuntimeClass, { name: 'odd' })
    await n.client.create(RuntimeClass, { ...handler, handler: 'runc' }).catch(() => {})
    await n.remove('classy')
    await n.gone('classy')
  })
})
