// The log of a process: pino, one JSON object a line, written synchronously so that a crash loses nothing.
import { type DestinationStream, pino } from 'pino'
import type { LogFields, Logger } from '../lib/index.js'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

function wrap(inner: pino.Logger): Logger {
  const at =
    (level: LogLevel) =>
    (message: string, fields?: LogFields): void =>
      fields ? inner[level](fields, message) : inner[level](message)
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error'), child: (fields) => wrap(inner.child(fields)) }
}

/** Writes to `file`, or to standard error. */
export function processLog(options: { readonly level: LogLevel; readonly file?: string | undefined; readonly name: string }): Logger {
  const destination: DestinationStream = pino.destination({ dest: options.file ?? 2, sync: true, append: true, mkdir: true })
  return wrap(pino({ name: options.name, level: options.level, serializers: { err: pino.stdSerializers.errWithCause } }, destination))
}
