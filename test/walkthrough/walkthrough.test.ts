// Needs root. What an introductory course does, with the real kubectl against three machines; what it prints is checked.
import t from 'tap'
import { createCluster, KNARR, type TestCluster } from './cluster.js'
import { importBusybox } from './image.js'

const web = (replicas: number, text: string, more = ''): string => `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: ${replicas}
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      terminationGracePeriodSeconds: 2
      containers:
      - name: web
        image: bb
        imagePullPolicy: IfNotPresent
        command: [sh, -c, 'echo "${text} $(hostname)" > /www/index.html; exec httpd -f -p 8080 -h /www']
        ports: [{ containerPort: 8080 }]
        readinessProbe: { httpGet: { path: /, port: 8080 }, periodSeconds: 1 }
${more}`

async function courses(t: Tap, cluster: TestCluster): Promise<void> {
  const { kube, kubectl, apply, until, machines, network } = cluster
  const [one, two, three] = machines
  const running = async (name: string): Promise<boolean> => (await kube('get', 'pod', name, '--no-headers')).includes('Running')

  await t.test('nodes wait for a pod network, then are Ready', async (t) => {
    t.equal((await kube('get', 'nodes', '--no-headers')).match(/NotReady/g)?.length, 3)
    t.match(await kube('describe', 'node', 'two'), /network plugin is not ready/i)
    await kube('apply', '-f', `${KNARR.replace(/knarr$/, '')}addons/pod-network.yaml`)
    await until('three Ready nodes', async () => (await kube('get', 'nodes', '--no-headers')).match(/ Ready /g)?.length === 3)
    t.match(await kube('get', 'nodes', '-o', 'wide'), new RegExp(`${two.address}`))
    await importBusybox(machines)
  })

  await t.test('a pod from creation to Running, described', async (t) => {
    await kube(
      'run',
      'hello',
      '--image=bb',
      '--image-pull-policy=IfNotPresent',
      '--',
      'sh',
      '-c',
      'echo hello from $(hostname); exec sleep 1000',
    )
    await until('hello runs', () => running('hello'))
    t.equal((await kube('logs', 'hello')).trim(), 'hello from hello')
    const described = await kube('describe', 'pod', 'hello')
    for (const part of [
      /Node: +(one|two|three)\/10\./,
      /IP: +10\.244\./,
      /Container ID: +knarr:\/\//,
      /Ready +True/,
      /Scheduled[\s\S]*Pulled[\s\S]*Created[\s\S]*Started/,
    ])
      t.match(described, part)
    t.equal((await kube('exec', 'hello', '--', 'hostname')).trim(), 'hello')
    t.match((await kubectl('logs', 'hello', '--previous')).stderr, /previous terminated container "hello" in pod "hello" not found/)
    const missing = await kubectl('get', 'pod', 'nobody')
    t.match(missing.stderr, /pods "nobody" not found/)
  })

  await t.test('init containers and several containers', async (t) => {
    await apply(`
apiVersion: v1
kind: Pod
metadata: { name: pair }
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{ name: shared, emptyDir: {} }]
  initContainers:
  - { name: first, image: bb, imagePullPolicy: IfNotPresent, command: [sh, -c, 'echo made > /shared/file'], volumeMounts: [{ name: shared, mountPath: /shared }] }
  containers:
  - { name: a, image: bb, imagePullPolicy: IfNotPresent, command: [sh, -c, 'cat /shared/file; exec sleep 1000'], volumeMounts: [{ name: shared, mountPath: /shared }] }
  - { name: b, image: bb, imagePullPolicy: IfNotPresent, command: [sleep, '1000'] }
`)
    await until('both run', async () => (await kube('get', 'pod', 'pair', '--no-headers')).includes('2/2'))
    t.equal((await kube('logs', 'pair', '-c', 'a')).trim(), 'made')
    t.match((await kubectl('logs', 'pair')).stderr + (await kubectl('logs', 'pair')).stdout, /Defaulted container "a"|made/)
    await kube('delete', 'pod', 'pair', 'hello', '--now')
  })

  await t.test('mistakes get the answers that everybody knows', async (t) => {
    const wrong = await one.exec(['kubectl', 'apply', '-f', '-'], {
      input: 'apiVersion: v1\nkind: ReplicaSet\nmetadata: {name: x}\n',
      env: { KUBECONFIG: '/etc/knarr/admin.conf' },
    })
    t.match(wrong.stderr, /no matches for kind "ReplicaSet" in version "v1"/)
    const invalid = await kubectl('create', 'configmap', 'Upper_Case')
    t.match(invalid.stderr, /is invalid: metadata\.name: Invalid value/)
  })

  await t.test('a Deployment: made, healed, scaled, rolled, undone', async (t) => {
    await apply(web(3, 'v1'))
    t.match(await kube('rollout', 'status', 'deploy/web', '--timeout=120s'), /deployment "web" successfully rolled out/)
    t.match(await kube('get', 'all'), /deployment\.apps\/web +3\/3 +3 +3/)
    const [victim = ''] = (await kube('get', 'pods', '-l', 'app=web', '-o', 'name')).split('\n')
    await kube('delete', victim, '--now')
    await until('healed', async () => (await kube('get', 'deploy', 'web', '--no-headers')).includes('3/3'))
    await kube('scale', 'deploy/web', '--replicas=5')
    await kube('rollout', 'status', 'deploy/web', '--timeout=120s')
    await apply(web(5, 'v2'))
    await kube('annotate', 'deploy/web', 'kubernetes.io/change-cause=second version')
    await kube('rollout', 'status', 'deploy/web', '--timeout=120s')
    t.match(await kube('rollout', 'history', 'deploy/web'), /REVISION +CHANGE-CAUSE\n1 +<none>\n2 +second version/)
    t.match(await kube('describe', 'deploy', 'web'), /ScalingReplicaSet[\s\S]*Scaled up replica set web-\w+ from 0 to 3/)
    t.match(await kube('rollout', 'undo', 'deploy/web'), /rolled back/)
    await kube('rollout', 'status', 'deploy/web', '--timeout=120s')
    await until(
      'the old pods are gone',
      async () => (await kube('get', 'pods', '-l', 'app=web', '-o', 'name')).trim().split('\n').length === 5,
    )
  })

  await t.test('Services: from outside on every machine, by name from a pod, across nodes without NAT', async (t) => {
    await kube('expose', 'deploy', 'web', '--port=80', '--target-port=8080', '--type=NodePort')
    const port = await kube('get', 'service', 'web', '-o', 'jsonpath={.spec.ports[0].nodePort}')
    for (const machine of machines) {
      const answer = await until(`node port on ${machine.name}`, async () => {
        const { stdout } = await network.exec(['curl', '-s', '-m', '5', `${machine.address}:${port}`])
        return stdout.startsWith('v1 web-') ? stdout : undefined
      })
      t.match(answer, /^v1 web-/)
    }
    await kube('run', 'client', '--image=bb', '--image-pull-policy=IfNotPresent', '--', 'sleep', '1000')
    await until('client runs', () => running('client'))
    t.match(await kube('exec', 'client', '--', 'wget', '-qO-', 'http://web.default.svc.cluster.local'), /^v1 web-/)
    t.match(await kube('exec', 'client', '--', 'wget', '-qO-', 'http://web'), /^v1 web-/)
    const seen = await kube('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={range .items[*]}{.spec.nodeName} {.status.podIP}{"\\n"}{end}')
    t.equal(
      new Set(
        seen
          .trim()
          .split('\n')
          .map((line) => line.split(' ')[0]),
      ).size,
      3,
      'pods are on all machines',
    )
    for (const line of seen.trim().split('\n'))
      t.match(await kube('exec', 'client', '--', 'wget', '-qO-', `http://${line.split(' ')[1]}:8080`), /^v1 web-/)
    t.match(
      (await two.exec(['curl', '-s', '-m', '5', `${seen.trim().split(' ')[1]?.split('\n')[0]}:8080`])).stdout,
      /^v1 web-/,
      'a node reaches pods',
    )
  })

  await t.test('ConfigMap and Secret as environment and as files; the Secret is unreadable in the store', async (t) => {
    await kube('create', 'configmap', 'settings', '--from-literal=COLOR=blue')
    await kube('create', 'secret', 'generic', 'password', '--from-literal=word=correct-horse-battery')
    await apply(`
apiVersion: v1
kind: Pod
metadata: { name: configured }
spec:
  terminationGracePeriodSeconds: 1
  nodeName: two
  containers:
  - name: c
    image: bb
    imagePullPolicy: IfNotPresent
    command: [sh, -c, 'echo $COLOR $WORD $(cat /config/COLOR /secret/word); exec sleep 1000']
    envFrom: [{ configMapRef: { name: settings } }]
    env: [{ name: WORD, valueFrom: { secretKeyRef: { name: password, key: word } } }]
    volumeMounts: [{ name: config, mountPath: /config }, { name: secret, mountPath: /secret }]
  volumes:
  - { name: config, configMap: { name: settings } }
  - { name: secret, secret: { secretName: password } }
`)
    await until('configured runs', () => running('configured'))
    t.equal((await kube('logs', 'configured')).trim().replace(/\n/g, ' '), 'blue correct-horse-battery bluecorrect-horse-battery')
    t.not((await one.exec(['grep', '-rq', 'correct-horse-battery', '/var/lib/knarr/store'])).code, 0)
    t.not((await one.exec(['grep', '-rqE', Buffer.from('correct-horse-battery').toString('base64'), '/var/lib/knarr/store'])).code, 0)
  })

  await t.test('data outlives its pod: a claim on the standard storage class', async (t) => {
    const pod = (name: string, command: string): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${name} }
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers:
  - { name: c, image: bb, imagePullPolicy: IfNotPresent, command: [sh, -c, '${command}'], volumeMounts: [{ name: data, mountPath: /data }] }
  volumes: [{ name: data, persistentVolumeClaim: { claimName: keep } }]
`
    await apply(
      'apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: { name: keep }\nspec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: 1Gi } } }\n',
    )
    await apply(pod('writer', 'echo kept > /data/file'))
    await until('writer is done', async () => (await kube('get', 'pod', 'writer', '--no-headers')).includes('Completed'))
    await kube('delete', 'pod', 'writer', '--now')
    await apply(pod('reader', 'cat /data/file'))
    await until('reader is done', async () => (await kube('get', 'pod', 'reader', '--no-headers')).includes('Completed'))
    t.equal((await kube('logs', 'reader')).trim(), 'kept')
    t.match(await kube('get', 'pvc', 'keep'), /Bound/)
  })

  await t.test('a failing liveness probe restarts, a failing readiness probe takes out of the Service', async (t) => {
    await apply(`
apiVersion: v1
kind: Pod
metadata: { name: probed, labels: { app: probed } }
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: bb
    imagePullPolicy: IfNotPresent
    command: [sh, -c, 'touch /tmp/alive /tmp/ready; exec sleep 1000']
    livenessProbe: { exec: { command: [cat, /tmp/alive] }, periodSeconds: 1, failureThreshold: 1 }
    readinessProbe: { exec: { command: [cat, /tmp/ready] }, periodSeconds: 1, failureThreshold: 1 }
`)
    await kube('expose', 'pod', 'probed', '--port=80')
    const addresses = (): Promise<string> =>
      kube('get', 'endpointslices', '-l', 'kubernetes.io/service-name=probed', '-o', 'jsonpath={.items[*].endpoints[*].conditions.ready}')
    await until('in the Service', async () => (await addresses()).trim() === 'true')
    await kube('exec', 'probed', '--', 'rm', '/tmp/ready')
    await until('out of the Service', async () => (await addresses()).trim() !== 'true')
    await kube('exec', 'probed', '--', 'rm', '/tmp/alive')
    await until(
      'restarted',
      async () => Number(await kube('get', 'pod', 'probed', '-o', 'jsonpath={.status.containerStatuses[0].restartCount}')) > 0,
    )
    t.match(await kube('describe', 'pod', 'probed'), /Unhealthy[\s\S]*probe failed/)
  })

  await t.test('who may do what; what may not run', async (t) => {
    await kube('create', 'serviceaccount', 'viewer')
    await kube('create', 'rolebinding', 'viewer', '--clusterrole=view', '--serviceaccount=default:viewer')
    const as = '--as=system:serviceaccount:default:viewer'
    t.equal((await kube('auth', 'can-i', 'list', 'pods', as)).trim(), 'yes')
    t.equal((await kubectl('auth', 'can-i', 'delete', 'pods', as)).stdout.trim(), 'no')
    t.match(
      (await kubectl('delete', 'pod', 'client', as)).stderr,
      /pods "client" is forbidden: User "system:serviceaccount:default:viewer" cannot delete resource "pods"/,
    )
    await kube('create', 'namespace', 'strict')
    await kube('label', 'namespace', 'strict', 'pod-security.kubernetes.io/enforce=restricted')
    t.match((await kubectl('-n', 'strict', 'run', 'bad', '--image=bb', '--privileged')).stderr, /violates PodSecurity "restricted:latest"/)
    await kube('delete', 'namespace', 'strict', '--timeout=60s')
  })

  await t.test('drain and uncordon', async (t) => {
    await kube('drain', 'two', '--ignore-daemonsets', '--force', '--delete-emptydir-data', '--grace-period=1', '--timeout=120s')
    t.match(await kube('get', 'node', 'two'), /Ready,SchedulingDisabled/)
    t.notMatch(await kube('get', 'pods', '-l', 'app=web', '-o', 'wide'), / two /)
    await kube('uncordon', 'two')
  })

  await t.test('agent and server killed: pods run on, nothing is lost', async (t) => {
    const [pod = ''] = (
      await kube('get', 'pods', '-l', 'app=web', '--field-selector=status.phase=Running', '-o', 'jsonpath={.items[*].metadata.name}')
    ).split(' ')
    const before = await kube(
      'get',
      'pod',
      pod,
      '-o',
      'jsonpath={.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}',
    )
    await kube('create', 'configmap', 'written-before', '--from-literal=a=b')
    const kill = "for p in $(pgrep -f 'main.js (server|agent)'); do kill -9 $p && echo killed; done"
    for (const machine of machines) t.match(await machine.must(['sh', '-c', kill]), machine === one ? /killed\nkilled/ : /killed/)
    await until('API server is back', async () => (await kubectl('get', '--raw', '/readyz')).code === 0)
    t.match(await kube('get', 'configmap', 'written-before', '-o', 'jsonpath={.data.a}'), /b/)
    await until('nodes are Ready', async () => (await kube('get', 'nodes', '--no-headers')).match(/ Ready /g)?.length === 3)
    t.equal(
      await kube(
        'get',
        'pod',
        pod,
        '-o',
        'jsonpath={.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}',
      ),
      before,
    )
    t.match(await kube('exec', pod, '--', 'hostname'), new RegExp(pod))
  })

  await t.test('a machine goes for good, and leaves nothing behind', async (t) => {
    await kube('delete', 'node', 'three')
    await three.must([KNARR, 'reset'], { timeoutMs: 120_000 })
    const left = await three.must([
      'sh',
      '-c',
      'find /etc/knarr /var/lib/knarr /run/knarr /var/lib/kubelet -mindepth 1 2>/dev/null; ip route | grep 10.244; grep kubelet/pods /proc/mounts; ip -br link | grep -E "knarr|veth"; nft list ruleset | grep -E "knarr"; true',
    ])
    t.equal(left.trim(), '')
    await until('three replaced', async () => (await kube('get', 'deploy', 'web', '--no-headers')).includes('5/5'))
  })
}

type Tap = typeof t

t.test('three machines', { skip: process.getuid?.() === 0 ? false : 'needs root' }, async (t) => {
  const cluster = await createCluster(202)
  t.teardown(() => cluster.destroy())
  try {
    await courses(t as unknown as Tap, cluster)
  } finally {
    if (!t.passing())
      for (const machine of cluster.machines)
        t.comment((await machine.exec(['sh', '-c', 'tail -n 15 /var/log/knarr/*.log | cut -c1-400'])).stdout)
  }
})
