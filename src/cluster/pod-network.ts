// The pod network of a node: a CNI configuration for its own pods, ways to the pods of the others.
import { join } from 'node:path'
import { Node } from '../api/index.js'
import { type Client, informer } from '../client/index.js'
import type { Clock, Logger } from '../lib/index.js'
import { readFileIfPresent, writeFileAtomic } from './files.js'

/** The configuration list that runtimes read. Pure. */
export const conflist = (podCidrs: readonly string[], mtu?: number): string =>
  `${JSON.stringify(
    {
      cniVersion: '1.1.0',
      name: 'knarr',
      plugins: [
        {
          type: 'bridge',
          bridge: 'knarr-pods',
          isGateway: true,
          hairpinMode: true,
          ...(mtu === undefined ? {} : { mtu }),
          ipam: {
            type: 'host-local',
            ranges: podCidrs.map((subnet) => [{ subnet }]),
            routes: podCidrs.map((subnet) => ({ dst: subnet.includes(':') ? '::/0' : '0.0.0.0/0' })),
          },
        },
        { type: 'portmap', capabilities: { portMappings: true }, snat: true },
      ],
    },
    null,
    2,
  )}\n`

export interface PodNetworkOptions {
  readonly client: Client
  readonly nodeName: string
  readonly confDir: string
  readonly clock: Clock
  readonly log: Logger
}

export const podCidrsOf = (node: Node): readonly string[] => node.spec?.podCIDRs ?? (node.spec?.podCIDR ? [node.spec.podCIDR] : [])

/** Works until aborted. */
export async function runPodNetwork({ client, nodeName, confDir, clock, log }: PodNetworkOptions, signal: AbortSignal): Promise<void> {
  const nodes = informer(client, Node, { clock, log })
  const path = join(confDir, '10-knarr.conflist')
  const configure = (node: Node): void => {
    if (node.metadata.name !== nodeName) return
    const podCidrs = podCidrsOf(node)
    if (podCidrs.length === 0) return
    const text = conflist(podCidrs)
    if (readFileIfPresent(path) === text) return
    writeFileAtomic(path, text, 0o644)
    log.info('pod network configured', { podCidrs })
  }
  nodes.subscribe({ added: configure, updated: configure })
  await nodes.run(signal)
}
