// Amounts of resources as plain numbers: what a node adds up, and what the kernel is told.
import { formatQuantity, parseQuantity } from '../../api/index.js'

const NANO = 1_000_000_000n

/** `250m` is 0.25, `1Gi` is 1073741824. 0 for what is no quantity: the API server has checked it. */
export function amount(quantity: string | undefined): number {
  const nanos = quantity === undefined ? undefined : parseQuantity(quantity)?.nanos
  // Apart, because together they may be more digits than a number holds.
  return nanos === undefined ? 0 : Number(nanos / NANO) + Number(nanos % NANO) / 1e9
}

/** Thousandths, rounded up as Kubernetes does. */
export const milli = (quantity: string | undefined): number => Math.ceil(Number((amount(quantity) * 1000).toFixed(6)))

/** Whole units, rounded up. */
export const whole = (quantity: string | undefined): number => Math.ceil(Number(amount(quantity).toFixed(6)))

/** `1500` thousandths of a CPU as `1500m`, 2000 as `2`. */
export const cpuQuantity = (millis: number): string => (millis % 1000 === 0 ? String(millis / 1000) : `${millis}m`)

/** Bytes as the largest binary unit that divides them. */
export const bytesQuantity = (bytes: number): string => formatQuantity({ nanos: BigInt(Math.round(bytes)) * NANO, format: 'BinarySI' })
