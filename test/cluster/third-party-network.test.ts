// Needs root. A pod network of the usual shape from somebody else: a DaemonSet that copies CNI programs and a configuration into folders
// of the node. Here Debian's containernetworking-plugins.
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { createSwitch } from '../machines/machine.js'
import { until } from '../machines/until.js'
import { KNARR } from '../walkthrough/cluster.js'
import { importBusybox, putBusybox } from '../walkthrough/image.js'

const PLUGINS = '/usr/lib/cni'

/** The programs get another name on the node, so that nothing else that is called `bridge` can stand in for them. */
const ADDON = `
apiVersion: v1
kind: ConfigMap
metadata: { name: third-network, namespace: kube-system }
data:
  conflist: |
    { "cniVersion": "1.0.0", "name": "third",
      "plugins": [
        { "type": "third-bridge", "bridge": "third0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
          "ipam": { "type": "third-host-local", "ranges": [[{ "subnet": "10.99.0.0/24" }]], "routes": [{ "dst": "0.0.0.0/0" }] } },
        { "type": "third-portmap", "capabilities": { "portMappings": true }, "snat": true } ] }
---
apiVersion: apps/v1
kind: DaemonSet
metadata: { name: third-network, namespace: kube-system }
spec:
  selector: { matchLabels: { app: third-network } }
  template:
    metadata: { labels: { app: third-network } }
    spec:
      hostNetwork: true
      tolerations: [{ operator: Exists }]
      terminationGracePeriodSeconds: 0
      initContainers:
      - name: install
        image: third
        imagePullPolicy: Never
        command: [sh, -c, 'for p in bridge host-local portmap; do cp /plugins/$p /node/bin/third-$p; done; cp /config/conflist /node/conf/.tmp; mv /node/conf/.tmp /node/conf/10-third.conflist']
        volumeMounts:
        - { name: bin, mountPath: /node/bin }
        - { name: conf, mountPath: /node/conf }
        - { name: config, mountPath: /config }
      containers:
      - { name: stay, image: third, imagePullPolicy: Never, command: [sleep, '100000'] }
      volumes:
      - { name: bin, hostPath: { path: /opt/cni/bin, type: DirectoryOrCreate } }
      - { name: conf, hostPath: { path: /etc/cni/net.d, type: DirectoryOrCreate } }
      - { name: config, configMap: { name: third-network } }
`

const WEB = `
apiVersion: v1
kind: Pod
metadata: { name: web, labels: { app: web } }
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - { name: web, image: bb, imagePullPolicy: IfNotPresent, command: [web], env: [{ name: TEXT, value: third }], ports: [{ containerPort: 8080, hostPort: 18080 }] }
`

const skip = process.getuid?.() !== 0 ? 'needs root' : false

t.test("somebody else's pod network", { skip }, async (t) => {
  const network = await createSwitch(207)
  t.teardown(() => network.destroy())
  const one = await network.add('one', '10.207.0.11')
  await one.must([KNARR, 'init'], { timeoutMs: 180_000 })
  const root = mkdtempSync(join(tmpdir(), 'knarr-third-'))
  try {
    putBusybox(root)
    mkdirSync(join(root, 'plugins'))
    for (const name of readdirSync(PLUGINS)) copyFileSync(join(PLUGINS, name), join(root, 'plugins', name))
    await one.must([KNARR, 'image', 'import', root, 'third:latest'])
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
  await importBusybox([one])
  const env = { KUBECONFIG: '/etc/knarr/admin.conf', HOME: '/root' }
  const kube = (...args: string[]): Promise<string> => one.must(['kubectl', ...args], { env })
  const apply = (input: string): Promise<string> => one.must(['kubectl', 'apply', '-f', '-'], { env, input })
  t.match(await kube('describe', 'node', 'one'), /network plugin is not ready/i)
  await apply(ADDON)
  await until('the node is Ready', async () => / Ready /.test(await kube('get', 'node', 'one')))

  await apply(WEB)
  await kube('expose', 'pod', 'web', '--port=80', '--target-port=8080')
  await kube('run', 'client', '--image=bb', '--image-pull-policy=IfNotPresent', '--', 'sleep', '1000')
  await until('both run', async () => (await kube('get', 'pods', '--no-headers')).match(/Running/g)?.length === 2)
  const ip = await kube('get', 'pod', 'web', '-o', 'jsonpath={.status.podIP}')
  t.match(ip, /^10\.99\.0\./)
  t.equal((await one.must(['cat', `/var/lib/cni/networks/third/${ip}`])).split(/\s/)[0]?.length, 64, 'the range is kept by their program')
  for (const host of [`${ip}:8080`, 'web', 'web.default.svc.cluster.local'])
    t.match(await kube('exec', 'client', '--', 'wget', '-qO-', `http://${host}`), /^third web/, host)
  t.match((await network.exec(['curl', '-s', '-m', '5', `${one.address}:18080`])).stdout, /^third web/, 'a host port, by their program')
  await kube('delete', 'pod', 'web', 'client', '--timeout=300s')
  t.equal((await one.exec(['sh', '-c', 'ls /var/lib/cni/networks/third | grep 10.99'])).stdout, '', 'addresses are given back')
})
