// How the cluster is made, where kubeadm keeps it: whoever joins, and many add-ons, look there.
import { parse, stringify } from 'yaml'
import { ConfigMap } from '../api/index.js'
import type { Client } from '../client/index.js'
import type { ServerOptions } from './server.js'

export const CONFIGURATION_CONFIGMAP = { namespace: 'kube-system', name: 'kubeadm-config' } as const

interface Networking {
  readonly dnsDomain?: string
  readonly podSubnet?: string
  readonly serviceSubnet?: string
}

type Configured = Pick<ServerOptions, 'advertiseAddress' | 'port' | 'clusterDomain' | 'clusterCidrs' | 'serviceCidr' | 'pki'>

/** A ClusterConfiguration of kubeadm (kubeadm.k8s.io/v1beta4) with what is true here. */
export function clusterConfiguration({ advertiseAddress, port, clusterDomain, clusterCidrs, serviceCidr, pki }: Configured): ConfigMap {
  const networking: Networking = {
    dnsDomain: clusterDomain,
    ...(clusterCidrs.length > 0 ? { podSubnet: clusterCidrs.join(',') } : {}),
    serviceSubnet: serviceCidr,
  }
  const host = advertiseAddress.includes(':') ? `[${advertiseAddress}]` : advertiseAddress
  const configuration = {
    apiVersion: 'kubeadm.k8s.io/v1beta4',
    certificatesDir: pki,
    clusterName: 'kubernetes',
    controlPlaneEndpoint: `${host}:${port}`,
    kind: 'ClusterConfiguration',
    networking,
  }
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: CONFIGURATION_CONFIGMAP,
    data: { ClusterConfiguration: stringify(configuration) },
  }
}

/** The flags of the node agent that have to be the same on every node; none where a cluster does not say. */
export async function networkingFlags(client: Client): Promise<readonly string[]> {
  const map = await client.find(ConfigMap, CONFIGURATION_CONFIGMAP)
  const { networking = {} } = (parse(map?.data?.ClusterConfiguration ?? '{}') ?? {}) as { readonly networking?: Networking }
  const { dnsDomain, podSubnet = '', serviceSubnet } = networking
  return [
    ...(dnsDomain ? [`--cluster-domain=${dnsDomain}`] : []),
    ...(map ? [`--cluster-cidr=${podSubnet}`] : []),
    ...(serviceSubnet ? [`--service-cidr=${serviceSubnet}`] : []),
  ]
}
