// ClusterTrustBundles as files: one by name, or all of a signer that a selector chooses.
import { ClusterTrustBundle, type ClusterTrustBundleProjection, type LabelSelector, labelSelector } from '../../api/index.js'
import { type Client, type Informer, informer } from '../../client/index.js'
import type { Clock, Logger } from '../../lib/index.js'

export interface TrustBundles {
  named(name: string, podUid: string): Promise<string | undefined>
  /** Bundles of a signer, those that the selector chooses. */
  ofSigner(signer: string, selector: LabelSelector, podUid: string): Promise<readonly string[]>
  /** The pod shows none of them any more. */
  forget(podUid: string): void
}

export interface TrustBundlesOptions {
  readonly client: Client
  readonly clock: Clock
  readonly log: Logger
  readonly signal: AbortSignal
  /** A bundle has come, changed or gone. */
  readonly changed: (podUid: string) => void
}

export function trustBundles({ client, clock, log, signal, changed }: TrustBundlesOptions): TrustBundles {
  const users = new Set<string>()
  let cache: Informer<ClusterTrustBundle> | undefined

  /** All bundles, from the first pod on that shows one. */
  async function all(podUid: string): Promise<Informer<ClusterTrustBundle>> {
    users.add(podUid)
    if (!cache) {
      cache = informer(client, ClusterTrustBundle, { clock, log })
      const tell = (): void => {
        if (cache?.hasSynced) for (const uid of users) changed(uid)
      }
      cache.subscribe({ added: tell, updated: tell, deleted: tell })
      void cache.run(signal)
    }
    await cache.synced
    return cache
  }

  return {
    named: async (name, podUid) => (await all(podUid)).get(name)?.spec.trustBundle,
    async ofSigner(signer, selector, podUid) {
      const { matches } = labelSelector(selector)
      return (await all(podUid))
        .list()
        .filter(({ spec, metadata }) => spec.signerName === signer && matches(metadata.labels))
        .map(({ spec }) => spec.trustBundle)
    },
    forget: (podUid) => void users.delete(podUid),
  }
}

/** Every certificate once, in an order that does not change from one write to the next. */
export function joinBundles(bundles: readonly string[]): string {
  const blocks = bundles.flatMap((text) => text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [])
  const unique = new Map(blocks.map((block) => [block.replace(/\s+/g, ''), block]))
  return [...unique]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, block]) => `${block}\n`)
    .join('')
}

/** The text of the file. Throws when the bundle is missing and not optional. */
export async function trustBundle(bundles: TrustBundles, projection: ClusterTrustBundleProjection, podUid: string): Promise<string> {
  const { name, signerName, labelSelector: selector, optional } = projection
  if (name) {
    const text = await bundles.named(name, podUid)
    if (text === undefined && !optional) throw new Error(`clustertrustbundle "${name}" not found`)
    return joinBundles(text === undefined ? [] : [text])
  }
  // No selector chooses nothing; an empty one everything.
  const found = signerName && selector ? await bundles.ofSigner(signerName, selector, podUid) : []
  if (found.length === 0 && !optional)
    throw new Error(`combination of signerName and labelSelector matched zero ClusterTrustBundles: ${signerName ?? ''}`)
  return joinBundles(found)
}
