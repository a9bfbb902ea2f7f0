// What every pod worker shares.
import type { Container, EphemeralContainer, Pod, Service } from '../../api/index.js'
import type { Client, EventRecorder } from '../../client/index.js'
import type { Cri } from '../../cri/index.js'
import type { Clock, Logger, Random } from '../../lib/index.js'
import type { Puller } from '../image/puller.js'
import type { CgroupHost, KubeletSettings, VolumeHost } from '../options.js'
import type { ProbeCounts } from '../probe/counts.js'
import type { DnsContext } from '../sandbox/dns.js'
import type { ReferencedObjects } from '../volume/objects.js'
import type { Volumes } from '../volume/volumes.js'
import type { BackOffTable } from './back-off.js'
import type { Qos } from './qos.js'
import type { StatusWriter } from './status-writer.js'

export interface NodeView {
  readonly name: string
  hostIps(): readonly string[]
  allocatable(): Readonly<Record<string, string>>
  readonly memoryCapacity: number
  readonly pidMax: number
  /** The runtime's name as in container ids. */
  runtime(): string
  /** Why pods cannot have a network of their own now, if so. */
  networkProblem(): Promise<string | undefined>
  /** The runtime can make mounts read-only with all that is mounted below them. */
  recursiveReadOnly(): boolean
}

export interface PodServices {
  readonly client: Client
  readonly cri: Cri
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly recorder: EventRecorder
  readonly puller: Puller
  readonly volumes: Volumes
  readonly volumeHost: VolumeHost
  readonly cgroups: CgroupHost | undefined
  readonly qos: Qos
  readonly objects: ReferencedObjects
  readonly status: StatusWriter
  readonly crashes: BackOffTable
  readonly probeCounts: ProbeCounts
  readonly node: NodeView
  readonly settings: KubeletSettings
  /** So many sandboxes are made at one time: with a hundred pods the first ones run while the last ones wait. */
  readonly sandboxSlots: <T>(task: () => Promise<T>) => Promise<T>
  readonly root: string
  readonly podLogs: string
  readonly containerLogs: string
  dns(): DnsContext
  services(): readonly Service[]
  /** Why the pod cannot run here, if so. */
  admit(pod: Pod): { readonly reason: string; readonly message: string } | undefined
}

export type AnyContainer = Container | EphemeralContainer
