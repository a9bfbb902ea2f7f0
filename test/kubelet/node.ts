// The kubelet of a scene: all that it needs of the scene is on disk, so that another process can be it too.
import { join } from 'node:path'
import type { Client } from '../../src/client/index.js'
import { cgroupHost, volumeHost } from '../../src/cluster/hosts.js'
import type { Cri } from '../../src/cri/index.js'
import { createKubelet, type Kubelet, type KubeletSettings } from '../../src/kubelet/index.js'
import { systemClock, systemRandom } from '../../src/lib/index.js'
import { podKey } from '../../src/pki/index.js'
import { testLog } from '../cri/scene.js'

export const NODE = 'node-a'

/** A network of its own: the usual port is free. */
export const PORT = 10250

export interface NodeOptions {
  readonly client: Client
  readonly cri: Cri
  readonly clientCa?: string
  readonly settings: Partial<KubeletSettings>
}

export const kubeletIn = (dir: string, { settings, ...options }: NodeOptions): Kubelet =>
  createKubelet({
    ...options,
    nodeName: NODE,
    version: 'v1.37.0+knarr',
    root: join(dir, 'kubelet'),
    podLogs: join(dir, 'pod-logs'),
    containerLogs: join(dir, 'container-logs'),
    clock: systemClock,
    random: systemRandom,
    log: testLog,
    nodeIps: ['127.0.0.1'],
    port: PORT,
    settings,
    volumeHost,
    cgroups: cgroupHost,
    newPodKey: podKey,
  })
