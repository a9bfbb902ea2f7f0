// The counters of /proc/net/dev (proc_net_dev(5)). Pure.
import type { NetworkInterfaceUsage } from './types.js'

/** One entry per interface, in the order of the text. */
export function parseNetDev(text: string): readonly (NetworkInterfaceUsage & { readonly name: string })[] {
  return text.split('\n').flatMap((line) => {
    const colon = line.indexOf(':')
    if (colon < 0) return []
    const [rxBytes, , rxErrors, , , , , , txBytes, , txErrors] = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/)
      .map(Number)
    const name = line.slice(0, colon).trim()
    return name === '' ? [] : [{ name, rxBytes: rxBytes ?? 0, rxErrors: rxErrors ?? 0, txBytes: txBytes ?? 0, txErrors: txErrors ?? 0 }]
  })
}
