// Who may do what: a service account, a person with a client certificate; what may not run.
import { until } from '../../machines/until.js'
import type { Chapter } from '../chapter.js'

export const access: Chapter = async (t, { kube, kubectl, apply, machines }) => {
  const [one] = machines
  await kube('create', 'serviceaccount', 'viewer')
  await kube('create', 'rolebinding', 'viewer', '--clusterrole=view', '--serviceaccount=default:viewer')
  const as = '--as=system:serviceaccount:default:viewer'
  t.equal((await kube('auth', 'can-i', 'list', 'pods', as)).trim(), 'yes')
  t.equal((await kubectl('auth', 'can-i', 'delete', 'pods', as)).stdout.trim(), 'no')
  t.match(
    (await kubectl('delete', 'pod', 'client', as)).stderr,
    /pods "client" is forbidden: User "system:serviceaccount:default:viewer" cannot delete resource "pods"/,
  )

  // A person makes a key, an administrator has the request signed, and the two meet in a kubeconfig.
  const key = 'openssl req -new -newkey rsa:2048 -nodes -keyout /mnt/jane.key -subj /O=developers/CN=jane 2>/dev/null | base64 -w0'
  const request = await one.must(['sh', '-c', key])
  await apply(`
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: { name: jane }
spec: { request: ${request}, signerName: kubernetes.io/kube-apiserver-client, expirationSeconds: 86400, usages: [client auth] }
`)
  t.match(await kube('get', 'csr', 'jane'), /jane .* kubernetes\.io\/kube-apiserver-client +kubernetes-admin +24h +Pending/)
  t.match(await kube('certificate', 'approve', 'jane'), /certificatesigningrequest\.certificates\.k8s\.io\/jane approved/)
  const certificate = await until('the certificate', () => kube('get', 'csr', 'jane', '-o', 'jsonpath={.status.certificate}'))
  await one.must(['sh', '-c', 'base64 -d > /mnt/jane.crt'], { input: certificate })
  await one.must(['cp', '/etc/knarr/admin.conf', '/mnt/jane.conf'])
  const config = ['config', '--kubeconfig=/mnt/jane.conf']
  await kube(...config, 'set-credentials', 'jane', '--client-certificate=/mnt/jane.crt', '--client-key=/mnt/jane.key', '--embed-certs')
  await kube(...config, 'set-context', 'jane', '--cluster=knarr', '--user=jane')
  await kube(...config, 'use-context', 'jane')
  const jane = (...words: string[]): ReturnType<typeof kubectl> => kubectl('--kubeconfig=/mnt/jane.conf', ...words)
  t.match(
    (await jane('get', 'pods')).stderr,
    /pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default"/,
  )
  await kube('create', 'role', 'reader', '--verb=get,list,watch', '--resource=pods')
  await kube('create', 'rolebinding', 'developers', '--role=reader', '--group=developers')
  await until('the binding counts', async () => (await jane('get', 'pods')).code === 0)
  t.match(
    (await jane('get', 'pods', '--all-namespaces')).stderr,
    /pods is forbidden: User "jane" cannot list resource "pods" in API group "" at the cluster scope/,
  )
  t.match((await jane('delete', 'pod', 'client')).stderr, /User "jane" cannot delete resource "pods"/)

  await kube('create', 'namespace', 'strict')
  await kube('label', 'namespace', 'strict', 'pod-security.kubernetes.io/enforce=baseline')
  t.match(
    (await kubectl('-n', 'strict', 'run', 'bad', '--image=bb', '--privileged')).stderr,
    /pods "bad" is forbidden: violates PodSecurity "baseline:latest": privileged \(container "bad" must not set securityContext\.privileged=true\)/,
  )
  await kube('delete', 'namespace', 'strict', '--timeout=300s')
}
