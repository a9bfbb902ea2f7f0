// Events: one storage, two APIs with other names for the same fields.
import { column, since } from '../columns.js'
import { defineResource } from '../define-resource.js'
import { Event, EventsV1Event } from '../generated/kinds.js'
import type { JsonObject } from '../json/value.js'
import type { Column } from '../resource-type.js'
import { eventErrors, eventsV1CreateErrors, eventsV1Errors, eventsV1UpdateErrors } from '../validation/event.js'

/** Field of core/v1 to field of events.k8s.io/v1. */
const renamed: readonly (readonly [string, string])[] = [
  ['involvedObject', 'regarding'],
  ['message', 'note'],
  ['source', 'deprecatedSource'],
  ['firstTimestamp', 'deprecatedFirstTimestamp'],
  ['lastTimestamp', 'deprecatedLastTimestamp'],
  ['count', 'deprecatedCount'],
  ['reportingComponent', 'reportingController'],
]

function rename(object: JsonObject, apiVersion: string, names: ReadonlyMap<string, string>): JsonObject {
  const result: JsonObject = {}
  for (const [name, value] of Object.entries(object)) if (value !== undefined) result[names.get(name) ?? name] = value
  result.apiVersion = apiVersion
  return result
}

const conversion = {
  toStored: (object: JsonObject) => rename(object, 'v1', new Map(renamed.map(([core, events]) => [events, core]))),
  fromStored: (object: JsonObject) => rename(object, 'events.k8s.io/v1', new Map(renamed)),
}

const asCore = (event: EventsV1Event): Event => conversion.toStored(event as unknown as JsonObject) as unknown as Event

const firstSeen = (event: Event): string | undefined => event.firstTimestamp ?? event.eventTime ?? undefined
const lastSeen = (event: Event): string | undefined =>
  event.series?.lastObservedTime ?? event.lastTimestamp ?? event.eventTime ?? firstSeen(event)

function source(event: Event): string {
  const component = event.source?.component || event.reportingComponent || ''
  const host = event.source?.host || event.reportingInstance || ''
  return host ? `${component}, ${host}` : component
}

const target = (event: Event): string => {
  const { kind = '', name = '' } = event.involvedObject ?? {}
  return name ? `${kind.toLowerCase()}/${name}` : kind.toLowerCase()
}

const columns: readonly Column<Event>[] = [
  column('Last Seen', (event, now) => since(lastSeen(event), now)),
  column('Type', (event) => event.type ?? ''),
  column('Reason', (event) => event.reason ?? ''),
  column('Object', target),
  column('Subobject', (event) => event.involvedObject?.fieldPath ?? '', { wide: true }),
  column('Source', source, { wide: true }),
  column('Message', (event) => event.message?.trim() ?? ''),
  column('First Seen', (event, now) => since(firstSeen(event), now), { wide: true }),
  column('Count', (event) => event.series?.count ?? (event.count || 1), { wide: true, type: 'integer' }),
  column('Name', (event) => event.metadata.name, { wide: true }),
]

const involved = (field: 'kind' | 'namespace' | 'name' | 'uid' | 'apiVersion' | 'resourceVersion' | 'fieldPath') => (event: Event) =>
  event.involvedObject?.[field]

const fields: Readonly<Record<string, (event: Event) => string | undefined>> = {
  'involvedObject.kind': involved('kind'),
  'involvedObject.namespace': involved('namespace'),
  'involvedObject.name': involved('name'),
  'involvedObject.uid': involved('uid'),
  'involvedObject.apiVersion': involved('apiVersion'),
  'involvedObject.resourceVersion': involved('resourceVersion'),
  'involvedObject.fieldPath': involved('fieldPath'),
  reason: (event) => event.reason,
  reportingComponent: (event) => event.reportingComponent,
  source: (event) => event.source?.component || event.reportingComponent,
  type: (event) => event.type,
}

export const eventResource = withoutNameColumn(
  defineResource<Event>({
    of: Event,
    shortNames: ['ev'],
    allowCreateOnUpdate: true,
    columns,
    selectableFields: fields,
    validate: eventErrors,
  }),
)

export const eventsV1Resource = withoutNameColumn(
  defineResource<EventsV1Event>({
    of: EventsV1Event,
    typeName: 'EventsV1Event',
    shortNames: ['ev'],
    allowCreateOnUpdate: true,
    conversion,
    storedApiVersion: 'v1',
    columns: columns.map((c) => ({ ...c, value: (event: EventsV1Event, now: number) => c.value(asCore(event), now) })),
    selectableFields: Object.fromEntries(
      Object.entries(fields).flatMap(([name, read]) => [
        [name, (event: EventsV1Event) => read(asCore(event))] as const,
        [
          name.replace('involvedObject', 'regarding').replace('reportingComponent', 'reportingController'),
          (event: EventsV1Event) => read(asCore(event)),
        ] as const,
      ]),
    ),
    validate: eventsV1Errors,
    validateCreate: eventsV1CreateErrors,
    validateUpdate: eventsV1UpdateErrors,
  }),
)

/** The name of an event says nothing: it comes last, and only with `-o wide`. */
function withoutNameColumn<R extends { readonly columns: readonly unknown[] }>(type: R): R {
  return Object.assign(type, { columns: type.columns.slice(1) })
}
