// The pod network of a node: a CNI configuration for its own pods, ways to the pods of the others.
import { mkdirSync, watch } from 'node:fs'
import { join } from 'node:path'
import { isCidr, Node } from '../api/index.js'
import { type Client, informer } from '../client/index.js'
import { type Overlay, type OverlayMode, type OverlayNode, overlay } from '../cni/index.js'
import { asError, type Clock, type Logger } from '../lib/index.js'
import { readFileIfPresent, writeFileAtomic } from './files.js'

export interface ConflistOptions {
  readonly podCidrs: readonly string[]
  /** Ranges of the whole pod network: packets to them keep their source. */
  readonly clusterCidrs: readonly string[]
  readonly mtu: number
}

/** The configuration list that runtimes read. Pure. */
export const conflist = ({ podCidrs, clusterCidrs, mtu }: ConflistOptions): string =>
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
          ipMasq: true,
          nonMasqueradeCIDRs: clusterCidrs,
          mtu,
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

/** What the add-on asks for. */
export interface PodNetworkRequest {
  readonly clusterCidrs: readonly string[]
  readonly mode: OverlayMode
}

export interface PodNetworkOptions extends PodNetworkRequest {
  readonly client: Client
  readonly nodeName: string
  readonly confDir: string
  readonly clock: Clock
  readonly log: Logger
}

const podCidrsOf = ({ spec }: Node): readonly string[] => spec?.podCIDRs ?? (spec?.podCIDR ? [spec.podCIDR] : [])

/** A node as the overlay sees it; undefined as long as it lacks an address or a range. */
export function overlayNode(node: Node): OverlayNode | undefined {
  const addresses = (node.status?.addresses ?? []).filter(({ type }) => type === 'InternalIP').map(({ address }) => address)
  const podCidrs = podCidrsOf(node)
  const [address, otherAddress] = addresses
  if (address === undefined || podCidrs.length === 0) return undefined
  return { name: node.metadata.name, address, podCidrs, ...(otherAddress === undefined ? {} : { otherAddress }) }
}

/** Works until aborted; routes stay, because pods go on talking while the agent is away. */
async function runPodNetwork(options: PodNetworkOptions, signal: AbortSignal): Promise<void> {
  const { client, nodeName, confDir, clusterCidrs, mode, clock, log } = options
  const nodes = informer(client, Node, { clock, log })
  const path = join(confDir, '10-knarr.conflist')
  let self: OverlayNode | undefined
  let ways: Overlay | undefined

  /** The overlay of this node; made anew when its address or range changes. */
  function overlayOf(mine: OverlayNode): Overlay {
    if (ways && JSON.stringify(self) === JSON.stringify(mine)) return ways
    self = mine
    const made = overlay({ self: mine, mode, clock })
    made.watch(signal, (error) => log.error('pod network could not be repaired', { err: asError(error) }))
    ways = made
    return made
  }

  const sync = (): void => {
    const mine = nodes.get(nodeName)
    const own = mine && overlayNode(mine)
    if (!own) return
    try {
      const current = overlayOf(own)
      const text = conflist({ podCidrs: own.podCidrs, clusterCidrs, mtu: current.podMtu() })
      if (readFileIfPresent(path) !== text) {
        writeFileAtomic(path, text, 0o644)
        log.info('pod network configured', { podCidrs: own.podCidrs })
      }
      const peers = nodes.list().flatMap((node) => (node.metadata.name === nodeName ? [] : (overlayNode(node) ?? [])))
      log.debug('ways to peers', { paths: current.update(peers).paths })
    } catch (error) {
      log.error('pod network could not be brought up to date', { err: asError(error) })
    }
  }
  /** Heartbeats change nodes all the time; only what concerns the network counts. */
  const facts = (node: Node): string => JSON.stringify(overlayNode(node) ?? null)
  nodes.subscribe({ added: sync, deleted: sync, updated: (node, before) => facts(node) !== facts(before) && sync() })
  await nodes.run(signal)
}

/** Reads the add-on's `network.json`, which may leave out the cluster's ranges; throws with what is wrong. Pure. */
export function parseRequest(source: string, ofCluster: readonly string[]): PodNetworkRequest {
  const { clusterCidrs = ofCluster, mode = 'auto' } = JSON.parse(source) as Partial<Record<keyof PodNetworkRequest, unknown>>
  if (!Array.isArray(clusterCidrs) || !clusterCidrs.every((cidr) => typeof cidr === 'string' && isCidr(cidr)))
    throw new Error('clusterCidrs: want a list of ranges such as 10.244.0.0/16')
  const known = (['auto', 'direct', 'vxlan'] as const).find((each) => each === mode)
  if (!known) throw new Error(`mode: "${String(mode)}" is none of auto, direct, vxlan`)
  return { clusterCidrs, mode: known }
}

/** Waits for the add-on to leave its request in `folder`, and runs the pod network as it asks; again when it asks for something else. */
export async function followPodNetwork(
  { folder, ...options }: Omit<PodNetworkOptions, 'mode'> & { readonly folder: string },
  signal: AbortSignal,
): Promise<void> {
  mkdirSync(folder, { recursive: true })
  let current = new AbortController()
  let running: Promise<void> = Promise.resolve()
  let asked: string | undefined
  const look = (): void => {
    const source = readFileIfPresent(join(folder, 'network.json'))
    if (source === undefined || source === asked || signal.aborted) return
    asked = source
    current.abort()
    current = new AbortController()
    const own = current.signal
    running = running
      .then(() => runPodNetwork({ ...options, ...parseRequest(source, options.clusterCidrs) }, own))
      .catch((error: unknown) => {
        if (!own.aborted) options.log.error('pod network could not be set up', { err: asError(error) })
      })
  }
  const watcher = watch(folder, look)
  signal.addEventListener('abort', () => current.abort(), { once: true })
  look()
  await new Promise<void>((resolve) => (signal.aborted ? resolve() : signal.addEventListener('abort', () => resolve(), { once: true })))
  watcher.close()
  await running
}
