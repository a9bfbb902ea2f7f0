// A signing request says who asked, and the server says it, not the client.
import type { JsonObject } from '../../../api/index.js'
import type { KindHooks } from '../registry/hooks.js'

export const certificateRequestHooks: KindHooks = {
  beforeWrite(object, previous, { user, subresource }) {
    if (previous || subresource !== '') return
    const spec = object.spec as JsonObject | undefined
    if (!spec) return
    spec.username = user.name
    spec.groups = [...user.groups]
    if (user.uid) spec.uid = user.uid
    else delete spec.uid
    if (Object.keys(user.extra).length > 0) spec.extra = structuredClone(user.extra) as JsonObject
    else delete spec.extra
    delete object.status
  },
}
