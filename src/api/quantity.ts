// Amounts of resources: `500m`, `1Gi`, `1e3`. Exact: kept as a whole number of billionths.

export type QuantityFormat = 'DecimalSI' | 'BinarySI' | 'DecimalExponent'

export interface Quantity {
  /** The value times 10^9. */
  readonly nanos: bigint
  readonly format: QuantityFormat
}

const NANO = 1_000_000_000n
const PATTERN = /^([+-]?)(\d+\.?\d*|\.\d+)(|[numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)$/
const MAX = ((1n << 63n) - 1n) * NANO

const decimalPowers: Readonly<Record<string, number>> = { n: -9, u: -6, m: -3, '': 0, k: 3, M: 6, G: 9, T: 12, P: 15, E: 18 }
const binaryPowers: Readonly<Record<string, number>> = { Ki: 10, Mi: 20, Gi: 30, Ti: 40, Pi: 50, Ei: 60 }

export const quantityRule = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"

const ceilDivide = (a: bigint, b: bigint): bigint => (a >= 0n ? (a + b - 1n) / b : -(-a / b))
/** Away from zero, as Kubernetes rounds what is finer than a billionth. */
const divideUp = (a: bigint, b: bigint): bigint => (a >= 0n ? (a + b - 1n) / b : -((-a + b - 1n) / b))

/** The same few amounts come again with every pod. */
const known = new Map<string | number, Quantity | undefined>()
const MOST_KNOWN = 1000

/** Undefined when the text is no quantity. A plain number is one too. */
export function parseQuantity(text: string | number): Quantity | undefined {
  const hit = known.get(text)
  if (hit || known.has(text)) return hit
  if (known.size >= MOST_KNOWN) known.clear()
  const quantity = readQuantity(text)
  // What is long was made to be.
  if (typeof text === 'number' || text.length < 32) known.set(text, quantity)
  return quantity
}

function readQuantity(text: string | number): Quantity | undefined {
  const match = PATTERN.exec(String(text).trim())
  if (!match) return undefined
  const [, sign, digits = '', suffix = ''] = match
  const [whole = '', fraction = ''] = digits.split('.')
  if (digits.length > 400) return undefined
  const mantissa = BigInt(`${whole}${fraction}` || '0')
  let nanos: bigint
  let format: QuantityFormat = 'DecimalSI'
  const binary = binaryPowers[suffix]
  if (binary !== undefined) {
    format = 'BinarySI'
    nanos = divideUp(mantissa * NANO * (1n << BigInt(binary)), 10n ** BigInt(fraction.length))
  } else {
    const exponent = /^[eE][+-]?\d+$/.test(suffix) ? Number(suffix.slice(1)) : decimalPowers[suffix]
    if (exponent === undefined || Math.abs(exponent) > 400) return undefined
    if (/^[eE]./.test(suffix)) format = 'DecimalExponent'
    const power = exponent + 9 - fraction.length
    nanos = power >= 0 ? mantissa * 10n ** BigInt(power) : divideUp(mantissa, 10n ** BigInt(-power))
  }
  if (nanos > MAX) nanos = MAX
  return { nanos: sign === '-' ? -nanos : nanos, format }
}

/** `E` alone is a suffix, `E5` an exponent: the shortest exact text, as Kubernetes prints it. */
export function formatQuantity(quantity: Quantity): string {
  const known = texts.get(quantity)
  if (known !== undefined) return known
  const text = printQuantity(quantity)
  texts.set(quantity, text)
  return text
}

const texts = new WeakMap<Quantity, string>()

function printQuantity(quantity: Quantity): string {
  const { nanos } = quantity
  if (nanos === 0n) return '0'
  const size = nanos < 0n ? -nanos : nanos
  const sign = nanos < 0n ? '-' : ''
  if (quantity.format === 'BinarySI' && size >= 1024n * NANO && size % NANO === 0n) {
    let value = size / NANO
    let suffix = ''
    for (const name of Object.keys(binaryPowers)) {
      if (value % 1024n !== 0n) break
      value /= 1024n
      suffix = name
    }
    return `${sign}${value}${suffix}`
  }
  let value = size
  let exponent = -9
  while (value % 1000n === 0n && exponent < 18) {
    value /= 1000n
    exponent += 3
  }
  if (quantity.format === 'DecimalExponent') return exponent === 0 ? `${sign}${value}` : `${sign}${value}e${exponent}`
  const suffix = Object.entries(decimalPowers).find(([, power]) => power === exponent)?.[0] ?? ''
  return `${sign}${value}${suffix}`
}

const zero: Quantity = { nanos: 0n, format: 'DecimalSI' }

/** As Kubernetes stores it; the text itself when it is no quantity. */
export function canonicalQuantity(text: string | number): string {
  const quantity = parseQuantity(text)
  return quantity ? formatQuantity(quantity) : String(text)
}

/** Whole units, rounded up. What is no quantity counts nothing. */
export const quantityValue = (text: string | number | undefined): number =>
  text === undefined ? 0 : Number(ceilDivide((parseQuantity(text) ?? zero).nanos, NANO))

/** Thousandths, rounded up. */
export const quantityMillis = (text: string | number | undefined): number =>
  text === undefined ? 0 : Number(ceilDivide((parseQuantity(text) ?? zero).nanos, 1_000_000n))

/** Negative, zero or positive, as sort wants it. */
export function compareQuantities(a: string | number, b: string | number): number {
  const difference = (parseQuantity(a) ?? zero).nanos - (parseQuantity(b) ?? zero).nanos
  return difference < 0n ? -1 : difference > 0n ? 1 : 0
}

const combine = (a: string | number, b: string | number, sign: 1n | -1n): string => {
  const left = parseQuantity(a) ?? zero
  const right = parseQuantity(b) ?? zero
  return formatQuantity({ nanos: left.nanos + sign * right.nanos, format: left.nanos === 0n ? right.format : left.format })
}
export const addQuantities = (a: string | number, b: string | number): string => combine(a, b, 1n)
export const subtractQuantities = (a: string | number, b: string | number): string => combine(a, b, -1n)
