// A pod's network by CNI.
import type { Cni, RuntimeConfig } from '../cni/index.js'
import type { NetworkPod, PodNetwork } from './engine.js'
import { sentence } from './errors.js'
import type { PodSandboxConfig } from './types.js'

/** What plugins are told of the pod: port mappings, DNS, bandwidth. Pure. */
export function runtimeConfigOf({ portMappings = [], dnsConfig, annotations = {} }: PodSandboxConfig): RuntimeConfig {
  const ports = portMappings
    .filter(({ hostPort }) => hostPort)
    .map(({ hostPort = 0, containerPort, protocol = 'TCP', hostIp }) => ({
      hostPort,
      containerPort,
      protocol: protocol.toLowerCase(),
      ...(hostIp ? { hostIP: hostIp } : {}),
    }))
  const bandwidth = {
    ...rate('ingress', annotations['kubernetes.io/ingress-bandwidth']),
    ...rate('egress', annotations['kubernetes.io/egress-bandwidth']),
  }
  return {
    ...(ports.length > 0 ? { portMappings: ports } : {}),
    ...(dnsConfig
      ? { dns: { nameservers: dnsConfig.servers ?? [], search: dnsConfig.searches ?? [], options: dnsConfig.options ?? [] } }
      : {}),
    ...(Object.keys(bandwidth).length > 0 ? { bandwidth } : {}),
  }
}

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 1024,
  Mi: 1024 ** 2,
  Gi: 1024 ** 3,
  Ti: 1024 ** 4,
}

/** The bandwidth plugin wants bits per second and a burst; `10M` is what people write. */
function rate(direction: 'ingress' | 'egress', text: string | undefined): Readonly<Record<string, number>> {
  const match = /^(\d+(?:\.\d+)?)(|k|M|G|T|Ki|Mi|Gi|Ti)$/.exec(text ?? '')
  if (!match) return {}
  const bits = Math.round(Number(match[1]) * (UNITS[match[2] ?? ''] ?? 1))
  return { [`${direction}Rate`]: bits, [`${direction}Burst`]: 0x7fffffff }
}

/** The words that plugins and their logs know a pod by. */
const argsOf = ({ id, config: { metadata } }: NetworkPod): Readonly<Record<string, string>> => ({
  IgnoreUnknown: '1',
  K8S_POD_NAMESPACE: metadata.namespace,
  K8S_POD_NAME: metadata.name,
  K8S_POD_INFRA_CONTAINER_ID: id,
  K8S_POD_UID: metadata.uid,
})

export function cniNetwork(cni: Cni): PodNetwork {
  return {
    async setUp(pod) {
      const result = await cni.add({ containerId: pod.id, netns: pod.netns, runtimeConfig: runtimeConfigOf(pod.config), args: argsOf(pod) })
      const ips = (result.ips ?? []).map(({ address }) => address.split('/')[0] ?? '').filter(Boolean)
      if (ips.length === 0) throw new Error('the network plugin gave the pod no address')
      return { ips }
    },
    async tearDown(pod) {
      await cni.del({ containerId: pod.id, netns: pod.netns, runtimeConfig: runtimeConfigOf(pod.config), args: argsOf(pod) })
    },
    async status() {
      try {
        const status = await cni.status()
        return status.ready
          ? { ready: true, reason: '', message: '' }
          : { ready: false, reason: 'NetworkPluginNotReady', message: `network plugin is not ready: ${status.message}` }
      } catch (error) {
        return { ready: false, reason: 'NetworkPluginNotReady', message: sentence(error) }
      }
    },
  }
}
