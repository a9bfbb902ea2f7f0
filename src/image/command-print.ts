// How images are shown. Pure.
import { formatPlatform } from './platform.js'
import { familiarName } from './reference.js'
import type { Image } from './types.js'

/** `29.4 MB` in powers of ten, as docker and ctr print sizes. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${units[unit]}`
}

/** `3 days`: the largest unit that fits. */
export function formatAge(ms: number): string {
  const units = [
    ['year', 365 * 86_400_000],
    ['month', 30 * 86_400_000],
    ['week', 7 * 86_400_000],
    ['day', 86_400_000],
    ['hour', 3_600_000],
    ['minute', 60_000],
    ['second', 1000],
  ] as const
  for (const [name, length] of units) {
    const count = Math.floor(ms / length)
    if (count >= 1) return `${count} ${name}${count === 1 ? '' : 's'}`
  }
  return 'now'
}

export const toJson = (image: Image) => ({
  id: image.id,
  repoTags: image.repoTags,
  repoDigests: image.repoDigests,
  platform: formatPlatform(image.platform),
  digest: image.target.digest,
  manifest: image.manifest,
  size: image.size,
  created: image.createdAt === 0 ? null : new Date(image.createdAt).toISOString(),
  updated: image.updatedAt === 0 ? null : new Date(image.updatedAt).toISOString(),
  layers: image.layers,
  diffIds: image.diffIds,
  chainId: image.chainId ?? null,
  config: image.config,
})

export const formatInspect = (images: readonly Image[]): string => `${JSON.stringify(images.map(toJson), null, 2)}\n`

function padTable(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0))) ?? []
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, i) => cell.padEnd(widths[i] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('')
}

export function formatImages(images: readonly Image[], options: { readonly json: boolean; readonly now: number }): string {
  if (options.json) return formatInspect(images)
  const rows = images.flatMap((image) => {
    const rest = [
      image.id.slice(7, 19),
      formatPlatform(image.platform),
      formatBytes(image.size),
      image.createdAt === 0 ? 'unknown' : formatAge(options.now - image.createdAt),
    ]
    const names = image.repoTags.length > 0 ? image.repoTags : image.repoDigests.slice(0, 1)
    return names.map((name) => [familiarName(name), ...rest])
  })
  return padTable([['NAME', 'ID', 'PLATFORM', 'SIZE', 'AGE'], ...rows])
}

/** The steps that made the image, newest first, as `docker history` shows them. */
export function formatHistory(image: Image, options: { readonly json: boolean; readonly now: number }): string {
  let layer = 0
  const sized = (image.config.history ?? []).map((entry) => ({
    ...entry,
    size: entry.empty_layer ? 0 : (image.layers[layer++]?.size ?? 0),
  }))
  if (options.json) return `${JSON.stringify(sized, null, 2)}\n`
  const rows = sized.reverse().map(({ created, created_by, comment, size }) => {
    const at = Date.parse(created ?? '')
    return [Number.isNaN(at) ? 'unknown' : formatAge(options.now - at), formatBytes(size), (created_by ?? '').slice(0, 100), comment ?? '']
  })
  return padTable([['AGE', 'SIZE', 'CREATED BY', 'COMMENT'], ...rows])
}
