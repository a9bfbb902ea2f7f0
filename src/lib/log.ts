// What code logs to. Who writes where is the composition root's business.

/** Values that belong to a message: `pod`, `container`, `err`. */
export type LogFields = Readonly<Record<string, unknown>>

/** Four levels; the message is a constant and the rest goes into fields. */
export interface Logger {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
  /** A logger that adds `fields` to every line. */
  child(fields: LogFields): Logger
}

const ignore = (): void => {}

/** Drops everything. */
export const silentLog: Logger = { debug: ignore, info: ignore, warn: ignore, error: ignore, child: () => silentLog }
