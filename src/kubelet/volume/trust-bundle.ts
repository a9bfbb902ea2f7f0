// ClusterTrustBundles as files: one by name, or all of a signer that a selector chooses.
import { type ClusterTrustBundleProjection, type Kind, kind, type LabelSelector, type Resource } from '../../api/index.js'
import type { Client } from '../../client/index.js'
import { isStatus } from '../../lib/index.js'

interface ClusterTrustBundle extends Resource {
  readonly apiVersion: 'certificates.k8s.io/v1'
  readonly kind: 'ClusterTrustBundle'
  readonly spec?: { readonly signerName?: string; readonly trustBundle: string }
}

const ClusterTrustBundle: Kind<ClusterTrustBundle> = kind<ClusterTrustBundle>({
  group: 'certificates.k8s.io',
  version: 'v1',
  kind: 'ClusterTrustBundle',
  plural: 'clustertrustbundles',
  namespaced: false,
  subresources: [],
})

export interface TrustBundles {
  named(name: string): Promise<string | undefined>
  /** Bundles of a signer, those that the selector chooses. */
  ofSigner(signer: string, selector: LabelSelector): Promise<readonly string[]>
}

const selectorText = ({ matchLabels, matchExpressions }: LabelSelector): string =>
  [
    ...Object.entries(matchLabels ?? {}).map(([key, value]) => `${key}=${value}`),
    ...(matchExpressions ?? []).map(({ key, operator, values = [] }) =>
      operator === 'Exists'
        ? key
        : operator === 'DoesNotExist'
          ? `!${key}`
          : `${key} ${operator === 'In' ? 'in' : 'notin'} (${values.join(',')})`,
    ),
  ].join(',')

export function trustBundles(client: Client): TrustBundles {
  return {
    async named(name) {
      return (await client.find(ClusterTrustBundle, { name }))?.spec?.trustBundle
    },
    async ofSigner(signer, selector) {
      const labelSelector = selectorText(selector)
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
