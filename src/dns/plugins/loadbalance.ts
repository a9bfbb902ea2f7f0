// Gives the addresses of an answer in another order each time, so that clients who take the first one spread.
import { type Random, randomInt } from '../../lib/index.js'
import type { DnsPlugin, DnsRecord } from '../types.js'

const isAddress = ({ data }: DnsRecord): boolean => data.type === 'A' || data.type === 'AAAA'

export const shuffle =
  (random: Random): DnsPlugin =>
  async (query, next) => {
    const reply = await next(query)
    if ((reply.answers?.filter(isAddress).length ?? 0) < 2) return reply
    const fixed = (reply.answers ?? []).filter((record) => !isAddress(record))
    const addresses = (reply.answers ?? []).filter(isAddress)
    for (let i = addresses.length - 1; i > 0; i--) {
      const j = randomInt(random, i + 1)
      const swapped = addresses[i] as DnsRecord
      addresses[i] = addresses[j] as DnsRecord
      addresses[j] = swapped
    }
    return { ...reply, answers: [...fixed, ...addresses] }
  }
