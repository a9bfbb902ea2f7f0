// The three probes, each by another mechanism; what a failure of each does.
import { until } from '../../machines/until.js'
import type { Chapter } from '../chapter.js'

export const probes: Chapter = async (t, { kube, apply }) => {
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
    command: [sh, -c, 'until [ -e /data/go ]; do sleep 0.1; done; touch /tmp/alive; echo ready > /www/ready; exec httpd -f -p 8080 -h /www']
    startupProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1, failureThreshold: 100 }
    readinessProbe: { httpGet: { path: /ready, port: 8080 }, periodSeconds: 1, failureThreshold: 1 }
    livenessProbe: { exec: { command: [cat, /tmp/alive] }, periodSeconds: 1, failureThreshold: 1 }
    volumeMounts: [{ name: data, mountPath: /data }]
  volumes: [{ name: data, emptyDir: {} }]
`)
  await kube('expose', 'pod', 'probed', '--port=80')
  const status = (what: string): Promise<string> => kube('get', 'pod', 'probed', '-o', `jsonpath={.status.containerStatuses[0].${what}}`)
  const inService = async (): Promise<string> =>
    (
      await kube(
        'get',
        'endpointslices',
        '-l',
        'kubernetes.io/service-name=probed',
        '-o',
        'jsonpath={.items[*].endpoints[*].conditions.ready}',
      )
    ).trim()
  const events = (): Promise<string> => kube('get', 'events', '--field-selector=involvedObject.name=probed')
  // Not yet started: neither liveness nor readiness counts, nothing is restarted.
  await until('the startup probe has failed', async () => (await events()).includes('Startup probe failed'))
  t.equal(await status('started'), 'false')
  t.equal(await status('restartCount'), '0')
  t.not(await inService(), 'true')
  await kube('exec', 'probed', '--', 'touch', '/data/go')
  await until('in the Service', async () => (await inService()) === 'true')
  t.equal(await status('started'), 'true')
  await kube('exec', 'probed', '--', 'rm', '/www/ready')
  await until('out of the Service', async () => (await inService()) !== 'true')
  t.equal(await status('restartCount'), '0', 'not ready is no reason to restart')
  await kube('exec', 'probed', '--', 'sh', '-c', 'echo ready > /www/ready')
  await until('back in the Service', async () => (await inService()) === 'true')
  await kube('exec', 'probed', '--', 'rm', '/tmp/alive')
  await until('restarted', async () => (await status('restartCount')) === '1')
  await until('and in the Service again', async () => (await inService()) === 'true')
  const told = await events()
  for (const what of [
    /Startup probe failed/,
    /Readiness probe failed: HTTP probe failed with statuscode: 404/,
    /Liveness probe failed/,
    /Killing/,
  ])
    t.match(told, what)
  await kube('delete', 'pod,service', 'probed', '--now')
}
