// The plugins that fit on a screen together: errors, log.
import { asError, type Clock, type Logger } from '../../lib/index.js'
import { type DnsPlugin, foldName, isWithin, type Reply } from '../types.js'

/** Turns whatever breaks below into SERVFAIL, and says so in the log. */
export const errors =
  (log: Logger): DnsPlugin =>
  async (query, next) => {
    try {
      return await next(query)
    } catch (error) {
      log.error('question not answered', { name: query.question.name, type: query.question.type, err: asError(error) })
      return { rcode: 'SERVFAIL' }
    }
  }

export const LOG_CLASSES = ['all', 'success', 'denial', 'error'] as const

function classOf({ rcode, answers = [] }: Reply): (typeof LOG_CLASSES)[number] {
  if (rcode === 'NXDOMAIN' || (rcode === 'NOERROR' && answers.length === 0)) return 'denial'
  return rcode === 'NOERROR' ? 'success' : 'error'
}

/** One line a question in these zones whose answer is of one of these classes. */
export const logQueries =
  (log: Logger, clock: Clock, zones: readonly string[], classes: readonly string[]): DnsPlugin =>
  async (query, next) => {
    const startedAt = clock.monotonic()
    const reply = await next(query)
    const { name, type } = query.question
    const wanted = zones.some((zone) => isWithin(foldName(name), zone)) && (classes.includes('all') || classes.includes(classOf(reply)))
    const { client, transport } = query
    if (wanted) log.info('dns', { client, transport, name, type, rcode: reply.rcode, ms: clock.monotonic() - startedAt })
    return reply
  }
