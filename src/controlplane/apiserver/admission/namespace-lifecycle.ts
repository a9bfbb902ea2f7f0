// Nothing is made in a namespace that is not there or is going, and the system's namespaces stay.
import { forbiddenError, Namespace, notFoundError } from '../../../api/index.js'
import type { Reader } from '../registry/backend.js'
import type { AdmissionPlugin } from './plugin.js'

const IMMORTAL = new Set(['default', 'kube-system', 'kube-public'])

export function namespaceLifecycle(reader: Reader): AdmissionPlugin {
  return {
    name: 'NamespaceLifecycle',
    async admit({ operation, type, namespace, name, subresource }) {
      if (type.group === '' && type.plural === 'namespaces') {
        if (operation === 'DELETE' && IMMORTAL.has(name)) throw forbiddenError(type, name, 'this namespace may not be deleted')
        return
      }
      if (operation !== 'CREATE' || !type.namespaced || subresource !== '') return
      // Reviews ask about namespaces that need not exist.
      if (type.group === 'authorization.k8s.io') return
      const found = await reader.find(Namespace, '', namespace)
      if (!found) throw notFoundError(Namespace, namespace)
      if (found.metadata.deletionTimestamp || found.status?.phase === 'Terminating') {
        throw Object.assign(
          forbiddenError(type, name, `unable to create new content in namespace ${namespace} because it is being terminated`),
          {
            details: {
              name,
              kind: type.plural,
              ...(type.group && { group: type.group }),
              causes: [
                { reason: 'NamespaceTerminating', message: `namespace ${namespace} is being terminated`, field: 'metadata.namespace' },
              ],
            },
          },
        )
      }
    },
  }
}
