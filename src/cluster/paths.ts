// Where everything lives on a machine. One place, so that `reset` knows what is ours.

export const paths = {
  config: '/etc/knarr',
  pki: '/etc/knarr/pki',
  adminConf: '/etc/knarr/admin.conf',
  kubeletConf: '/etc/knarr/kubelet.conf',
  bootstrapConf: '/etc/knarr/bootstrap-kubelet.conf',
  manifests: '/etc/knarr/manifests',
  state: '/var/lib/knarr',
  store: '/var/lib/knarr/store',
  images: '/var/lib/knarr/images',
  /** Where the pod network add-on leaves its request. */
  podNetwork: '/var/lib/knarr/pod-network',
  cniCache: '/var/lib/cni',
  kubelet: '/var/lib/kubelet',
  kubeletPki: '/var/lib/kubelet/pki',
  run: '/run/knarr',
  logs: '/var/log/knarr',
  podLogs: '/var/log/pods',
  containerLogs: '/var/log/containers',
  cniConf: '/etc/cni/net.d',
  cniBin: '/opt/cni/bin',
} as const
