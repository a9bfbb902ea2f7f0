// How cells of `kubectl get` are written.
import type { Resource } from './kind.js'
import type { CellValue, Column } from './resource-type.js'

/** Two units at most, the way kubectl writes ages: `5s`, `3m20s`, `4d2h`, `2y30d`. */
export function humanDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  if (seconds < -1) return '<invalid>'
  if (seconds < 0) return '0s'
  if (seconds < 120) return `${seconds}s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 10) return seconds % 60 === 0 ? `${minutes}m` : `${minutes}m${seconds % 60}s`
  if (minutes < 180) return `${minutes}m`
  const hours = Math.floor(minutes / 60)
  if (hours < 8) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`
  if (hours < 48) return `${hours}h`
  const days = Math.floor(hours / 24)
  if (hours < 192) return hours % 24 === 0 ? `${days}d` : `${days}d${hours % 24}h`
  if (hours < 365 * 24 * 2) return `${days}d`
  const years = Math.floor(days / 365)
  if (years < 8) return days % 365 === 0 ? `${years}y` : `${years}y${days % 365}d`
  return `${years}y`
}

/** Time since a timestamp. */
export function since(timestamp: string | undefined | null, now: number): string {
  if (!timestamp) return '<unknown>'
  const then = Date.parse(timestamp)
  return Number.isNaN(then) ? '<invalid>' : humanDuration(now - then)
}

interface ColumnOptions {
  readonly wide?: boolean
  readonly type?: Column['type']
  readonly description?: string
}

/** A column of strings unless told otherwise. */
export function column<T extends Resource>(
  name: string,
  value: (object: T, now: number) => CellValue,
  options: ColumnOptions = {},
): Column<T> {
  return { name, type: options.type ?? 'string', priority: options.wide ? 1 : 0, description: options.description ?? '', value }
}

export const age = (object: Resource, now: number): string => since(object.metadata.creationTimestamp, now)

export const ageColumn: Column = column('Age', age, { description: 'How long ago the object was made.' })
export const ageOf = <T extends Resource>(): Column<T> => ageColumn as Column<T>

export const orNone = (text: string | undefined): string => (text ? text : '<none>')
export const listOrNone = (items: readonly string[] | undefined): string => (items?.length ? items.join(',') : '<none>')

/** Names and images of containers, as the wide tables of workloads show them. */
export function containerCells(containers: readonly { readonly name: string; readonly image?: string | undefined }[] | undefined): {
  readonly names: string
  readonly images: string
} {
  const list = containers ?? []
  return { names: list.map((c) => c.name).join(','), images: list.map((c) => c.image ?? '').join(',') }
}
