// Needs root. Two servers on one etcd: what one writes the other serves, and when one is lost the other carries the cluster on.
import t from 'tap'
import { createSwitch, type Machine } from '../machines/machine.js'
import { until } from '../machines/until.js'
import { KNARR } from '../walkthrough/cluster.js'
import { importBusybox } from '../walkthrough/image.js'

const web = (name: string, more = ''): string => `
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name} }
spec:
  replicas: 4
  selector: { matchLabels: { app: ${name} } }
  template:
    metadata: { labels: { app: ${name} } }
    spec:
      containers: [{ name: web, image: bb, imagePullPolicy: IfNotPresent, command: [web], env: [{ name: TEXT, value: v1 }] }]${more}
`

t.test('two servers on one etcd', { skip: process.getuid?.() === 0 ? false : 'needs root' }, async (t) => {
  const network = await createSwitch(206)
  t.teardown(() => network.destroy())
  const store = await network.add('store', '10.206.0.10')
  const one = await network.add('one', '10.206.0.11')
  const two = await network.add('two', '10.206.0.12')
  const url = `http://${store.address}:2379`
  store.spawn(['etcd', '--data-dir=/mnt/etcd', '--listen-client-urls=http://0.0.0.0:2379', `--advertise-client-urls=${url}`])
  await until('etcd answers', async () => (await one.exec(['curl', '-sf', `${url}/health`])).code === 0)

  const init = (machine: Machine): Promise<string> =>
    machine.must([KNARR, 'init', `--store=etcd://${store.address}:2379`], { timeoutMs: 180_000 })
  await init(one)
  // The second server has the cluster's keys; its own certificate it makes from them.
  await one.must(['tar', '-C', '/etc/knarr', '-cf', '/mnt/pki.tar', 'pki'])
  await two.must(['sh', '-c', 'base64 -d | tar -C /etc/knarr -xf -'], { input: (await one.must(['base64', '/mnt/pki.tar'])).trim() })
  await init(two)
  const env = { KUBECONFIG: '/etc/knarr/admin.conf', HOME: '/root' }
  const kube = (machine: Machine, ...args: string[]): Promise<string> => machine.must(['kubectl', ...args], { env })
  t.match(await two.must(['cat', '/etc/knarr/admin.conf']), /server: https:\/\/10\.206\.0\.12:6443/)

  await kube(one, 'apply', '-f', KNARR.replace(/knarr$/, 'addons/pod-network.yaml'))
  await importBusybox([one, two])
  await until(
    'both nodes are Ready, told by the second',
    async () => (await kube(two, 'get', 'nodes', '--no-headers')).match(/ Ready /g)?.length === 2,
  )
  await one.must(['kubectl', 'apply', '-f', '-'], { env, input: web('web') })
  await kube(two, 'rollout', 'status', 'deploy/web', '--timeout=300s')
  await kube(two, 'create', 'secret', 'generic', 'shared', '--from-literal=word=one-key-for-both')
  t.equal(Buffer.from(await kube(one, 'get', 'secret', 'shared', '-o', 'jsonpath={.data.word}'), 'base64').toString(), 'one-key-for-both')
  const dump = await store.must(['etcdctl', 'get', '--prefix', '/registry/secrets/default/shared'], { env: { ETCDCTL_API: '3' } })
  t.match(dump, /registry\/secrets\/default\/shared/)
  t.notMatch(dump, /one-key-for-both|b25lLWtleS1mb3It/, 'a Secret cannot be read in etcd')
  const endpoints = async (): Promise<string> =>
    (await kube(two, 'get', 'endpoints', 'kubernetes', '-o', 'jsonpath={.subsets[*].addresses[*].ip}')).trim()
  t.same((await endpoints()).split(' ').sort(), [one.address, two.address])

  // Writers at both at once: every acknowledged write is there, once.
  const count = (machine: Machine, name: string): Promise<string> =>
    machine.must(['sh', '-c', `for i in 1 2 3 4 5 6 7 8; do kubectl create configmap ${name}-$i --from-literal=a=$i || exit 1; done`], {
      env,
    })
  await Promise.all([count(one, 'first'), count(two, 'second')])
  t.equal((await kube(one, 'get', 'configmaps', '-o', 'name')).match(/(first|second)-\d/g)?.length, 16)

  await one.powerOff()
  await until('the lost server is no endpoint any more', async () => (await endpoints()) === two.address)
  await two.must(['kubectl', 'apply', '-f', '-'], { env, input: web('late', '\n      nodeSelector: { kubernetes.io/hostname: two }') })
  t.match(
    await kube(two, 'rollout', 'status', 'deploy/late', '--timeout=300s'),
    /successfully rolled out/,
    'controllers and scheduler have moved',
  )
})
