// The counters of /proc/net/dev (proc_net_dev(5)). Pure.
import type { NetworkInterfaceUsage } from './types.js'

export interface InterfaceCounters extends Required<NetworkInterfaceUsage> {
  readonly rxPackets: number
  readonly rxDropped: number
  readonly txPackets: number
  readonly txDropped: number
}

/** One entry per interface, in the order of the text. */
export function parseNetDev(text: string): readonly InterfaceCounters[] {
  return text.split('\n').flatMap((line) => {
    const colon = line.indexOf(':')
    const name = line.slice(0, Math.max(0, colon)).trim()
    if (name === '') return []
    const columns = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/)
      .map(Number)
    const [rxBytes = 0, rxPackets = 0, rxErrors = 0, rxDropped = 0, , , , , txBytes = 0, txPackets = 0, txErrors = 0, txDropped = 0] =
      columns
    return [{ name, rxBytes, rxPackets, rxErrors, rxDropped, txBytes, txPackets, txErrors, txDropped }]
  })
}
