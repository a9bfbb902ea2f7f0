// A signing request says who asked and when it was decided, and the server says it where the client does not.
import { isObject, type JsonObject, type Resource } from '../../../api/index.js'
import { type Clock, rfc3339 } from '../../../lib/index.js'
import type { KindHooks } from '../registry/hooks.js'

const conditionsOf = (object: JsonObject | undefined): JsonObject[] => {
  const status = object?.status
  return isObject(status) && Array.isArray(status.conditions) ? status.conditions.filter(isObject) : []
}

/** Conditions without times get those of now; one that only says again what it said keeps the time since which it does. */
function dateConditions(object: JsonObject, previous: Resource, now: string): void {
  for (const condition of conditionsOf(object)) {
    condition.lastUpdateTime ??= now
    const before = conditionsOf(previous as unknown as JsonObject).find(
      ({ type, status }) => type === condition.type && status === condition.status,
    )
    condition.lastTransitionTime ??= before?.lastTransitionTime ?? now
  }
}

export const certificateRequestHooks = (clock: Clock): KindHooks => ({
  beforeWrite(object, previous, { user, subresource }) {
    if (previous && subresource !== '') dateConditions(object, previous, rfc3339(clock.now()))
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
})
