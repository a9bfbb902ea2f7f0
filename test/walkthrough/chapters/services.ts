// Services: from outside on every machine, by address and name from pods, with affinity; pods and nodes without NAT.
import { until } from '../../machines/until.js'
import { type Chapter, lines, shows } from '../chapter.js'

export const services: Chapter = async (t, cluster) => {
  const { kube, kubectl, machines, network } = cluster
  const [, two] = machines
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
  await shows(cluster, 'client', 'Running')
  const ask = (url: string): Promise<string> => kube('exec', 'client', '--', 'wget', '-qO-', url)
  const address = await kube('get', 'service', 'web', '-o', 'jsonpath={.spec.clusterIP}')
  for (const host of [address, 'web', 'web.default', 'web.default.svc.cluster.local'])
    t.match(await ask(`http://${host}`), /^v1 web-/, host)
  // It asks for AAAA too, and ends with an error when there is none.
  t.match((await kubectl('exec', 'client', '--', 'nslookup', 'web.default.svc.cluster.local')).stdout, new RegExp(`Address: +${address}`))

  await kube('patch', 'service', 'web', '-p', '{"spec":{"sessionAffinity":"ClientIP"}}')
  const names = async (): Promise<number> =>
    new Set(
      lines(await kube('exec', 'client', '--', 'sh', '-c', `for i in 1 2 3 4 5 6 7 8 9 10 11 12; do wget -qO- http://${address}; done`)),
    ).size
  await until('the same pod answers every time', async () => (await names()) === 1)
  await kube('patch', 'service', 'web', '-p', '{"spec":{"sessionAffinity":"None"}}')
  await until('others answer too', async () => (await names()) > 1)

  const placed = lines(
    await kube('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={range .items[*]}{.spec.nodeName} {.status.podIP}{"\\n"}{end}'),
  )
  t.equal(new Set(placed.map((line) => line.split(' ')[0])).size, 3, 'pods are on all machines')
  const own = (await kube('get', 'pod', 'client', '-o', 'jsonpath={.status.podIP}')).trim()
  for (const line of placed) {
    const ip = line.split(' ')[1]
    t.equal((await ask(`http://${ip}:8080/cgi-bin/who`)).replace(/[[\]\s]|::ffff:/g, ''), own, 'a pod is seen under its own address')
    t.match((await two.exec(['curl', '-s', '-m', '5', `${ip}:8080`])).stdout, /^v1 web-/, 'a node reaches pods')
  }
}
