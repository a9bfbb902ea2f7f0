// Amounts of resources as plain numbers: what a node adds up, and what the kernel is told.

const suffixes: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
}

/** `250m` is 0.25, `1Gi` is 1073741824. 0 for what is no quantity: the API server has checked it. */
export function amount(quantity: string | undefined): number {
  if (quantity === undefined) return 0
  const match = /^([+-]?[0-9.]+)(?:[eE]([+-]?\d+)|([numkMGTPE]i?|[KMGTPE]i)?)$/.exec(quantity.trim())
  if (!match) return 0
  const [, digits = '0', exponent, suffix = ''] = match
  return exponent !== undefined ? Number(digits) * 10 ** Number(exponent) : Number(digits) * (suffixes[suffix] ?? 0)
}

/** Thousandths, rounded up as Kubernetes does. */
export const milli = (quantity: string | undefined): number => Math.ceil(Number((amount(quantity) * 1000).toFixed(6)))

/** Whole units, rounded up. */
export const whole = (quantity: string | undefined): number => Math.ceil(Number(amount(quantity).toFixed(6)))

/** `1500` thousandths of a CPU as `1500m`, 2000 as `2`. */
export const cpuQuantity = (millis: number): string => (millis % 1000 === 0 ? String(millis / 1000) : `${millis}m`)

/** Bytes as the largest binary unit that divides them. */
export function bytesQuantity(bytes: number): string {
  for (const unit of ['Ei', 'Pi', 'Ti', 'Gi', 'Mi', 'Ki']) {
    const size = suffixes[unit] ?? 1
    if (bytes !== 0 && bytes % size === 0) return `${bytes / size}${unit}`
  }
  return String(bytes)
}
