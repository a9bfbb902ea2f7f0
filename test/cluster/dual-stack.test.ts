// Needs root. A cluster of two machines with ranges of its own and of both families: who joins is told nothing of them, and finds out.
import t from 'tap'
import { parse } from 'yaml'
import { createSwitch, type Machine } from '../machines/machine.js'
import { until } from '../machines/until.js'
import { expectClean, joinWords, KNARR } from '../walkthrough/cluster.js'
import { importBusybox } from '../walkthrough/image.js'

const RANGES = { pods: '10.77.0.0/16,fd77:0:0:0::/56', services: '10.78.0.0/16,fd78::/112' }

const pod = (name: string, node: string): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, labels: { app: web } }
spec:
  nodeName: ${node}
  terminationGracePeriodSeconds: 0
  containers: [{ name: c, image: bb, imagePullPolicy: IfNotPresent, command: [web], env: [{ name: TEXT, value: ${name} }] }]
---`

const service = (name: string, more: string): string => `
apiVersion: v1
kind: Service
metadata: { name: ${name} }
spec: { selector: { app: web }, ports: [{ port: 80, targetPort: 8080 }], ${more} }
---`

const skip = process.getuid?.() !== 0 ? 'needs root' : false

t.test('ranges of its own, of both families', { skip, timeout: 300_000 }, async (t) => {
  const network = await createSwitch(211)
  t.teardown(() => network.destroy())
  const one = await network.add('one', '10.211.0.11')
  const two = await network.add('two', '10.211.0.12')

  t.match((await one.exec([KNARR, 'init', '--cluster-cidr=10.77.0.0/99'])).stderr, /--cluster-cidr: "10\.77\.0\.0\/99" is no range/)
  t.match(
    (await one.exec([KNARR, 'init', '--cluster-cidr=10.96.4.0/24'])).stderr,
    /--cluster-cidr 10\.96\.4\.0\/24 and --service-cidr 10\.96\.0\.0\/16 share addresses/,
  )
  const said = await one.must(
    [KNARR, 'init', `--cluster-cidr=${RANGES.pods}`, `--service-cidr=${RANGES.services}`, '--cluster-domain=both.test'],
    {
      timeoutMs: 180_000,
    },
  )
  await two.must([KNARR, ...joinWords(said)], { timeoutMs: 180_000 })
  const env = { KUBECONFIG: '/etc/knarr/admin.conf', HOME: '/root' }
  const kube = (...args: readonly string[]): Promise<string> => one.must(['kubectl', ...args], { env })
  const apply = (input: string): Promise<string> => one.must(['kubectl', 'apply', '-f', '-'], { env, input })

  const configuration = parse(await kube('get', 'cm', '-n', 'kube-system', 'kubeadm-config', '-o', 'jsonpath={.data.ClusterConfiguration}'))
  t.match(configuration, {
    kind: 'ClusterConfiguration',
    controlPlaneEndpoint: '10.211.0.11:6443',
    networking: { dnsDomain: 'both.test', podSubnet: RANGES.pods, serviceSubnet: RANGES.services },
  })

  await kube('apply', '-f', new URL('../../../addons/pod-network.yaml', import.meta.url).pathname)
  await kube('wait', 'node', '--all', '--for=condition=Ready', '--timeout=120s')
  await importBusybox([one, two])
  await apply(
    [
      pod('first', 'one'),
      pod('second', 'two'),
      service('both', 'ipFamilyPolicy: RequireDualStack'),
      service('six', 'ipFamilies: [IPv6]'),
      service('four', 'ipFamilies: [IPv4]'),
    ].join(''),
  )
  await kube('wait', 'pod', '--all', '--for=condition=Ready', '--timeout=60s')
  const ips = async (name: string): Promise<readonly string[]> =>
    (await kube('get', 'pod', name, '-o', 'jsonpath={.status.podIPs[*].ip}')).split(' ')
  const addresses = new Map([
    ['first', await ips('first')],
    ['second', await ips('second')],
  ])
  for (const [name, list] of addresses) t.match(list.join(), /^10\.77\.\d+\.\d+,fd77:/, name)
  const get = (from: string, host: string, port = 80): Promise<string> =>
    kube('exec', from, '--', 'wget', '-qO-', `http://${host.includes(':') ? `[${host}]` : host}:${port}`)
  const other = (name: string): string => (name === 'first' ? 'second' : 'first')
  for (const from of addresses.keys())
    for (const ip of addresses.get(other(from)) ?? []) t.match(await get(from, ip, 8080), new RegExp(`^${other(from)}`), `${from} to ${ip}`)

  const clusterIps = async (name: string): Promise<readonly string[]> =>
    (await kube('get', 'service', name, '-o', 'jsonpath={.spec.clusterIPs[*]}')).split(' ')
  t.match((await clusterIps('both')).join(), /^10\.78\.\d+\.\d+,fd78::/)
  t.match((await clusterIps('six')).join(), /^fd78::[^,]*$/)
  t.match((await clusterIps('four')).join(), /^10\.78\.[^,]*$/)
  for (const name of ['both', 'six', 'four'])
    for (const ip of await clusterIps(name)) {
      for (const from of addresses.keys())
        await until(`${from} reaches ${name} at ${ip}`, async () => /^(first|second)/.test(await get(from, ip)), 60)
      const seen = new Set<string>()
      await until(`both pods answer behind ${ip}`, async () => seen.add((await get('first', ip)).split(' ')[0] ?? '').size === 2, 60)
    }
  // On the machine that joined, DNS has the cluster's address and domain.
  t.equal(await kube('exec', 'second', '--', 'cat', '/etc/resolv.conf').then((text) => /nameserver (\S+)/.exec(text)?.[1]), '10.78.0.10')
  t.match(await get('second', 'six.default.svc.both.test'), /^(first|second)/)
  t.match(await get('second', 'four'), /^(first|second)/)

  for (const machine of [two, one] as readonly Machine[]) {
    await machine.must([KNARR, 'reset', '--force'], { timeoutMs: 120_000 })
    await expectClean(t as unknown as Parameters<typeof expectClean>[0], machine)
  }
})
