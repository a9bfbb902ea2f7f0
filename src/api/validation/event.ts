// Events of both APIs.
import { type FieldError, invalid, required } from '../field-error.js'
import type { Event, EventsV1Event } from '../generated/kinds.js'
import { qualifiedNameErrors } from '../names.js'
import { immutableErrors, oneOfErrors } from './common.js'

export function eventErrors(event: Event): FieldError[] {
  const namespace = event.involvedObject?.namespace ?? ''
  // What is said about a cluster-wide object lands in default or kube-system.
  if (namespace === '') {
    return ['default', 'kube-system'].includes(event.metadata.namespace ?? '')
      ? []
      : [invalid('involvedObject.namespace', namespace, 'does not match event.namespace')]
  }
  return namespace === event.metadata.namespace ? [] : [invalid('involvedObject.namespace', namespace, 'does not match event.namespace')]
}

export function eventsV1Errors(event: EventsV1Event): FieldError[] {
  const errors: FieldError[] = []
  const namespace = event.regarding?.namespace ?? ''
  if (namespace === '' ? !['default', 'kube-system'].includes(event.metadata.namespace ?? '') : namespace !== event.metadata.namespace)
    errors.push(invalid('involvedObject.namespace', namespace, 'does not match event.namespace'))
  // Objects of the old API, seen through the new one, carry no eventTime.
  if (!event.eventTime) return event.deprecatedFirstTimestamp || event.deprecatedCount ? errors : [...errors, required('eventTime')]
  if (!event.reportingController) errors.push(required('reportingController'))
  else
    for (const detail of qualifiedNameErrors(event.reportingController))
      errors.push(invalid('reportingController', event.reportingController, detail))
  if (!event.reportingInstance) errors.push(required('reportingInstance'))
  else if (event.reportingInstance.length > 128) errors.push(invalid('reportingInstance', '', 'can have at most 128 characters'))
  if (!event.action) errors.push(required('action'))
  else if (event.action.length > 128) errors.push(invalid('action', '', 'can have at most 128 characters'))
  if (!event.reason) errors.push(required('reason'))
  else if (event.reason.length > 128) errors.push(invalid('reason', '', 'can have at most 128 characters'))
  if ((event.note?.length ?? 0) > 1024) errors.push(invalid('message', '', 'can have at most 1024 characters'))
  errors.push(
    ...oneOfErrors(event.type, ['Normal', 'Warning'], 'type').map((e) =>
      e.reason === 'FieldValueRequired'
        ? invalid('type', '', 'has invalid value: ')
        : invalid('type', '', `has invalid value: ${event.type}`),
    ),
  )
  return errors
}

/** The note may change: the conformance tests patch it. */
export function eventsV1UpdateErrors(next: EventsV1Event, previous: EventsV1Event): FieldError[] {
  if (!next.eventTime) return []
  const fixed = ['regarding', 'eventTime', 'reportingController', 'reportingInstance', 'action', 'reason', 'type', 'related'] as const
  const names: Readonly<Record<string, string>> = { regarding: 'involvedObject' }
  return fixed.flatMap((field) => immutableErrors(next[field], previous[field], names[field] ?? field))
}
