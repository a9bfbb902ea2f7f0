// The label by which `kubectl get nodes` tells that a machine carries the control plane. A node may not give it to itself.
import { Node } from '../api/index.js'
import { type Client, informer } from '../client/index.js'
import { asError, type Clock, isStatus, type Logger } from '../lib/index.js'

const LABEL = 'node-role.kubernetes.io/control-plane'

export interface ControlPlaneRoleOptions {
  readonly client: Client
  /** Of the machine that the server runs on; there may be no node of that name. */
  readonly nodeName: string
  readonly clock: Clock
  readonly log: Logger
}

/** Labels the node when it registers, until the signal. Who takes the label away has it stay away until the next start. */
export async function labelControlPlane({ client, nodeName, clock, log }: ControlPlaneRoleOptions, signal: AbortSignal): Promise<void> {
  const node = informer(client, Node, { fieldSelector: `metadata.name=${nodeName}`, clock, log })
  node.subscribe({
    added({ metadata }) {
      if (metadata.labels?.[LABEL] !== undefined) return
      client.patch(Node, { name: nodeName }, { metadata: { labels: { [LABEL]: '' } } }, { type: 'merge' }).catch((error: unknown) => {
        if (!signal.aborted && !isStatus(error, 'NotFound')) log.warn('the node was not labelled', { node: nodeName, err: asError(error) })
      })
    },
  })
  await node.run(signal)
}
