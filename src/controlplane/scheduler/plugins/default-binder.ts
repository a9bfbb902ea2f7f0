// Writes the decision: the Binding subresource of the pod.
import { Pod } from '../../../api/index.js'
import type { Plugin } from '../plugin.js'

export const defaultBinder: Plugin = {
  name: 'DefaultBinder',
  local: true,
  async bind({ client, pod, nodeName }) {
    const { name, namespace, uid } = pod.pod.metadata
    await client.createSubresource(Pod, { name, namespace }, 'binding', {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name, namespace, uid },
      target: { apiVersion: 'v1', kind: 'Node', name: nodeName },
    })
  },
}
