// Which objects of a resource a request means: by namespace, name, labels and fields.
import { parseFieldRequirements, parseLabelSelector, type ResourceType } from '../../../api/index.js'
import { ApiError } from '../../../lib/index.js'
import type { RequestInfo } from '../http/request-info.js'
import { attributesOf } from './backend.js'
import type { Entry } from './entry.js'
import { ROOT } from './feed.js'

export interface Selection {
  /** Keys of the objects begin so. */
  readonly prefix: string
  /** Neither labels nor fields are asked about: the prefix decides alone. */
  readonly everything: boolean
  matches(entry: Entry): boolean
}

/** Throws BadRequest for selectors that cannot be read and fields that are not selectable. */
export function selectionOf(type: ResourceType, info: RequestInfo): Selection {
  const { query, namespace } = info
  const prefix = type.namespaced && namespace ? `${ROOT}${type.storagePrefix}/${namespace}/` : `${ROOT}${type.storagePrefix}/`
  const labelText = query.get('labelSelector') ?? ''
  const fieldText = query.get('fieldSelector') ?? ''
  const byName = info.name !== '' ? info.name : undefined
  if (labelText === '' && fieldText === '' && byName === undefined)
    return { prefix, everything: true, matches: (entry) => entry.key.startsWith(prefix) }
  const labels = labelText === '' ? undefined : parseLabelSelector(labelText)
  const fields = fieldText === '' ? undefined : parseFieldRequirements(fieldText)
  for (const { field } of fields ?? []) {
    if (!type.selectableFields.has(field)) throw new ApiError('BadRequest', `field label not supported: ${field}`)
  }
  return {
    prefix,
    everything: false,
    matches(entry) {
      if (!entry.key.startsWith(prefix)) return false
      if (byName !== undefined && entry.name !== byName) return false
      if (!labels && !fields) return true
      const attributes = attributesOf(type, entry)
      return (
        (!labels || labels.matches(attributes.labels)) &&
        (!fields || fields.every(({ field, equal, value }) => (attributes.fields.get(field) === value) === equal))
      )
    },
  }
}
