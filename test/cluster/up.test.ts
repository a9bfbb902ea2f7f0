// Needs root. One command from nothing to a cluster, on a machine without any network; what it prints, what it leaves, and the way back.
import t from 'tap'
import { parseQuantity } from '../../src/api/index.js'
import { createSwitch } from '../machines/machine.js'
import { expectClean, KNARR } from '../walkthrough/cluster.js'

const skip = process.getuid?.() !== 0 ? 'needs root' : false

t.test('up, down, and up again', { skip }, async (t) => {
  const network = await createSwitch(208)
  t.teardown(() => network.destroy())
  const machine = await network.add('lone', '10.208.0.11')
  await machine.must(['ip', 'link', 'del', 'eth0'])
  const knarr = (...words: string[]): Promise<string> => machine.must([KNARR, ...words], { timeoutMs: 300_000 })
  const kubectl = (...words: string[]): Promise<string> => machine.must(['kubectl', '--kubeconfig=/etc/knarr/admin.conf', ...words])

  const first = await knarr('up', '--demo')
  const steps = [
    'Machine is suitable',
    'Certificates and keys are in place',
    'Control plane and node agent were started',
    'API server answers',
    'Pod network was applied',
    'Node lone is Ready',
  ]
  t.match(first, new RegExp(steps.map((step) => `✔ ${step} \\([\\d.]+ m?s\\)`).join('\\n')))
  t.match(first, /Next:\n {2}export KUBECONFIG=\/etc\/knarr\/admin\.conf\n {2}kubectl get nodes/)
  t.match(first, /Three replicas of version 1 are available[\s\S]*curl \S+:\d+ {2}→ {2}Hello from version 1/)
  t.equal(first.match(/; 0 requests lost/g)?.length, 2, 'nothing lost in either direction')
  t.match(
    first,
    /pod\/demo-\S+ +1\/1 +Running[\s\S]*service\/demo +NodePort[\s\S]*deployment\.apps\/demo +3\/3 +3 +3[\s\S]*replicaset\.apps\/demo-\w+ +3 +3 +3/,
  )
  t.equal((await machine.must(['stat', '-c', '%a %U', '/etc/knarr/admin.conf'])).trim(), '600 root')
  t.match(await kubectl('get', 'nodes'), /lone +Ready +control-plane/)

  // A person's own kubeconfig keeps what is in it, and its owner.
  const theirs =
    'apiVersion: v1\nkind: Config\ncurrent-context: other\ncontexts: [{ name: other, context: { cluster: other, user: other } }]\n'
  await machine.must(['sh', '-c', 'mkdir -p /mnt/home && cat >/mnt/home/config && chown 1000:1000 /mnt/home/config'], { input: theirs })
  t.match(await knarr('up', '--write-kubeconfig=/mnt/home/config'), /already up[\s\S]*✔ API server answers[\s\S]*✔ Node lone is Ready/)
  t.equal((await machine.must(['stat', '-c', '%a %u %g', '/mnt/home/config'])).trim(), '600 1000 1000')
  const contexts = await machine.must(['kubectl', '--kubeconfig=/mnt/home/config', 'config', 'get-contexts', '-o', 'name'])
  t.match(contexts, /other/)
  t.match(await machine.must(['kubectl', '--kubeconfig=/mnt/home/config', 'get', 'nodes']), /lone +Ready/)

  await kubectl('create', 'configmap', 'kept', '--from-literal=a=b')
  t.match(await knarr('down'), /The cluster's state is kept in \/var\/lib\/knarr; "knarr up" brings it back/)
  t.equal(
    (await machine.exec(['sh', '-c', "pgrep -af '[s]upervise-|[m]ain.js (server|agent)'; ip -br link | grep -E 'knarr|veth'"])).stdout,
    '',
  )
  const wrong = await machine.exec([KNARR, 'up', '--kubelet-config=kubelet.yaml'])
  t.match(wrong.stderr, /--kubelet-config: "kubelet\.yaml": give the whole path, from \/ on/)
  const configuration =
    'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nmaxPods: 17\nkubeReserved: { memory: 100Mi }\n'
  await machine.must(['sh', '-c', 'cat > /mnt/home/kubelet.yaml'], { input: configuration })
  await knarr('up', '--kubelet-config=/mnt/home/kubelet.yaml')
  await kubectl('wait', 'node/lone', '--for=jsonpath={.status.capacity.pods}=17', '--timeout=60s')
  const [capacity, allocatable] = (
    await kubectl('get', 'node', 'lone', '-o', 'jsonpath={.status.capacity.memory} {.status.allocatable.memory}')
  ).split(' ')
  const bytes = (text = ''): bigint => (parseQuantity(text)?.nanos ?? 0n) / 1_000_000_000n
  t.equal(bytes(capacity) - bytes(allocatable), 200n * 1024n * 1024n, 'set aside, beside the 100Mi that are never given out')
  t.equal(await kubectl('get', 'configmap', 'kept', '-o', 'jsonpath={.data.a}'), 'b')
  await kubectl('rollout', 'status', 'deploy/demo', '--timeout=300s')
  await knarr('down', '--purge')
  await expectClean(t as unknown as Parameters<typeof expectClean>[0], machine)
})
