// Completion indexes as Jobs write them: `1,3-5,7`. Pure.

/** The indexes in the text below `limit`; what cannot be read is left out. */
export function parseIndexes(text: string | undefined, limit: number): Set<number> {
  const indexes = new Set<number>()
  for (const part of (text ?? '').split(',')) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part.trim())
    if (!match) continue
    const first = Number(match[1])
    const last = Math.min(Number(match[2] ?? match[1]), limit - 1)
    for (let index = first; index <= last; index++) indexes.add(index)
  }
  return indexes
}

/** Two in a row stay apart (`1,2`), three become a range (`1-3`). */
export function formatIndexes(indexes: ReadonlySet<number>): string {
  const sorted = [...indexes].sort((a, b) => a - b)
  const parts: string[] = []
  for (let start = 0; start < sorted.length; ) {
    let end = start
    while (end + 1 < sorted.length && sorted[end + 1] === (sorted[end] ?? 0) + 1) end++
    if (end - start >= 2) parts.push(`${sorted[start]}-${sorted[end]}`)
    else for (let at = start; at <= end; at++) parts.push(String(sorted[at]))
    start = end + 1
  }
  return parts.join(',')
}
