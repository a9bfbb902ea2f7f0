// What every benchmark prints: a table of figures, and one AIM line per aim.

/** Quantile `q` in [0, 1] of the samples. */
export function quantile(samples: readonly number[], q: number): number {
  const sorted = [...samples].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN
}

export const median = (samples: readonly number[]): number => quantile(samples, 0.5)

/** Prints rows under headings in padded columns, numbers to the right. */
export function printTable(headings: readonly string[], rows: readonly (readonly (string | number)[])[]): void {
  const text = rows.map((row) => row.map((cell) => (typeof cell === 'number' ? cell.toFixed(cell < 10 ? 2 : 1) : cell)))
  const widths = headings.map((heading, i) => Math.max(heading.length, ...text.map((row) => row[i]?.length ?? 0)))
  const line = (cells: readonly string[], source?: readonly (string | number)[]): string =>
    cells.map((cell, i) => (typeof source?.[i] === 'number' ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0))).join('  ')
  console.log(line(headings))
  for (const [i, row] of text.entries()) console.log(line(row, rows[i]))
}

export interface Aim {
  readonly name: string
  readonly wanted: string
  readonly measured: string
  readonly met: boolean
}

/** `AIM name: wanted W, measured M, met` or `… short`. */
export function printAim({ name, wanted, measured, met }: Aim): void {
  console.log(`AIM ${name}: wanted ${wanted}, measured ${measured}, ${met ? 'met' : 'short'}`)
}
