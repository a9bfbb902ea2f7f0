// Every namespace has the ServiceAccount `default`: pods that name none run as it.
import { Namespace, ServiceAccount } from '../../../api/index.js'
import { isStatus } from '../../../lib/index.js'
import type { Controller } from '../types.js'
import { watch } from '../types.js'

export const serviceAccount: Controller = {
  name: 'serviceaccount',
  component: 'service-account-controller',
  for: Namespace,
  watches: [watch(ServiceAccount, (account) => (account.metadata.name === 'default' ? [account.metadata.namespace ?? ''] : []))],
  async reconcile(key, { cache, client }) {
    const namespace = cache.get(Namespace, key)
    if (!namespace || namespace.status?.phase === 'Terminating' || namespace.metadata.deletionTimestamp) return undefined
    if (cache.get(ServiceAccount, `${key}/default`)) return undefined
    try {
      await client.create(ServiceAccount, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace: key } })
    } catch (error) {
      if (!isStatus(error, 'AlreadyExists', 'Forbidden', 'NotFound')) throw error
    }
    return undefined
  },
}
