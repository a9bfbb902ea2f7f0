// Machines come and go: drained, cordoned, taken out for good, joined again; the processes of the cluster killed.
import { until } from '../../machines/until.js'
import { type Chapter, lines } from '../chapter.js'
import { expectClean, joinWords, KNARR } from '../cluster.js'
import { importBusybox } from '../image.js'

export const drain: Chapter = async (t, { kube, kubectl }) => {
  t.match(await kube('cordon', 'two'), /node\/two cordoned/)
  t.match(await kube('get', 'node', 'two'), /Ready,SchedulingDisabled/)
  t.match((await kubectl('drain', 'two', '--timeout=5s')).stderr, /cannot delete DaemonSet-managed Pods[\s\S]*kube-system\/pod-network-/)
  const drained = await kube(
    'drain',
    'two',
    '--ignore-daemonsets',
    '--force',
    '--delete-emptydir-data',
    '--grace-period=1',
    '--timeout=300s',
  )
  t.match(drained, /evicting pod default\/web-|pod\/web-\S+ evicted/)
  t.match(drained, /node\/two drained/)
  t.notMatch(await kube('get', 'pods', '-l', 'app=web', '-o', 'wide'), / two /)
  t.match(await kube('uncordon', 'two'), /node\/two uncordoned/)
}

export const killed: Chapter = async (t, { kube, kubectl, machines }) => {
  const [one] = machines
  const running = await kube(
    'get',
    'pods',
    '-l',
    'app=web',
    '--field-selector=status.phase=Running',
    '-o',
    'jsonpath={.items[*].metadata.name}',
  )
  const [pod = ''] = running.split(' ')
  const identity = (): Promise<string> =>
    kube('get', 'pod', pod, '-o', 'jsonpath={.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}')
  const before = await identity()
  await kube('create', 'configmap', 'written-before', '--from-literal=a=b')
  const kill = "for p in $(pgrep -f 'main.js (server|agent)'); do kill -9 $p && echo killed; done"
  for (const machine of machines) t.match(await machine.must(['sh', '-c', kill]), machine === one ? /killed\nkilled/ : /killed/)
  await until('API server is back', async () => (await kubectl('get', '--raw', '/readyz')).code === 0)
  t.match(await kube('get', 'configmap', 'written-before', '-o', 'jsonpath={.data.a}'), /b/)
  await until('nodes are Ready', async () => (await kube('get', 'nodes', '--no-headers')).match(/ Ready /g)?.length === 3)
  t.equal(await identity(), before)
  t.match(await until('exec works again', async () => (await kubectl('exec', pod, '--', 'hostname')).stdout || undefined), new RegExp(pod))
}

export const removedAndJoined: Chapter = async (t, { kube, machines }) => {
  const [one, , three] = machines
  const replicas = async (): Promise<boolean> => (await kube('get', 'deploy', 'web', '--no-headers')).includes('5/5')
  await kube('drain', 'three', '--ignore-daemonsets', '--force', '--delete-emptydir-data', '--grace-period=1', '--timeout=300s')
  await kube('delete', 'node', 'three')
  await three.must([KNARR, 'reset'], { timeoutMs: 120_000 })
  await expectClean(t, three)
  await until('three replaced', replicas)
  const words = joinWords(await one.must([KNARR, 'token', 'create', '--print-join-command']))
  await three.must([KNARR, ...words], { timeoutMs: 180_000 })
  await importBusybox([three]) // reset took its images too
  await until('three is Ready again', async () => / Ready /.test(await kube('get', 'node', 'three', '--no-headers')))
  await kube('scale', 'deploy/web', '--replicas=9')
  await kube('rollout', 'status', 'deploy/web', '--timeout=300s')
  const names = lines(await kube('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={range .items[*]}{.spec.nodeName}{"\\n"}{end}'))
  t.ok(names.includes('three'), 'it gets pods again')
}
