// Pods: from nothing to Running, described; several containers; the answers to mistakes.
import { until } from '../../machines/until.js'
import { type Chapter, lines, shows } from '../chapter.js'
import { KNARR } from '../cluster.js'
import { importBusybox, importRedis } from '../image.js'

export const nodes: Chapter = async (t, { kube, machines }) => {
  const [, two] = machines
  t.equal((await kube('get', 'nodes', '--no-headers')).match(/NotReady/g)?.length, 3)
  t.match(await kube('describe', 'node', 'two'), /network plugin is not ready/i)
  await kube('apply', '-f', KNARR.replace(/knarr$/, 'addons/pod-network.yaml'))
  await until('three Ready nodes', async () => (await kube('get', 'nodes', '--no-headers')).match(/ Ready /g)?.length === 3)
  t.match(await kube('get', 'nodes', '-o', 'wide'), new RegExp(`${two.address}`))
  await until('its pods run', async () => / 3 +3 +3 +3 /.test(await kube('-n', 'kube-system', 'get', 'daemonset', 'pod-network')))
  await Promise.all([importBusybox(machines), importRedis(machines)])
}

export const firstPod: Chapter = async (t, cluster) => {
  const { kube, kubectl, machines } = cluster
  const [one] = machines
  const watch = one.spawn(['sh', '-c', 'KUBECONFIG=/etc/knarr/admin.conf exec kubectl get pods --watch --no-headers >/mnt/watched'])
  await until('the watch is open', async () => (await one.exec(['pgrep', '-f', 'get pods --watch'])).code === 0)
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
  await shows(cluster, 'hello', 'Running')
  const seen = await until('the watch has seen it run', async () => {
    const { stdout } = await one.exec(['cat', '/mnt/watched'])
    return stdout.includes('Running') && stdout
  })
  watch.kill()
  await one.exec(['pkill', '-f', 'get pods --watch'])
  t.match(seen, /^hello +0\/1 +(Pending|ContainerCreating)[\s\S]*hello +0\/1 +ContainerCreating[\s\S]*hello +1\/1 +Running/)
  t.equal((await kube('logs', 'hello')).trim(), 'hello from hello')
  const described = await kube('describe', 'pod', 'hello')
  for (const part of [
    /Node: +(one|two|three)\/10\./,
    /IP: +10\.244\./,
    /Container ID: +knarr:\/\//,
    /Conditions:[\s\S]*Initialized +True[\s\S]*Ready +True[\s\S]*ContainersReady +True[\s\S]*PodScheduled +True/,
    /Events:[\s\S]*Scheduled[\s\S]*Pulled[\s\S]*Created[\s\S]*Started/,
  ])
    t.match(described, part)
  t.equal((await kube('exec', 'hello', '--', 'hostname')).trim(), 'hello')
  t.match((await kubectl('logs', 'hello', '--previous')).stderr, /previous terminated container "hello" in pod "hello" not found/)
  t.match((await kubectl('get', 'pod', 'nobody')).stderr, /pods "nobody" not found/)
}

export const severalContainers: Chapter = async (t, cluster) => {
  const { kube, kubectl, apply } = cluster
  await apply(`
apiVersion: v1
kind: Pod
metadata: { name: pair }
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{ name: shared, emptyDir: {} }]
  initContainers:
  - { name: first, image: bb, imagePullPolicy: IfNotPresent, command: [sh, -c, 'echo made > /shared/file'], volumeMounts: [{ name: shared, mountPath: /shared }] }
  - { name: second, image: bb, imagePullPolicy: IfNotPresent, command: [sh, -c, 'echo twice >> /shared/file'], volumeMounts: [{ name: shared, mountPath: /shared }] }
  containers:
  - { name: a, image: bb, imagePullPolicy: IfNotPresent, command: [sh, -c, 'cat /shared/file; exec sleep 1000'], volumeMounts: [{ name: shared, mountPath: /shared }] }
  - { name: b, image: bb, imagePullPolicy: IfNotPresent, command: [sleep, '1000'] }
`)
  await shows(cluster, 'pair', '2/2')
  t.equal(await kube('logs', 'pair', '-c', 'a'), 'made\ntwice\n')
  t.match((await kubectl('logs', 'pair')).stderr, /Defaulted container "a" out of: a, b, first \(init\), second \(init\)/)
  await kube('delete', 'pod', 'pair', 'hello', '--now')
}

export const mistakes: Chapter = async (t, { kubectl, kubectlWith }) => {
  const wrong = await kubectlWith('apiVersion: v1\nkind: ReplicaSet\nmetadata: {name: x}\n', 'apply', '-f', '-')
  t.match(wrong.stderr, /no matches for kind "ReplicaSet" in version "v1"/)
  t.match((await kubectl('create', 'configmap', 'Upper_Case')).stderr, /is invalid: metadata\.name: Invalid value/)
  const unknown = await kubectlWith('apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {contaners: []}\n', 'create', '-f', '-')
  t.match(unknown.stderr, /unknown field "spec\.contaners"/)
  t.equal(lines(unknown.stdout).length, 0)
}
