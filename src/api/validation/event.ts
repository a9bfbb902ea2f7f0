// Events of both APIs.
import { type FieldError, invalid, required } from '../field-error.js'
import type { Event, EventsV1Event } from '../generated/kinds.js'
import { equalJson } from '../json/value.js'
import { qualifiedNameErrors } from '../names.js'
import { immutableErrors, textErrors } from './common.js'

interface Told {
  readonly namespace: string
  /** Of the object that it is about. */
  readonly subject: string
  readonly eventTime: string | undefined
  readonly controller: string | undefined
  readonly instance: string | undefined
  readonly action: string | undefined
  readonly reason: string | undefined
  readonly message: string | undefined
}

const MOST = 128
const MOST_MESSAGE = 1024

/** What holds for events of both APIs: those that have an `eventTime` are of the newer kind, and say more. */
function toldErrors(told: Told, controllerField: string): FieldError[] {
  const { namespace, subject, eventTime, controller } = told
  const elsewhere = invalid('involvedObject.namespace', subject, 'does not match event.namespace')
  const errors: FieldError[] = []
  if (!eventTime) {
    if (subject === '' ? namespace !== '' && namespace !== 'default' : subject !== namespace) errors.push(elsewhere)
    return errors
  }
  // What is said about a cluster-wide object lands in default or kube-system.
  if (subject === '' ? namespace !== 'default' && namespace !== 'kube-system' : subject !== namespace) errors.push(elsewhere)
  if (!controller) errors.push(required(controllerField))
  errors.push(...textErrors(controller ?? '', qualifiedNameErrors, controllerField))
  const short = (value: string | undefined, field: string): void => {
    if (!value) errors.push(required(field))
    else if (value.length > MOST) errors.push(invalid(field, '', `can have at most ${MOST} characters`))
  }
  short(told.instance, 'reportingInstance')
  short(told.action, 'action')
  short(told.reason, 'reason')
  if ((told.message?.length ?? 0) > MOST_MESSAGE) errors.push(invalid('message', '', `can have at most ${MOST_MESSAGE} characters`))
  return errors
}

export const eventErrors = (event: Event): FieldError[] =>
  toldErrors(
    {
      namespace: event.metadata.namespace ?? '',
      subject: event.involvedObject?.namespace ?? '',
      eventTime: event.eventTime,
      controller: event.reportingComponent,
      instance: event.reportingInstance,
      action: event.action,
      reason: event.reason,
      message: event.message,
    },
    'reportingComponent',
  )

export const eventsV1Errors = (event: EventsV1Event): FieldError[] =>
  toldErrors(
    {
      namespace: event.metadata.namespace ?? '',
      subject: event.regarding?.namespace ?? '',
      eventTime: event.eventTime,
      controller: event.reportingController,
      instance: event.reportingInstance,
      action: event.action,
      reason: event.reason,
      message: event.note,
    },
    'reportingController',
  )

function seriesErrors({ series }: EventsV1Event): FieldError[] {
  if (!series) return []
  return [
    ...((series.count ?? 0) < 2 ? [invalid('series.count', '', 'should be at least 2')] : []),
    ...(series.lastObservedTime ? [] : [required('series.lastObservedTime')]),
  ]
}

/** A new event of the newer API uses none of the older one's fields. */
export function eventsV1CreateErrors(event: EventsV1Event): FieldError[] {
  const errors = seriesErrors(event)
  if (!event.eventTime) errors.push(required('eventTime'))
  if (event.type !== 'Normal' && event.type !== 'Warning') errors.push(invalid('type', '', `has invalid value: ${event.type ?? ''}`))
  const old: Readonly<Record<string, unknown>> = {
    firstTimestamp: event.deprecatedFirstTimestamp,
    lastTimestamp: event.deprecatedLastTimestamp,
    count: event.deprecatedCount,
    source: event.deprecatedSource?.component || event.deprecatedSource?.host,
  }
  for (const [field, value] of Object.entries(old)) if (value) errors.push(invalid(field, '', 'needs to be unset'))
  return errors
}

/** The note may change: the conformance tests patch it. */
export function eventsV1UpdateErrors(next: EventsV1Event, previous: EventsV1Event): FieldError[] {
  const series = equalJson(next.series ?? null, previous.series ?? null) ? [] : seriesErrors(next)
  if (!next.eventTime) return series
  const fixed = ['regarding', 'eventTime', 'reportingController', 'reportingInstance', 'action', 'reason', 'type', 'related'] as const
  const names: Readonly<Record<string, string>> = { regarding: 'involvedObject' }
  return [...series, ...fixed.flatMap((field) => immutableErrors(next[field], previous[field], names[field] ?? field))]
}
