// ClusterTrustBundles as files: one by name, or all of a signer that a selector chooses.
import { ClusterTrustBundle, type ClusterTrustBundleProjection, formatLabelSelector, type LabelSelector } from '../../api/index.js'
import type { Client } from '../../client/index.js'
import { isStatus } from '../../lib/index.js'

export interface TrustBundles {
  named(name: string): Promise<string | undefined>
  /** Bundles of a signer, those that the selector chooses. */
  ofSigner(signer: string, selector: LabelSelector): Promise<readonly string[]>
}

export function trustBundles(client: Client): TrustBundles {
  return {
    async named(name) {
      return (await client.find(ClusterTrustBundle, { name }))?.spec?.trustBundle
    },
    async ofSigner(signer, selector) {
      const labelSelector = formatLabelSelector(selector)
      try {
        const { items } = await client.list(ClusterTrustBundle, labelSelector ? { labelSelector } : {})
        return items.filter(({ spec }) => spec?.signerName === signer).map(({ spec }) => spec?.trustBundle ?? '')
      } catch (error) {
        if (isStatus(error, 'NotFound')) return []
        throw error
      }
    },
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
export async function trustBundle(bundles: TrustBundles, projection: ClusterTrustBundleProjection): Promise<string> {
  const { name, signerName, labelSelector, optional } = projection
  if (name) {
    const text = await bundles.named(name)
    if (text === undefined && !optional) throw new Error(`clustertrustbundle "${name}" not found`)
    return joinBundles(text === undefined ? [] : [text])
  }
  // No selector chooses nothing; an empty one everything.
  const found = signerName && labelSelector ? await bundles.ofSigner(signerName, labelSelector) : []
  if (found.length === 0 && !optional)
    throw new Error(`combination of signerName and labelSelector matched zero ClusterTrustBundles: ${signerName ?? ''}`)
  return joinBundles(found)
}
