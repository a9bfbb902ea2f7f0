// Needs root. A machine whose firewall lets nothing through, as Docker and ufw leave one: pods reach each other and the outside all the
// same, also when somebody empties the chain, and nothing of that stays.
import t from 'tap'
import { createSwitch } from '../machines/machine.js'
import { until } from '../machines/until.js'
import { expectClean, KNARR } from '../walkthrough/cluster.js'
import { importBusybox } from '../walkthrough/image.js'

const skip = process.getuid?.() !== 0 ? 'needs root' : false

const POD = (name: string, command: string): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, labels: { app: ${name} } }
spec:
  terminationGracePeriodSeconds: 0
  containers: [{ name: c, image: bb, imagePullPolicy: IfNotPresent, command: [${command}], env: [{ name: TEXT, value: hello }] }]
`

t.test("a firewall that drops what is forwarded is somebody else's, and pods get through", { skip }, async (t) => {
  const network = await createSwitch(209)
  t.teardown(() => network.destroy())
  const machine = await network.add('walled', '10.209.0.11')
  const rules = async (): Promise<string> => (await machine.must(['iptables', '-S', 'FORWARD'])).trim()
  await machine.must(['iptables', '-P', 'FORWARD', 'DROP'])
  const before = await rules()
  await machine.must([KNARR, 'up'], { timeoutMs: 300_000 })
  await importBusybox([machine])
  const env = { KUBECONFIG: '/etc/knarr/admin.conf', HOME: '/root' }
  const kube = (...args: string[]): Promise<string> => machine.must(['kubectl', ...args], { env })
  await machine.must(['kubectl', 'apply', '-f', '-'], { env, input: `${POD('web', 'web')}---${POD('client', "sleep, '1000'")}` })
  await kube('expose', 'pod', 'web', '--port=80', '--target-port=8080')
  await kube('wait', 'pod', '--all', '--for=condition=Ready', '--timeout=60s')
  const ip = await kube('get', 'pod', 'web', '-o', 'jsonpath={.status.podIP}')
  const asks = async (): Promise<void> => {
    for (const host of [`${ip}:8080`, 'web'])
      t.match(await kube('exec', 'client', '--', 'wget', '-qO-', `http://${host}`), /^hello web/, host)
  }
  await asks()
  // The machine at the switch's own address, which the bridge's machine reaches by its link alone.
  t.match(await kube('exec', 'client', '--', 'busybox', 'ping', '-c', '1', '-W', '5', '10.209.0.1'), /1 packets received/)

  await machine.must(['iptables', '-F', 'FORWARD'])
  await until('the rules are back', async () => /10\.244\.0\.0\/16.*ACCEPT/.test(await rules()))
  await asks()
  await machine.must([KNARR, 'down', '--purge'], { timeoutMs: 120_000 })
  t.equal(await rules(), before, 'the chain is as it was')
  await expectClean(t as unknown as Parameters<typeof expectClean>[0], machine)
})
