// ConfigMap and Secret; claims and volumes; an application of two tiers that keeps its data.
import { until } from '../../machines/until.js'
import { type Chapter, shows } from '../chapter.js'

export const configuration: Chapter = async (t, cluster) => {
  const { kube, apply, machines } = cluster
  const [one] = machines
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
  await shows(cluster, 'configured', 'Running')
  t.equal((await kube('logs', 'configured')).trim().replace(/\n/g, ' '), 'blue correct-horse-battery bluecorrect-horse-battery')
  // The store is on this disk (what is no secret is found in it), and the Secret cannot be read there.
  const inStore = async (word: string): Promise<number> => (await one.exec(['grep', '-rqaF', word, '/var/lib/knarr/store'])).code
  t.equal(await inStore('"COLOR":"blue"'), 0)
  t.equal(await inStore('correct-horse-battery'), 1)
  t.equal(await inStore(Buffer.from('correct-horse-battery').toString('base64')), 1)
}

const claim = (name: string, more: string): string =>
  `apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: { name: ${name} }\nspec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: 1Gi } }${more} }\n`

const job = (name: string, claimName: string, command: string): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${name} }
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers:
  - { name: c, image: bb, imagePullPolicy: IfNotPresent, command: [sh, -c, '${command}'], volumeMounts: [{ name: data, mountPath: /data }] }
  volumes: [{ name: data, persistentVolumeClaim: { claimName: ${claimName} } }]
`

export const volumes: Chapter = async (t, cluster) => {
  const { kube, apply, machines } = cluster
  const [, two] = machines
  await apply(claim('keep', ''))
  await apply(job('writer', 'keep', 'echo kept > /data/file'))
  await shows(cluster, 'writer', 'Completed')
  await kube('delete', 'pod', 'writer', '--now')
  await apply(job('reader', 'keep', 'cat /data/file'))
  await shows(cluster, 'reader', 'Completed')
  t.equal((await kube('logs', 'reader')).trim(), 'kept')
  t.match(await kube('get', 'pvc', 'keep'), /Bound/)

  // A volume that an administrator has made, on a folder of one machine.
  await two.must(['sh', '-c', 'mkdir -p /mnt/archive && echo from the machine > /mnt/archive/file'])
  await apply(`
apiVersion: v1
kind: PersistentVolume
metadata: { name: archive, labels: { kind: archive } }
spec:
  capacity: { storage: 2Gi }
  accessModes: [ReadWriteOnce]
  storageClassName: manual
  persistentVolumeReclaimPolicy: Retain
  hostPath: { path: /mnt/archive }
  nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [{ key: kubernetes.io/hostname, operator: In, values: [two] }] }] } }
`)
  await until('the volume is there', async () => (await kube('get', 'pv', 'archive')).includes('Available'))
  await apply(claim('archive', ', storageClassName: manual, selector: { matchLabels: { kind: archive } }'))
  await until('the claim is bound', async () => /archive +Bound +archive +2Gi +RWO +manual/.test(await kube('get', 'pvc', 'archive')))
  await apply(job('archivist', 'archive', 'cat /data/file; echo from a pod > /data/answer'))
  await shows(cluster, 'archivist', 'Completed')
  t.equal((await kube('logs', 'archivist')).trim(), 'from the machine')
  t.equal((await two.must(['cat', '/mnt/archive/answer'])).trim(), 'from a pod')
  await kube('delete', 'pod', 'archivist', 'reader', '--now')
  await kube('delete', 'pvc', 'archive')
  await until('the volume is released, and kept', async () => (await kube('get', 'pv', 'archive')).includes('Released'))
  await kube('delete', 'pv', 'archive')
}

const REDIS = `
apiVersion: v1
kind: Secret
metadata: { name: redis }
stringData: { password: quite-a-secret }
---
${claim('redis', '')}
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: redis }
spec:
  strategy: { type: Recreate }
  selector: { matchLabels: { app: redis } }
  template:
    metadata: { labels: { app: redis } }
    spec:
      containers:
      - name: redis
        image: redis
        imagePullPolicy: IfNotPresent
        command: [redis-server, --dir, /data, --appendonly, 'yes', --appendfsync, always, --requirepass, $(PASSWORD), --protected-mode, 'no']
        env: [{ name: PASSWORD, valueFrom: { secretKeyRef: { name: redis, key: password } } }]
        readinessProbe: { tcpSocket: { port: 6379 }, periodSeconds: 1 }
        volumeMounts: [{ name: data, mountPath: /data }]
      volumes: [{ name: data, persistentVolumeClaim: { claimName: redis } }]
---
apiVersion: v1
kind: Service
metadata: { name: redis }
spec: { selector: { app: redis }, ports: [{ port: 6379 }] }
`

const FRONT = `
apiVersion: v1
kind: ConfigMap
metadata: { name: front }
data:
  GREETING: Visitors so far
  STORE: redis.default.svc.cluster.local
  count: |
    #!/bin/sh
    printf 'content-type: text/plain\\n\\n'
    printf 'AUTH %s\\r\\nINCR visitors\\r\\nQUIT\\r\\n' "$PASSWORD" | nc -w 5 "$STORE" 6379 | sed -n "s/^:/$GREETING: /p"
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: front }
spec:
  replicas: 2
  selector: { matchLabels: { app: front } }
  template:
    metadata: { labels: { app: front } }
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: front
        image: bb
        imagePullPolicy: IfNotPresent
        command: [httpd, -f, -p, '8080', -h, /www]
        envFrom: [{ configMapRef: { name: front } }]
        env: [{ name: PASSWORD, valueFrom: { secretKeyRef: { name: redis, key: password } } }]
        readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 }
        volumeMounts: [{ name: scripts, mountPath: /www/cgi-bin }]
      volumes: [{ name: scripts, configMap: { name: front, defaultMode: 0755, items: [{ key: count, path: count }] } }]
---
apiVersion: v1
kind: Service
metadata: { name: front }
spec: { type: NodePort, selector: { app: front }, ports: [{ port: 80, targetPort: 8080 }] }
`

export const twoTiers: Chapter = async (t, { kube, apply, machines, network }) => {
  await apply(REDIS)
  await apply(FRONT)
  for (const name of ['redis', 'front']) await kube('rollout', 'status', `deploy/${name}`, '--timeout=300s')
  const port = await kube('get', 'service', 'front', '-o', 'jsonpath={.spec.ports[0].nodePort}')
  const visit = (machine: number): Promise<number> =>
    until('a visit', async () => {
      const { stdout } = await network.exec(['curl', '-s', '-m', '5', `${machines[machine]?.address}:${port}/cgi-bin/count`])
      return Number(/^Visitors so far: (\d+)/.exec(stdout)?.[1]) || undefined
    })
  t.equal(await visit(0), 1)
  t.equal(await visit(1), 2)
  t.equal(await visit(2), 3)
  const before = await kube('get', 'pods', '-l', 'app=redis', '-o', 'name')
  await kube('delete', before.trim(), '--timeout=300s')
  await kube('rollout', 'status', 'deploy/redis', '--timeout=300s')
  t.not(await kube('get', 'pods', '-l', 'app=redis', '-o', 'name'), before)
  t.equal(await visit(0), 4, 'the count went on where it was')
  await kube('delete', 'deploy,service', 'front', 'redis')
}
