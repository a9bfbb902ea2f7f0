// Every namespace has the ConfigMap `kube-root-ca.crt`: what pods trust the API server by.
import { ConfigMap, Namespace } from '../../../api/index.js'
import { isStatus } from '../../../lib/index.js'
import type { Controller } from '../types.js'
import { watch } from '../types.js'

const NAME = 'kube-root-ca.crt'
const DESCRIPTION = 'kubernetes.io/description'

export const rootCa: Controller = {
  name: 'root-ca-certificate-publisher',
  for: Namespace,
  watches: [watch(ConfigMap, (map) => (map.metadata.name === NAME ? [map.metadata.namespace ?? ''] : []))],
  async reconcile(key, { cache, client, options }) {
    const namespace = cache.get(Namespace, key)
    if (!options.rootCa || !namespace || namespace.status?.phase === 'Terminating' || namespace.metadata.deletionTimestamp) return undefined
    const data = { 'ca.crt': options.rootCa }
    const current = cache.get(ConfigMap, `${key}/${NAME}`)
    const annotations = {
      ...current?.metadata.annotations,
      [DESCRIPTION]: 'Contains the certificates by which the API server is known. Only for talking to it from inside the cluster.',
    }
    try {
      if (!current) {
        await client.create(ConfigMap, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: NAME, namespace: key, annotations }, data })
      } else if (Object.keys(current.data ?? {}).length !== 1 || current.data?.['ca.crt'] !== options.rootCa) {
        await client.update(ConfigMap, { ...current, metadata: { ...current.metadata, annotations }, data })
      }
    } catch (error) {
      if (!isStatus(error, 'AlreadyExists', 'Forbidden', 'NotFound')) throw error
    }
    return undefined
  },
}
