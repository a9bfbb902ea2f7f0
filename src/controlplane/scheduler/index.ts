// The scheduler: gives each pod a node.
import type { Client } from '../../client/index.js'
import type { Clock, Logger, Random } from '../../lib/index.js'

export interface RunSchedulerOptions {
  readonly client: Client
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly signal: AbortSignal
  /** Candidate's name for the lease `kube-scheduler`; without one there is no election. */
  readonly identity?: string
  /** Called whenever this process has begun to lead and every cache is in. */
  readonly onReady?: () => void
}
