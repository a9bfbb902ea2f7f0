// Namespaces carry their own name as a label and a finalizer until they are empty.
import type { JsonObject } from '../../../api/index.js'
import type { KindHooks } from '../registry/hooks.js'

export const namespaceHooks: KindHooks = {
  beforeWrite(object, previous, { subresource }) {
    if (subresource !== '') return
    const metadata = object.metadata as JsonObject
    if (metadata.name) metadata.labels = { ...(metadata.labels as JsonObject | undefined), 'kubernetes.io/metadata.name': metadata.name }
    if (previous) return
    object.spec ??= {}
    const spec = object.spec as JsonObject
    const finalizers = (spec.finalizers ?? []) as string[]
    if (!finalizers.includes('kubernetes')) spec.finalizers = [...finalizers, 'kubernetes']
  },
}
