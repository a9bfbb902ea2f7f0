// The flags of the commands that make and run clusters, and the options they become.
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { hostname } from 'node:os'
import { isAbsolute } from 'node:path'
import { describeFlags, explain, type FlagSpecs, type Flags, UsageError } from '../../lib/index.js'
import type { AgentOptions } from '../agent.js'
import { type KubeletConfiguration, parseKubeletConfiguration } from '../kubelet-configuration.js'
import { nodeAddress } from '../node-address.js'
import { paths } from '../paths.js'
import { type LogLevel, processLog } from '../process-log.js'
import { type ProxyMode, proxyModes } from '../proxy-mode.js'
import type { ServerOptions } from '../server.js'
import { clusterDnsIp, kubernetesServiceIp, podRanges } from '../service-range.js'
import { etcdEndpoints } from '../store-url.js'
import { defaultUserConfig } from './user-config.js'

export const common = {
  'node-name': { type: 'string', help: 'name of this node', value: 'NAME', default: hostname().toLowerCase() },
  'cluster-cidr': {
    type: 'string',
    help: 'range of the pod network; two of different families behind a comma',
    value: 'CIDR',
    default: '10.244.0.0/16',
  },
  'service-cidr': {
    type: 'string',
    help: 'range of Service addresses; with a comma, one of IPv6 too',
    value: 'CIDR',
    default: '10.96.0.0/16',
  },
  'cluster-domain': { type: 'string', help: 'domain of cluster DNS', value: 'NAME', default: 'cluster.local' },
  'log-level': { type: 'string', help: 'debug, info, warn or error', value: 'LEVEL', default: 'info' },
  help: { type: 'boolean', short: 'h', help: 'show this help' },
} as const satisfies FlagSpecs

export const serverFlags = {
  'advertise-address': {
    type: 'string',
    help: 'address under which other machines reach this server (default: that of the default route)',
    value: 'IP',
  },
  'bind-address': { type: 'string', help: 'address to listen on', value: 'IP', default: '0.0.0.0' },
  'secure-port': { type: 'number', help: 'port to listen on', value: 'PORT', default: 6443 },
  'tls-san': { type: 'list', help: 'more names and addresses for the serving certificate', value: 'NAME,…' },
  store: {
    type: 'string',
    help: 'where the state is kept: embedded when left out, or etcd://HOST:PORT[,HOST:PORT…]',
    value: 'URL',
    default: '',
  },
  'etcd-cafile': { type: 'string', help: 'authority of etcd (with etcds://)', value: 'FILE', default: '' },
  'etcd-certfile': { type: 'string', help: 'client certificate for etcd', value: 'FILE', default: '' },
  'etcd-keyfile': { type: 'string', help: 'its key', value: 'FILE', default: '' },
  'data-dir': { type: 'string', help: 'folder of the embedded store', value: 'DIR', default: paths.state },
  'cert-dir': { type: 'string', help: 'folder of certificates and keys', value: 'DIR', default: paths.pki },
  ...common,
} as const satisfies FlagSpecs

export const agentFlags = {
  'node-ip': { type: 'string', help: 'address of this node (default: that of the default route)', value: 'IP' },
  kubeconfig: { type: 'string', help: 'how to reach the API server', value: 'FILE', default: paths.kubeletConf },
  'cluster-dns': {
    type: 'string',
    help: 'address of cluster DNS, answered on this node (default: tenth address of the Service range); "none" turns it off',
    value: 'IP',
  },
  'resolv-conf': {
    type: 'string',
    help: "the node's own resolver, for DNS and for pods (default: /etc/resolv.conf, or systemd-resolved's servers behind it)",
    value: 'FILE',
  },
  'proxy-mode': { type: 'string', help: `how Services are made: ${proxyModes.join(', ')}`, value: 'MODE', default: 'auto' },
  port: { type: 'number', help: 'port of the node API', value: 'PORT', default: 10_250 },
  'node-labels': { type: 'list', help: 'labels of the Node', value: 'KEY=VALUE,…' },
  'register-with-taints': { type: 'list', help: 'taints of the Node', value: 'KEY=VALUE:EFFECT,…' },
  'container-runtime-endpoint': {
    type: 'string',
    help: 'socket of another CRI runtime (unix:///run/containerd/containerd.sock) instead of our own',
    value: 'URL',
    default: '',
  },
  'image-layer-limit': {
    type: 'number',
    help: 'most bytes that one layer of an image may unpack to (default: 100 GiB)',
    value: 'BYTES',
  },
  'shutdown-grace-period': { type: 'number', help: 'seconds that pods may take when the machine goes down', value: 'SECONDS', default: 0 },
  'shutdown-grace-period-critical-pods': {
    type: 'number',
    help: 'how many of them are for critical pods, which end last',
    value: 'SECONDS',
    default: 0,
  },
  'kubelet-config': {
    type: 'string',
    help: 'a KubeletConfiguration: what may be said of the kubelet beyond flags',
    value: 'FILE',
    default: '',
  },
  'pod-manifest-path': { type: 'string', help: 'folder of static pods', value: 'DIR', default: paths.manifests },
  ...common,
} as const satisfies FlagSpecs

export const usage = (name: string, what: string, flags: FlagSpecs): string =>
  `${what}\n\nUsage: knarr ${name} [FLAGS]\n\n${describeFlags(flags)}\n`

export function logOf(name: string, level: string): ReturnType<typeof processLog> {
  if (!['debug', 'info', 'warn', 'error'].includes(level)) throw new UsageError(`--log-level: "${level}" is not debug, info, warn or error`)
  return processLog({ level: level as LogLevel, name })
}

export function ownAddress(given: string | undefined, flag: string): string {
  const address = given ?? nodeAddress()
  if (address === undefined) throw new UsageError(`this machine has no address but loopback: give it one, or say --${flag}=IP`)
  if (isIP(address) === 0) throw new UsageError(`--${flag}: "${address}" is no IP address`)
  if (/^(127\.|0\.0\.0\.0$|::1?$)/.test(address))
    throw new UsageError(`--${flag}: other machines cannot reach this one at ${address}: give an address of its network`)
  return address
}

export function serverOptions(flags: Flags<typeof serverFlags>): ServerOptions {
  // What is no range and no store is told before anything is done.
  kubernetesServiceIp(flags['service-cidr'])
  if (flags.store !== '') etcdEndpoints(flags.store)
  return {
    nodeName: flags['node-name'],
    advertiseAddress: ownAddress(flags['advertise-address'], 'advertise-address'),
    bindAddress: flags['bind-address'],
    port: flags['secure-port'],
    serviceCidr: flags['service-cidr'],
    clusterCidrs: podRanges(flags['cluster-cidr'], flags['service-cidr']),
    clusterDomain: flags['cluster-domain'],
    pki: flags['cert-dir'],
    adminConf: paths.adminConf,
    dataDir: flags['data-dir'],
    store: flags.store,
    etcdCaFile: flags['etcd-cafile'],
    etcdCertFile: flags['etcd-certfile'],
    etcdKeyFile: flags['etcd-keyfile'],
    extraSans: flags['tls-san'],
  }
}

function kubeletConfiguration(path: string): KubeletConfiguration {
  if (path === '') return { settings: {}, withoutEffect: [] }
  // The agent starts elsewhere, and again after the machine does.
  if (!isAbsolute(path)) throw new UsageError(`--kubelet-config: "${path}": give the whole path, from / on`)
  try {
    return parseKubeletConfiguration(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new UsageError(`--kubelet-config: ${path}: ${explain(error)}`)
  }
}

export function agentOptions(flags: Flags<typeof agentFlags>): AgentOptions {
  const mode = proxyModes.find((each) => each === flags['proxy-mode'])
  if (!mode) throw new UsageError(`--proxy-mode: "${flags['proxy-mode']}" is none of ${proxyModes.join(', ')}`)
  const dns = flags['cluster-dns']
  return {
    nodeName: flags['node-name'],
    nodeIp: ownAddress(flags['node-ip'], 'node-ip'),
    kubeconfig: flags.kubeconfig,
    clusterDomain: flags['cluster-domain'],
    serviceCidr: flags['service-cidr'],
    clusterDns: dns === 'none' ? '' : (dns ?? clusterDnsIp(flags['service-cidr'])),
    clusterCidrs: podRanges(flags['cluster-cidr'], flags['service-cidr']),
    resolvConf: flags['resolv-conf'],
    proxyMode: mode satisfies ProxyMode,
    port: flags.port,
    nodeLabels: Object.fromEntries(
      flags['node-labels'].map((pair) => {
        const [key = '', value = ''] = pair.split('=')
        return [key, value]
      }),
    ),
    nodeTaints: flags['register-with-taints'].map((text) => {
      const match = /^([^=:]+)(?:=([^:]*))?:(NoSchedule|PreferNoSchedule|NoExecute)$/.exec(text)
      if (!match?.[1] || !match[3]) throw new UsageError(`--register-with-taints: "${text}" is no taint: write KEY=VALUE:NoSchedule`)
      return { key: match[1], effect: match[3], ...(match[2] ? { value: match[2] } : {}) }
    }),
    staticPodPath: flags['pod-manifest-path'],
    kubeletConfiguration: kubeletConfiguration(flags['kubelet-config']),
    runtimeEndpoint: flags['container-runtime-endpoint'],
    imageLayerLimit: flags['image-layer-limit'],
    shutdownGraceSeconds: flags['shutdown-grace-period'],
    shutdownGraceSecondsCritical: flags['shutdown-grace-period-critical-pods'],
  }
}

export const upFlags = {
  ...serverFlags,
  ...agentFlags,
  'advertise-address': serverFlags['advertise-address'],
  'write-kubeconfig': {
    type: 'string',
    help: 'merge the cluster into this kubeconfig of a user',
    value: 'FILE',
    bare: defaultUserConfig(),
  },
  demo: { type: 'boolean', help: 'show what the cluster does: images, a rollout under load, and back; needs no network' },
  timeout: { type: 'number', help: 'seconds to wait for the node to be Ready', default: 60 },
} as const satisfies FlagSpecs

/** The flags a person gave, as words for the process that they concern. */
export function passOn(flags: Readonly<Record<string, unknown>>, given: ReadonlySet<string>, specs: FlagSpecs): string[] {
  return [...given].filter((name) => Object.hasOwn(specs, name)).map((name) => `--${name}=${String(flags[name])}`)
}

export const requireRoot = (): void => {
  if (process.getuid?.() !== 0) throw new UsageError('this needs root: run it with sudo')
}
