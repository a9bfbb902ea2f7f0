// How much there is of every kind, and what watchers are sent of it.
import type { ResourceType } from '../../../api/index.js'
import type { Store } from '../../../store/index.js'
import { type Feed, ROOT } from '../registry/feed.js'
import { Distribution, exponential, type Family, figures, labelText, type Sample } from './families.js'

const BYTES = exponential(1024, 2, 8)

export interface WatchMetrics {
  readonly families: readonly Family[]
  /** What is counted for each event of the kind that leaves: its length. */
  events(type: ResourceType): Distribution
}

export function watchMetrics(): WatchMetrics {
  const known = new Map<string, { readonly labels: string; readonly sizes: Distribution }>()
  const lines = (of: (series: { readonly labels: string; readonly sizes: Distribution }) => readonly string[]) => () =>
    [...known.values()].flatMap(of)
  return {
    families: [
      {
        name: 'apiserver_watch_events_total',
        type: 'counter',
        help: 'Events that watchers were sent.',
        lines: lines(({ labels, sizes }) => [`apiserver_watch_events_total{${labels}} ${sizes.count}`]),
      },
      {
        name: 'apiserver_watch_events_sizes',
        type: 'histogram',
        help: 'Bytes of the events that watchers were sent.',
        lines: lines(({ labels, sizes }) => sizes.lines('apiserver_watch_events_sizes', labels)),
      },
    ],
    events(type) {
      const key = `${type.group}/${type.version}/${type.plural}`
      let series = known.get(key)
      if (!series) {
        const labels = labelText({ group: type.group, kind: type.kind, resource: type.plural, version: type.version })
        series = { labels, sizes: new Distribution(BYTES) }
        known.set(key, series)
      }
      return series.sizes
    },
  }
}

/** Counted when asked for: in the caches where there are some, in the store where there is none. */
export function objectMetrics(types: () => readonly ResourceType[], feed: Feed, store: Store): readonly Family[] {
  const counted = async (labelsOf: (type: ResourceType) => Sample['labels']): Promise<readonly Sample[]> => {
    const byPrefix = new Map<string, ResourceType>()
    for (const type of types()) if (type.verbs.includes('list') && !byPrefix.has(type.storagePrefix)) byPrefix.set(type.storagePrefix, type)
    return Promise.all(
      [...byPrefix].map(async ([prefix, type]) => {
        const value = feed.loaded(prefix)?.size ?? (await store.range(`${ROOT}${prefix}/`, { countOnly: true })).count
        return { labels: labelsOf(type), value }
      }),
    )
  }
  return [
    figures('apiserver_storage_objects', 'gauge', 'Objects that are stored, by resource.', () =>
      counted(({ plural, group }) => ({ resource: group ? `${plural}.${group}` : plural })),
    ),
    figures('apiserver_resource_objects', 'gauge', 'Objects that are stored, by group and resource.', () =>
      counted(({ plural, group }) => ({ group, resource: plural })),
    ),
  ]
}
