// One call of `knarr oci`: where its containers are, where its messages go.
import { appendFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { type CommandIo, explain, systemClock } from '../../lib/index.js'
import { checked, rawSyscall, sysNumber } from '../../sys/index.js'
import { Containers } from '../containers.js'
import type { CreateContext } from '../create.js'

export interface SessionOptions {
  /** What we were called as. */
  readonly name: string
  readonly root: string
  /** The user said it. */
  readonly rootGiven: boolean
  readonly log: string | undefined
  readonly format: string
  readonly debug: boolean
  readonly systemdCgroup: boolean
}

export class Session {
  readonly io: CommandIo
  readonly options: SessionOptions
  readonly containers: Containers

  constructor(options: SessionOptions, io: CommandIo) {
    this.options = options
    this.io = io
    const warn = (message: string): void => this.log('warning', message)
    this.containers = new Containers({ root: options.root, systemdCgroup: options.systemdCgroup, warn })
  }

  /** The container becomes a child of whoever called us once we have ended, as runc's callers expect. */
  context(changes: Partial<CreateContext>): CreateContext {
    return { ...this.containers.context(), parent: 'child', note: (level, message) => this.note(level, message), ...changes }
  }

  print(text: string): void {
    this.io.stdout.write(text)
  }

  note(level: 'warning' | 'debug', message: string): void {
    if (level !== 'debug' || this.options.debug) this.log(level, message)
  }

  /** As runc does it: into the log, and to standard error if that is not the log. */
  fail(error: unknown): number {
    const message = explain(error)
    this.log('error', message)
    if (this.options.log) this.io.stderr.write(`${message}\n`)
    return 1
  }

  private log(level: string, message: string): void {
    const time = new Date(systemClock.now()).toISOString().replace(/\.\d+Z$/, 'Z')
    const line =
      this.options.format === 'json'
        ? `${JSON.stringify({ level, msg: message, time })}\n`
        : `time=${JSON.stringify(time)} level=${level} msg=${JSON.stringify(message)}\n`
    if (!this.options.log) this.io.stderr.write(line)
    else {
      try {
        appendFileSync(this.options.log, line)
      } catch (error) {
        this.io.stderr.write(`${line}cannot write the log: ${explain(error)}\n`)
      }
    }
  }
}

/** Whole or not at all: readers wait for the file to appear. */
export function writePidFile(path: string | undefined, pid: number): void {
  if (path === undefined || path === '') return
  const draft = join(dirname(path), `.${basename(path)}`)
  writeFileSync(draft, String(pid))
  renameSync(draft, path)
}

export const readJson = (path: string): unknown => JSON.parse(readFileSync(path === '-' ? 0 : path, 'utf8'))

const F_GETFL = 3
const F_SETFL = 4
const O_NONBLOCK = 0o4000

/** Node makes pipes non-blocking for itself; the flag is shared with the container, whose programs do not expect it. */
export function blockingStdio(): void {
  for (const fd of [0, 1, 2]) {
    const flags = rawSyscall(sysNumber('fcntl'), fd, F_GETFL)
    if (flags >= 0 && flags & O_NONBLOCK) checked('fcntl', `descriptor ${fd}`, sysNumber('fcntl'), fd, F_SETFL, flags & ~O_NONBLOCK)
  }
}
