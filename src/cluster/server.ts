// `knarr server`: store, API server, controllers and scheduler in one process, wired together.
import { setMaxListeners } from 'node:events'
import { ClusterRole, ClusterRoleBinding, ConfigMap, type Kind, type Resource, Role, RoleBinding, Service } from '../api/index.js'
import { createClient } from '../client/index.js'
import { createApiServer, serve } from '../controlplane/apiserver/index.js'
import { runControllers } from '../controlplane/controllers/index.js'
import { runScheduler } from '../controlplane/scheduler/index.js'
import { COREFILE_CONFIGMAP, defaultCorefile } from '../dns/index.js'
import { asError, type Clock, type HttpHandler, isStatus, type Logger, type Random, sleep } from '../lib/index.js'
import type { KeyPair } from '../pki/index.js'
import { type ClusterCertificates, ensureCertificates, ensureKubeconfig } from './certificates.js'
import { clusterConfiguration } from './cluster-configuration.js'
import { labelControlPlane } from './control-plane-role.js'
import { keepEndpoints } from './endpoints.js'
import { RENEWAL_CHECK_MS } from './identity.js'
import { openStore } from './open-store.js'
import { agentRole, bindings, namespaceBindings, namespaceRoles } from './roles.js'
import { clusterDnsIp, kubernetesServiceIp } from './service-range.js'
import { controllerWiring } from './signer.js'

export interface ServerOptions {
  readonly nodeName: string
  /** Address under which other machines reach this server. */
  readonly advertiseAddress: string
  readonly bindAddress: string
  readonly port: number
  readonly serviceCidr: string
  readonly clusterCidrs: readonly string[]
  readonly clusterDomain: string
  /** Folder of certificates and keys. */
  readonly pki: string
  readonly adminConf: string
  readonly dataDir: string
  /** '' for the embedded store; `etcd://HOST:PORT[,HOST:PORT…]`. */
  readonly store: string
  /** Files for TLS to etcd. */
  readonly etcdCaFile: string
  readonly etcdCertFile: string
  readonly etcdKeyFile: string
  readonly extraSans: readonly string[]
}

export interface ProcessContext {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

/**
 * A client inside the process, under the name that RBAC knows. The controllers collect garbage of every kind and empty namespaces, so
 * they may do everything, as the garbage collector's role in Kubernetes does; the scheduler has only its own role.
 */
const inProcess = (handler: HttpHandler, name: string, ...groups: readonly string[]): HttpHandler => {
  const peer = { inProcessUser: { name, groups: ['system:authenticated', ...groups] } }
  return (request) => handler({ ...request, peer })
}

/** Serves until the signal is aborted. `onReady` is called when requests are answered. */
export async function runServer(
  options: ServerOptions,
  context: ProcessContext,
  signal: AbortSignal,
  onReady: () => void = () => {},
): Promise<void> {
  const { clock, random, log } = context
  const names = {
    advertiseAddress: options.advertiseAddress,
    kubernetesServiceIp: kubernetesServiceIp(options.serviceCidr),
    clusterDomain: options.clusterDomain,
    nodeName: options.nodeName,
    extraSans: options.extraSans,
  }
  let certificates = await ensureCertificates(options.pki, names, context)
  const server = `https://${options.advertiseAddress.includes(':') ? `[${options.advertiseAddress}]` : options.advertiseAddress}:${options.port}`
  const admin = {
    ca: certificates.ca,
    server,
    user: 'kubernetes-admin',
    subject: { commonName: 'kubernetes-admin', organizations: ['system:masters'] },
  }
  await ensureKubeconfig(options.adminConf, admin, context)

  const store = await openStore(options, context)
  const api = await createApiServer({
    store,
    clock,
    random,
    log: log.child({ component: 'apiserver' }),
    clientCa: certificates.ca.cert,
    serviceAccounts: {
      issuer: `https://kubernetes.default.svc.${options.clusterDomain}`,
      signingKey: certificates.serviceAccountKey,
    },
    kubelet: {
      ca: certificates.ca.cert,
      get cert() {
        return certificates.kubeletClient.cert
      },
      get key() {
        return certificates.kubeletClient.key
      },
    },
    frontProxy: { ca: certificates.frontProxyCa.cert, allowedNames: ['front-proxy-client'], ...certificates.frontProxyClient },
    encryption: certificates.encryption,
    serviceCidr: options.serviceCidr,
    advertise: { address: options.advertiseAddress, port: options.port },
  })
  const own = inProcess(api.handler, 'system:apiserver', 'system:masters')
  // Before anybody can ask: an agent that is refused once comes back only after a while.
  await bootstrapObjects(own, options).catch((error: unknown) => {
    log.error('objects every cluster has could not be made', { err: asError(error) })
  })
  // The authority goes along, so that a joining machine can compare it with the hash it was given.
  const serving = ({ apiserver, ca }: ClusterCertificates): KeyPair => ({ cert: apiserver.cert + ca.cert, key: apiserver.key })
  const listener = await serve(api, { host: options.bindAddress, port: options.port, ...serving(certificates), log })
  onReady()
  log.info('serving', { address: options.bindAddress, port: options.port })

  const stop = new AbortController()
  setMaxListeners(0, stop.signal)
  const onAbort = (): void => stop.abort(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  const identity = `${options.nodeName}_${process.pid}`
  /** Certificates are replaced before they run out, without a restart. */
  const keepCertificates = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      await sleep(clock, RENEWAL_CHECK_MS, stop.signal).catch(() => {})
      try {
        certificates = await ensureCertificates(options.pki, names, context)
        listener.setCertificate(serving(certificates))
        await ensureKubeconfig(options.adminConf, admin, context)
      } catch (error) {
        log.error('certificates could not be renewed', { err: asError(error) })
      }
    }
  }
  const client = createClient(own, { userAgent: 'kube-apiserver' })
  const work = [
    keepCertificates(),
    labelControlPlane({ client, nodeName: options.nodeName, clock, log }, stop.signal),
    keepEndpoints(
      {
        client,
        address: options.advertiseAddress,
        port: options.port,
        clock,
        log: log.child({ component: 'apiserver' }),
      },
      stop.signal,
    ),
    runControllers({
      client: createClient(inProcess(api.handler, 'system:kube-controller-manager', 'system:masters'), {
        userAgent: 'kube-controller-manager',
      }),
      clock,
      random,
      identity,
      signal: stop.signal,
      log: log.child({ component: 'controllers' }),
      options: controllerWiring(certificates, options, context),
    }),
    runScheduler({
      client: createClient(inProcess(api.handler, 'system:kube-scheduler'), { userAgent: 'kube-scheduler' }),
      clock,
      random,
      identity,
      signal: stop.signal,
      log: log.child({ component: 'scheduler' }),
    }),
  ]
  try {
    await Promise.all(work)
  } finally {
    stop.abort()
    await Promise.allSettled(work)
    await listener.close()
    await api.close()
    await store.close()
  }
}

/** What belongs to every cluster besides what the API server makes by itself: the DNS Service, its configuration, the server's right to kubelets. */
async function bootstrapObjects(handler: HttpHandler, options: ServerOptions): Promise<void> {
  const client = createClient(handler, { userAgent: 'knarr' })
  const ensure = async <T extends Resource>(kind: Kind<T>, object: T): Promise<void> => {
    const found = await client.find(kind, object.metadata)
    if (found) {
      // A newer version's processes may need more than an older one's.
      const [rules, before] = [object, found].map((each) => JSON.stringify((each as Partial<Role>).rules))
      if (rules !== before) await client.update(kind, { ...object, metadata: found.metadata })
      return
    }
    await client.create(kind, object).catch((error: unknown) => {
      if (!isStatus(error, 'AlreadyExists')) throw error
    })
  }
  const dnsIp = clusterDnsIp(options.serviceCidr)
  await Promise.all([
    ensure(Service, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: {
        name: 'kube-dns',
        namespace: 'kube-system',
        labels: { 'k8s-app': 'kube-dns', 'kubernetes.io/cluster-service': 'true', 'kubernetes.io/name': 'CoreDNS' },
      },
      spec: {
        clusterIP: dnsIp,
        clusterIPs: [dnsIp],
        ports: [
          { name: 'dns', port: 53, protocol: 'UDP' },
          { name: 'dns-tcp', port: 53, protocol: 'TCP' },
          { name: 'metrics', port: 9153, protocol: 'TCP' },
        ],
      },
    }),
    ensure(ConfigMap, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: COREFILE_CONFIGMAP,
      data: { Corefile: defaultCorefile(options.clusterDomain) },
    }),
    ensure(ConfigMap, clusterConfiguration(options)),
    ensure(ClusterRole, agentRole),
    ...namespaceRoles.map((role) => ensure(Role, role)),
    ...bindings.map((binding) => ensure(ClusterRoleBinding, binding)),
    ...namespaceBindings.map((binding) => ensure(RoleBinding, binding)),
  ])
}
