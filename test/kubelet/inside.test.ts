// Resources, identity, namespaces: what was asked for, seen from inside the container, from the kernel, and from the API. Needs root.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Node, Pod, type PodCondition } from '../../src/api/index.js'
import { conditionOf, FOREVER, IMAGE, isReady, NODE, nodeScene, options, shell, statusOf, until } from './scene.js'

t.setTimeout(240_000)

/** A file of a cgroup, in whichever hierarchy it is. */
function cgroupFile(path: string, ...names: readonly string[]): string {
  for (const name of names)
    for (const hierarchy of ['', name.split('.')[0] ?? '']) {
      const file = join('/sys/fs/cgroup', hierarchy, path, name)
      if (existsSync(file)) return readFileSync(file, 'utf8').trim()
    }
  throw new Error(`no ${names.join(' or ')} in ${path}`)
}

const field = (status: string, name: string): string => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1] ?? ''

t.test('inside', options, async (t) => {
  t.setTimeout(200_000)
  const n = await nodeScene({ podPidsLimit: 512 })
  t.teardown(() => n.end())
  const isV2 = existsSync('/sys/fs/cgroup/cgroup.controllers')

  t.test('resources: class, cgroups from the pod up to the class, OOM scores', async (t) => {
    const amounts = { cpu: '200m', memory: '64Mi' }
    await n.run('guaranteed', { containers: [shell(FOREVER, { resources: { limits: amounts, requests: amounts } })] })
    await n.run('burstable', {
      containers: [
        shell(FOREVER, { resources: { requests: { cpu: '500m' } } }),
        shell(FOREVER, { name: 'other', resources: { requests: { cpu: '250m' } } }),
      ],
    })
    await n.run('best', { containers: [shell(FOREVER)] })
    const pods = new Map<string, Pod>()
    for (const [name, qosClass] of [
      ['guaranteed', 'Guaranteed'],
      ['burstable', 'Burstable'],
      ['best', 'BestEffort'],
    ] as const) {
      const pod = await n.wait(name, isReady)
      pods.set(name, pod)
      t.equal(pod.status?.qosClass, qosClass)
      const score = Number(await n.exec(name, 'main', 'cat', '/proc/1/oom_score_adj'))
      // Without the right to lower it the daemon's own score is the least.
      if (name !== 'guaranteed') t.ok(score >= 900, `${name} ${score}`)
    }
    t.match(statusOf(pods.get('guaranteed')), { resources: { limits: amounts }, allocatedResources: amounts })
    const uid = (name: string): string => pods.get(name)?.metadata.uid ?? ''
    const root = n.cgroupRoot
    const guaranteed = `${root}/pod${uid('guaranteed')}`
    t.equal(cgroupFile(guaranteed, 'memory.limit_in_bytes', 'memory.max'), String(64 * 2 ** 20))
    t.equal(cgroupFile(guaranteed, 'pids.max'), '512')
    if (!isV2) {
      t.equal(cgroupFile(guaranteed, 'cpu.shares'), '204')
      t.equal(cgroupFile(guaranteed, 'cpu.cfs_quota_us'), '20000')
      t.equal(cgroupFile(`${root}/burstable/pod${uid('burstable')}`, 'cpu.shares'), '768')
      t.equal(cgroupFile(`${root}/burstable`, 'cpu.shares'), '768', 'the class has what its pods ask for')
      t.equal(cgroupFile(`${root}/besteffort`, 'cpu.shares'), '2')
      await n.run('burstable-2', { containers: [shell(FOREVER, { resources: { requests: { cpu: '100m' } } })] })
      await n.wait('burstable-2', isReady)
      t.equal(cgroupFile(`${root}/burstable`, 'cpu.shares'), '870')
      await n.remove('burstable-2')
      await n.gone('burstable-2')
      await until(async () => (cgroupFile(`${root}/burstable`, 'cpu.shares') === '768' ? true : undefined))
    }
    const memory = Number(cgroupFile(root, 'memory.limit_in_bytes', 'memory.max'))
    t.ok(memory > 0 && memory < 2 ** 50, 'all pods together have the memory of the node')
    for (const name of pods.keys()) await n.remove(name, 0)
  })

  t.test('too much memory: OOMKilled, and back again', async (t) => {
    await n.run('hungry', {
      restartPolicy: 'OnFailure',
      containers: [
        shell('', { command: ['dd', 'if=/dev/zero', 'of=/dev/null', 'bs=64M', 'count=8'], resources: { limits: { memory: '16Mi' } } }),
      ],
    })
    const pod = await n.wait(
      'hungry',
      (now) => (statusOf(now)?.restartCount ?? 0) >= 1 && statusOf(now)?.state?.waiting?.reason === 'CrashLoopBackOff',
    )
    t.match(statusOf(pod)?.lastState?.terminated, { reason: 'OOMKilled', exitCode: 137 })
    await n.remove('hungry', 0)
  })

  t.test('users, groups, rights', async (t) => {
    await n.run('rights', {
      securityContext: {
        runAsUser: 1234,
        runAsGroup: 2345,
        supplementalGroups: [3456],
        sysctls: [{ name: 'net.ipv4.ip_unprivileged_port_start', value: '80' }],
      },
      containers: [
        shell(FOREVER, {
          securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
        }),
        shell(FOREVER, { name: 'root', securityContext: { runAsUser: 0, capabilities: { add: ['NET_ADMIN'], drop: ['CHOWN'] } } }),
        shell(FOREVER, { name: 'all', securityContext: { runAsUser: 0, privileged: true } }),
        shell(FOREVER, { name: 'open', securityContext: { runAsUser: 0, seccompProfile: { type: 'Unconfined' } } }),
      ],
    })
    const pod = await n.wait('rights', isReady)
    t.match(statusOf(pod)?.user, { linux: { uid: 1234, gid: 2345, supplementalGroups: [2345, 3456] } })
    const main = await n.exec('rights', 'main', 'cat', '/proc/1/status')
    t.match(field(main, 'Uid'), /^1234\s/)
    t.match(field(main, 'Gid'), /^2345\s/)
    t.match(field(main, 'Groups'), /3456/)
    t.equal(field(main, 'NoNewPrivs'), '1')
    t.equal(field(main, 'Seccomp'), '2')
    t.match(field(main, 'CapEff'), /^0+$/)
    t.match(await n.exec('rights', 'main', 'touch', '/file'), /Read-only file system/)
    const root = await n.exec('rights', 'root', 'cat', '/proc/1/status')
    t.equal(field(root, 'NoNewPrivs'), '0')
    const effective = BigInt(`0x${field(root, 'CapEff')}`)
    t.ok(effective & (1n << 12n), 'NET_ADMIN')
    t.notOk(effective & 1n, 'CHOWN')
    t.equal(field(await n.exec('rights', 'open', 'cat', '/proc/1/status'), 'Seccomp'), '0')
    t.ok(BigInt(`0x${field(await n.exec('rights', 'all', 'cat', '/proc/1/status'), 'CapEff')}`) & (1n << 21n), 'SYS_ADMIN')
    t.equal(await n.exec('rights', 'root', 'cat', '/proc/sys/net/ipv4/ip_unprivileged_port_start'), '80\n')
    t.equal(await n.exec('rights', 'root', 'cat', '/proc/interrupts'), '', 'masked')
    await n.remove('rights', 0)
  })

  t.test('namespaces of the node, and of the pod', async (t) => {
    const script = `echo $$; ${FOREVER}`
    await n.run('host', { hostNetwork: true, hostPID: true, hostIPC: true, containers: [shell(script)] })
    await n.run('own', { shareProcessNamespace: true, containers: [shell(script), shell(script, { name: 'second' })] })
    const host = await n.wait('host', isReady)
    await n.wait('own', isReady)
    t.match(host.status, { podIP: '127.0.0.1', hostIP: '127.0.0.1', podIPs: [{ ip: '127.0.0.1' }] })
    const link = (kind: string, name = 'host'): Promise<string> => n.exec(name, 'main', 'readlink', `/proc/self/ns/${kind}`)
    for (const kind of ['ipc', 'net', 'pid']) t.not(await link(kind), await link(kind, 'own'), kind)
    t.match(await n.exec('host', 'main', 'cat', '/etc/hosts'), /^# Kubernetes-managed hosts file \(host network\)\.\n/)
    t.match(await n.exec('host', 'main', 'ps'), /node/, 'processes of the machine are seen')
    // A shell on its way to its next command may be there twice.
    t.ok(((await n.exec('own', 'main', 'ps')).match(/trap/g)?.length ?? 0) >= 2, 'those of the pod see each other')
    const ipc = (container: string): Promise<string> => n.exec('own', container, 'readlink', '/proc/self/ns/ipc')
    t.equal(await ipc('main'), await ipc('second'))
    for (const name of ['host', 'own']) await n.remove(name, 0)
  })

  t.test('hostPort leads from the node into the pod', async (t) => {
    const file = join(n.s.dir, 'net.d', '10-test.conflist')
    const network = JSON.parse(readFileSync(file, 'utf8')) as { plugins: object[] }
    writeFileSync(
      file,
      JSON.stringify({ ...network, plugins: [...network.plugins, { type: 'portmap', capabilities: { portMappings: true } }] }),
    )
    const web = 'mkdir -p /tmp/www; echo page > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www'
    await n.run('port', { containers: [shell(web, { ports: [{ containerPort: 8080, hostPort: 18080, protocol: 'TCP' }] })] })
    const pod = await n.wait('port', isReady)
    const gateway = (pod.status?.podIP ?? '').replace(/\.\d+$/, '.1')
    t.equal(
      await until(
        async () =>
          await fetch(`http://${gateway}:18080/`).then(
            (answer) => answer.text(),
            () => undefined,
          ),
      ),
      'page\n',
    )
    await n.run('taken', { containers: [shell(FOREVER, { ports: [{ containerPort: 8080, hostPort: 18080 }] })] })
    const taken = await n.wait('taken', ({ status }) => status?.phase === 'Failed')
    t.match(taken.status, { reason: 'NodePorts', message: /^Pod was rejected: / })
    t.notOk(taken.status?.containerStatuses)
    await n.remove('port')
    await n.gone('port')
    await t.rejects(fetch(`http://${gateway}:18080/`, { signal: AbortSignal.timeout(2_000) }))
    await n.remove('taken', 0)
  })

  t.test('readiness gates hold a pod back; generations are told', async (t) => {
    await n.run('gated', { readinessGates: [{ conditionType: 'example.com/open' }], containers: [shell(FOREVER)] })
    const closed = await n.wait('gated', (pod) => conditionOf(pod, 'ContainersReady') === 'True')
    t.match(
      closed.status?.conditions?.find(({ type }) => type === 'Ready'),
      { status: 'False', reason: 'ReadinessGatesNotReady', message: /"example\.com\/open" does not exist/ },
    )
    t.equal(closed.status?.observedGeneration, closed.metadata.generation)
    const open: PodCondition = { type: 'example.com/open', status: 'True' }
    await n.client.patch(Pod, closed.metadata, { status: { conditions: [open] } }, { type: 'strategic', subresource: 'status' })
    const pod = await n.wait('gated', isReady)
    t.match(
      pod.status?.conditions?.find(({ type }) => type === open.type),
      open,
      'conditions of others stay',
    )
    await n.client.patch(Pod, closed.metadata, { spec: { activeDeadlineSeconds: 3600 } }, { type: 'strategic' })
    const raised = await n.wait('gated', ({ metadata, status }) => metadata.generation === 2 && status?.observedGeneration === 2)
    for (const { type, observedGeneration } of raised.status?.conditions ?? []) if (type !== open.type) t.equal(observedGeneration, 2, type)
    await n.remove('gated', 0)
  })

  t.test('fields of node and pod, with the node standing in for limits that are not set', async (t) => {
    const env = (name: string, resource: string, divisor: string) => ({ name, valueFrom: { resourceFieldRef: { resource, divisor } } })
    const of = (name: string, fieldPath: string) => ({ name, valueFrom: { fieldRef: { fieldPath } } })
    await n.run('fields', {
      serviceAccountName: 'default',
      volumes: [
        {
          name: 'down',
          downwardAPI: {
            items: [{ path: 'memory', resourceFieldRef: { containerName: 'main', resource: 'limits.memory', divisor: '1Mi' } }],
          },
        },
      ],
      containers: [
        shell(FOREVER, {
          volumeMounts: [{ name: 'down', mountPath: '/down' }],
          env: [
            env('CPU', 'limits.cpu', '1m'),
            env('MEMORY', 'limits.memory', '1'),
            env('ASKED', 'requests.cpu', '1'),
            of('HOSTS', 'status.hostIPs'),
            of('PODS', 'status.podIPs'),
            of('UID_', 'metadata.uid'),
            of('ACCOUNT', 'spec.serviceAccountName'),
            of('ON', 'spec.nodeName'),
          ],
        }),
      ],
    })
    const pod = await n.wait('fields', isReady)
    const { allocatable = {} } = (await n.client.get(Node, { name: NODE })).status ?? {}
    const bytes = Number.parseInt(allocatable.memory ?? '', 10) * 1024
    const seen = Object.fromEntries((await n.exec('fields', 'main', 'env')).split('\n').map((line) => line.split(/=(.*)/s).slice(0, 2)))
    t.match(seen, {
      CPU: String(Number(allocatable.cpu) * 1000),
      MEMORY: String(bytes),
      ASKED: '0',
      HOSTS: '127.0.0.1',
      PODS: pod.status?.podIP,
      UID_: pod.metadata.uid,
      ACCOUNT: 'default',
      ON: NODE,
    })
    t.equal(await n.exec('fields', 'main', 'cat', '/down/memory'), String(Math.ceil(bytes / 2 ** 20)))
    await n.remove('fields', 0)
  })

  t.test('an image as a volume, and mounts that come and go', async (t) => {
    const host = join(n.s.dir, 'shared-mounts')
    mkdirSync(join(host, 'later'), { recursive: true })
    const system = (...args: readonly string[]): void => void execFileSync(args[0] as string, args.slice(1))
    system('mount', '--bind', host, host)
    system('mount', '--make-shared', host)
    try {
      await comeAndGo(t, host)
    } finally {
      system('umount', '-R', '-l', host)
    }
  })

  t.test('all of /proc, where the pod has users of its own and asks for it', async (t) => {
    const asks = { hostUsers: false, containers: [shell(FOREVER, { securityContext: { procMount: 'Unmasked' } })] }
    await n.run('unmasked', asks)
    await n.run('masked', { hostUsers: false, containers: [shell(FOREVER)] })
    await n.wait('unmasked', isReady)
    await n.wait('masked', isReady)
    const mounts = (name: string): Promise<string> => n.exec(name, 'main', 'sh', '-c', 'grep -c " /proc/" /proc/mounts; true')
    t.equal(await mounts('unmasked'), '0\n')
    t.ok(Number(await mounts('masked')) > 5)
    await n.remove('unmasked', 0)
    await n.remove('masked', 0)
  })

  t.test('read-only with all that is mounted below, where it is asked for', async (t) => {
    const host = join(n.s.dir, 'nested')
    mkdirSync(join(host, 'below'), { recursive: true })
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', join(host, 'below')])
    t.teardown(() => execFileSync('umount', ['-l', join(host, 'below')]))
    const mounted = (mode: string | undefined, more = {}) => ({
      name: 'host',
      mountPath: `/${mode ?? 'plain'}`,
      readOnly: true,
      ...(mode ? { recursiveReadOnly: mode } : {}),
      ...more,
    })
    const volumeMounts = [mounted(undefined), mounted('Disabled'), mounted('Enabled'), mounted('IfPossible')]
    await n.run('nested', { volumes: [{ name: 'host', hostPath: { path: host } }], containers: [shell(FOREVER, { volumeMounts })] })
    const pod = await n.wait('nested', isReady)
    const touch = (path: string): Promise<string> => n.exec('nested', 'main', 'touch', path)
    for (const mode of ['plain', 'Disabled', 'Enabled', 'IfPossible']) {
      t.match(await touch(`/${mode}/x`), /Read-only file system/)
      const recursive = mode === 'Enabled' || mode === 'IfPossible'
      const said = await touch(`/${mode}/below/x`)
      if (recursive) t.match(said, /Read-only file system/, mode)
      else t.equal(said, '', mode)
      t.match(
        statusOf(pod)?.volumeMounts?.find(({ mountPath }) => mountPath === `/${mode}`),
        { name: 'host', readOnly: true, recursiveReadOnly: recursive ? 'Enabled' : 'Disabled' },
        'and the status says so',
      )
    }
    await n.remove('nested', 0)
  })

  async function comeAndGo(t: Test, host: string): Promise<void> {
    await n.run('mounts', {
      volumes: [
        { name: 'image', image: { reference: IMAGE, pullPolicy: 'IfNotPresent' } },
        { name: 'host', hostPath: { path: host } },
      ],
      containers: [
        shell(FOREVER, {
          volumeMounts: [
            { name: 'image', mountPath: '/image' },
            { name: 'image', mountPath: '/part', subPath: 'etc' },
            { name: 'host', mountPath: '/private' },
            { name: 'host', mountPath: '/slave', mountPropagation: 'HostToContainer' },
          ],
        }),
        shell(FOREVER, {
          name: 'both',
          securityContext: { privileged: true },
          volumeMounts: [{ name: 'host', mountPath: '/both', mountPropagation: 'Bidirectional' }],
        }),
      ],
    })
    await n.wait('mounts', isReady)
    const run = (container: string, script: string): Promise<string> => n.exec('mounts', container, 'sh', '-c', script)
    t.match(await run('main', 'cat /image/etc/passwd'), /^root:/)
    t.match(await run('main', 'cat /part/group'), /^root:/)
    t.match(await run('main', 'touch /image/new'), /Read-only file system/)
    t.equal(await run('both', 'mount -t tmpfs tmpfs /both/later && touch /both/later/made'), '')
    t.ok(existsSync(join(host, 'later', 'made')), 'a mount of the container is seen on the node')
    t.match(await run('main', 'ls /slave/later'), /made/)
    t.notMatch(await run('main', 'ls /private/later'), /made/)
    await n.remove('mounts')
    await n.gone('mounts')
  }
})
