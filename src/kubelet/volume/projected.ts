// The files of a volume that the API fills: configMap, secret, downwardAPI, projected.
import type { Pod, ProjectedVolumeSource, Volume } from '../../api/index.js'
import type { FieldContext } from '../container/fields.js'
import type { VolumeFile } from './atomic-writer.js'
import type { ReferencedObjects } from './objects.js'
import { configMapFiles, downwardFiles, type Files, merge, secretFiles } from './payload.js'
import type { PodCertificates } from './pod-certificates.js'
import type { TokenSource } from './tokens.js'
import { type TrustBundles, trustBundle } from './trust-bundle.js'

export interface FileSources {
  readonly objects: ReferencedObjects
  readonly tokens: TokenSource
  readonly bundles: TrustBundles
  readonly certificates: PodCertificates
  readonly fields: (pod: Pod) => FieldContext
}

/** The one user of all containers, if they agree: a token readable by it alone is enough. */
function commonUser(pod: Pod): number | undefined {
  const users = new Set(
    [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])].map(
      ({ securityContext }) => securityContext?.runAsUser ?? pod.spec?.securityContext?.runAsUser,
    ),
  )
  const [user] = users
  return users.size === 1 ? user : undefined
}

/** Keys and tokens are for the pod's own user or group alone, when it has one. */
function credentialFile(pod: Pod, text: string, defaultMode: number | undefined): VolumeFile {
  const uid = commonUser(pod)
  const narrow = uid !== undefined || pod.spec?.securityContext?.fsGroup !== undefined
  return { bytes: Buffer.from(text), mode: narrow ? 0o600 : (defaultMode ?? 0o644), uid }
}

async function projectedFiles(
  pod: Pod,
  volume: string,
  { sources = [], defaultMode }: ProjectedVolumeSource,
  from: FileSources,
): Promise<Files> {
  const { namespace = '', uid = '' } = pod.metadata
  const parts: Files[] = []
  for (const [index, source] of sources.entries()) {
    if (source.configMap) {
      const { name = '' } = source.configMap
      parts.push(configMapFiles(await from.objects.configMap(namespace, name, uid), source.configMap, defaultMode))
    } else if (source.secret) {
      const { name = '' } = source.secret
      parts.push(secretFiles(await from.objects.secret(namespace, name, uid), source.secret, defaultMode))
    } else if (source.downwardAPI) {
      parts.push(downwardFiles(pod, source.downwardAPI.items, defaultMode, from.fields(pod)))
    } else if (source.serviceAccountToken) {
      const token = await from.tokens.token(pod, source.serviceAccountToken)
      parts.push(new Map([[source.serviceAccountToken.path, credentialFile(pod, token, defaultMode)]]))
    } else if (source.podCertificate) {
      const { keyPath, certificateChainPath, credentialBundlePath } = source.podCertificate
      const { key, chain } = await from.certificates.credentials(pod, { volume, index }, source.podCertificate)
      const files = [
        [credentialBundlePath, key + chain],
        [keyPath, key],
        [certificateChainPath, chain],
      ] as const
      parts.push(new Map(files.flatMap(([path, text]) => (path ? [[path, credentialFile(pod, text, defaultMode)] as const] : []))))
    } else if (source.clusterTrustBundle) {
      const text = await trustBundle(from.bundles, source.clusterTrustBundle, uid)
      parts.push(new Map([[source.clusterTrustBundle.path, { bytes: Buffer.from(text), mode: defaultMode ?? 0o644 }]]))
    } else throw new Error('a projected source of a kind that this node does not know')
  }
  return merge(...parts)
}

/** Undefined for volumes that the API does not fill. */
export async function filesOf(pod: Pod, volume: Volume, from: FileSources): Promise<Files | undefined> {
  const { namespace = '', uid = '' } = pod.metadata
  const { configMap, secret, downwardAPI, projected } = volume
  if (configMap) return configMapFiles(await from.objects.configMap(namespace, configMap.name ?? '', uid), configMap, configMap.defaultMode)
  if (secret) {
    const named = { ...secret, name: secret.secretName }
    return secretFiles(await from.objects.secret(namespace, secret.secretName ?? '', uid), named, secret.defaultMode)
  }
  if (downwardAPI) return downwardFiles(pod, downwardAPI.items, (downwardAPI as { defaultMode?: number }).defaultMode, from.fields(pod))
  if (projected) return await projectedFiles(pod, volume.name, projected, from)
  return undefined
}
