// `knarr agent`: kubelet, container runtime, pod networking, service proxy and DNS of one node, wired together.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { EndpointSlice, Namespace, Node, Service } from '../api/index.js'
import { createClient, httpsTransport, type Informer, informer } from '../client/index.js'
import { createCni } from '../cni/index.js'
import { type Cri, cniNetwork, createCri, thisMachine } from '../cri/index.js'
import { dnsIndexes, runClusterDns } from '../dns/index.js'
import { createImageStore, machineAuthorities } from '../image/index.js'
import { createKubelet, remoteRuntime, serveNodeApi } from '../kubelet/index.js'
import { abortable, asError, explain } from '../lib/index.js'
import { podKey } from '../pki/index.js'
import { proxyStatus, runProxy } from '../proxy/index.js'
import { createRuntime } from '../runtime/index.js'
import { chooseApplier, removeOtherRules } from './applier.js'
import { letPodsThrough } from './forwarding.js'
import { addressHost, addServiceRoute, cgroupHost, enableForwarding, ensureNodeAddress, volumeHost } from './hosts.js'
import { keepServingFresh, nodeIdentity, servingIdentity } from './identity.js'
import type { KubeletConfiguration } from './kubelet-configuration.js'
import { watchShutdown } from './machine-shutdown.js'
import { paths } from './paths.js'
import { followPodNetwork } from './pod-network.js'
import { ensurePodNetworkImage } from './pod-network-image.js'
import type { ProxyMode } from './proxy-mode.js'
import { nodeResolvConf } from './resolver.js'

import type { ProcessContext } from './server.js'
import { KUBERNETES_VERSION } from './version.js'

export interface AgentOptions {
  readonly nodeName: string
  readonly nodeIp: string
  readonly kubeconfig: string
  readonly clusterDomain: string
  readonly serviceCidr: string
  /** Address of cluster DNS; '' leaves DNS to somebody else. */
  readonly clusterDns: string
  /** Of the pod network: one of each family, or none. */
  readonly clusterCidrs: readonly string[]
  /** Path of the file that describes the node's own resolver; undefined for the machine's. */
  readonly resolvConf: string | undefined
  readonly proxyMode: ProxyMode
  readonly port: number
  readonly nodeLabels: Readonly<Record<string, string>>
  readonly nodeTaints: readonly { readonly key: string; readonly value?: string; readonly effect: string }[]
  readonly staticPodPath: string
  /** What a file says of the kubelet; flags count before it. */
  readonly kubeletConfiguration: KubeletConfiguration
  /** Socket of somebody else's CRI runtime; '' for our own. */
  readonly runtimeEndpoint: string
  /** Most bytes that one layer of an image may unpack to; undefined for the image store's own. */
  readonly imageLayerLimit: number | undefined
  /** How long pods may take when the machine goes down, and how much of it is for critical ones. */
  readonly shutdownGraceSeconds: number
  readonly shutdownGraceSecondsCritical: number
}

interface NodeRuntime {
  readonly cri: Cri
  close(): Promise<void>
}

/** Our own runtime, images and pod networking in this process. */
async function ownRuntime(layerLimit: number | undefined, { clock, random, log }: ProcessContext): Promise<NodeRuntime> {
  const runtime = createRuntime({ root: join(paths.run, 'runtime'), clock, restrictOomScoreAdj: true })
  const images = createImageStore({ root: paths.images, clock, random, limits: layerLimit === undefined ? {} : { bytes: layerLimit } })
  // Before there is a node that the add-on could be scheduled to.
  await ensurePodNetworkImage(images)
  const cni = createCni({ confDir: paths.cniConf, binDirs: [paths.cniBin, '/usr/lib/cni'], cacheDir: paths.cniCache, clock })
  const cri = await createCri({
    root: join(paths.state, 'cri'),
    runDir: join(paths.run, 'cri'),
    runtime,
    images,
    network: cniNetwork(cni),
    machine: thisMachine(),
    clock,
    random,
    version: KUBERNETES_VERSION,
    log: log.child({ component: 'cri' }),
  })
  return {
    cri,
    async close() {
      cri.close()
      runtime.close()
    },
  }
}

/** A runtime that serves CRI v1 on a socket: containerd, CRI-O. */
async function foreignRuntime(endpoint: string, { clock }: ProcessContext): Promise<NodeRuntime> {
  const remote = await remoteRuntime(endpoint, clock)
  return { cri: remote, close: async () => remote.close() }
}

/** A node that is being deleted, or taken away by the autoscaler, gets no traffic from load balancers. */
const isEligible = (node: Node | undefined): boolean =>
  !node?.metadata.deletionTimestamp && !node?.spec?.taints?.some(({ key }) => key === 'ToBeDeletedByClusterAutoscaler')

/** Where the node is, for endpoints that are meant for a zone. */
function nodeZone(nodes: Informer<Node>, name: string): NonNullable<Parameters<typeof runProxy>[0]['zone']> {
  const read = (): string | undefined => nodes.get(name)?.metadata.labels?.['topology.kubernetes.io/zone']
  return {
    read,
    subscribe(changed) {
      let known = read()
      const look = (): void => {
        if (read() === known) return
        known = read()
        changed()
      }
      return nodes.subscribe({ added: look, updated: look })
    },
  }
}

/** Works until the signal is aborted; pods go on running. `onReady` is called when the node is registered. */
export async function runAgent(
  options: AgentOptions,
  context: ProcessContext,
  signal: AbortSignal,
  onReady: () => void = () => {},
): Promise<void> {
  const { clock, random, log } = context
  for (const folder of [paths.run, paths.state, paths.kubelet, paths.podLogs, paths.containerLogs]) mkdirSync(folder, { recursive: true })
  enableForwarding(log)
  ensureNodeAddress(options.nodeIp)
  addServiceRoute(options.serviceCidr, options.nodeIp)

  const identity = nodeIdentity(options.kubeconfig, options.nodeName, context)
  const transport = await httpsTransport({ server: identity.server, ca: identity.ca, identity: identity.current })
  const client = createClient(transport.handler, { userAgent: 'kubelet' })

  const { cri, close: closeRuntime } = await (options.runtimeEndpoint === ''
    ? ownRuntime(options.imageLayerLimit, context)
    : foreignRuntime(options.runtimeEndpoint, context))
  const resolvConf = options.resolvConf ?? nodeResolvConf()
  const { settings: fromFile, withoutEffect } = options.kubeletConfiguration
  if (withoutEffect.length > 0) log.info('fields of the kubelet configuration change nothing here', { fields: withoutEffect })
  const shutdownGrace = {
    shutdownGracePeriodSeconds: options.shutdownGraceSeconds || (fromFile.shutdownGracePeriodSeconds ?? 0),
    shutdownGracePeriodCriticalPodsSeconds: options.shutdownGraceSecondsCritical || (fromFile.shutdownGracePeriodCriticalPodsSeconds ?? 0),
  }
  const kubelet = createKubelet({
    client,
    cri,
    clock,
    random,
    volumeHost,
    cgroups: cgroupHost,
    newPodKey: podKey,
    nodeName: options.nodeName,
    nodeIps: [options.nodeIp],
    port: options.port,
    resolvConf,
    clientCa: identity.ca,
    version: KUBERNETES_VERSION,
    log: log.child({ component: 'kubelet' }),
    settings: {
      ...fromFile,
      clusterDomain: options.clusterDomain,
      clusterDNS: options.clusterDns === '' ? [] : [options.clusterDns],
      staticPodPath: options.staticPodPath,
      nodeLabels: options.nodeLabels,
      registerWithTaints: options.nodeTaints,
      ...shutdownGrace,
    },
  })
  const services = informer(client, Service, { clock, log, indexes: dnsIndexes.services })
  const slices = informer(client, EndpointSlice, { clock, log, indexes: dnsIndexes.slices })
  const namespaces = informer(client, Namespace, { clock, log })
  const thisNode = informer(client, Node, { clock, log, fieldSelector: `metadata.name=${options.nodeName}` })
  const fail = (what: string) => (error: unknown) => {
    if (!signal.aborted) log.error(`${what} stopped`, { reason: explain(error), err: asError(error) })
  }
  /** Joined nodes ask the cluster for the certificate, which is given to registered nodes only. */
  const nodeApi = async (): Promise<void> => {
    await abortable(kubelet.ready, signal)
    const node = { nodeName: options.nodeName, nodeIp: options.nodeIp, ca: identity.ca, client, signal }
    const serving = await servingIdentity(node, context)
    const server = await serveNodeApi(kubelet, { port: options.port, tls: { ...serving, clientCa: identity.ca } })
    signal.addEventListener('abort', () => void server.close(), { once: true })
    onReady()
    await keepServingFresh(node, serving, server.setCertificate, context)
  }
  const applier = chooseApplier(options.proxyMode, { clusterCidrs: options.clusterCidrs }, context)
  await removeOtherRules(applier.applier.name, [options.clusterDns, options.nodeIp]).catch((error) =>
    log.warn('rules of another proxy mode stay', { err: asError(error) }),
  )
  if (applier.applier.name !== 'userspace' && options.clusterCidrs.length > 0)
    letPodsThrough(options.clusterCidrs, { clock, log: log.child({ component: 'pod-network' }) }, signal)
  const status = proxyStatus({
    mode: applier.applier.name,
    clock,
    log,
    healthPort: 10256,
    metricsPort: 10249,
    nodeEligible: () => isEligible(thisNode.get(options.nodeName)),
  })
  signal.addEventListener('abort', () => status.close(), { once: true })
  const work = [
    kubelet.run(signal),
    watchShutdown({ graceSeconds: shutdownGrace.shutdownGracePeriodSeconds, shutdown: () => kubelet.shutdown(), log }, signal).catch(
      fail('shutdown watch'),
    ),
    nodeApi().catch(fail('node API')),
    services.run(signal),
    slices.run(signal),
    namespaces.run(signal),
    thisNode.run(signal),
    identity.keepFresh(client, signal),
    followPodNetwork(
      {
        client,
        nodeName: options.nodeName,
        folder: paths.podNetwork,
        confDir: paths.cniConf,
        clusterCidrs: options.clusterCidrs,
        clock,
        log: log.child({ component: 'pod-network' }),
      },
      signal,
    ).catch(fail('pod network')),
    runProxy(
      {
        services,
        slices,
        nodeName: options.nodeName,
        clock,
        log: log.child({ component: 'proxy' }),
        ...applier,
        status,
        zone: nodeZone(thisNode, options.nodeName),
        answeredHere: new Set(options.clusterDns === '' ? [] : [options.clusterDns]),
      },
      signal,
    ).catch(fail('service proxy')),
  ]
  if (options.clusterDns !== '') {
    await addressHost.add(options.clusterDns)
    work.push(
      runClusterDns(
        {
          client,
          services,
          slices,
          namespaces,
          clock,
          random,
          log: log.child({ component: 'dns' }),
          clusterDomain: options.clusterDomain,
          nodeName: options.nodeName,
          resolvConf,
          addresses: [options.clusterDns],
          authorities: () => machineAuthorities(process.env),
        },
        signal,
      ).then(() => {}, fail('cluster DNS')),
    )
  }
  try {
    await Promise.all(work)
  } finally {
    await closeRuntime()
    await transport.close()
  }
}
