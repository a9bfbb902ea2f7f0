// A container's standard streams: FIFOs that its monitor keeps open, and the pump that empties them into the log.
import { constants, openSync } from 'node:fs'
import { join } from 'node:path'
import { makeFifo, onReadable, type Stdio, spliceToFile } from '../runtime/index.js'
import { containerDir, type Engine, spoolDir } from './engine.js'
import { createLogPump, type LogPump } from './log-pump.js'
import type { ContainerRecord } from './records.js'

const fifo = (engine: Engine, id: string, name: string): string => join(containerDir(engine, id), name)

/** Makes the FIFOs. */
export function prepareStdio(engine: Engine, { id, config }: ContainerRecord): Stdio {
  if (config.tty) return {}
  const make = (name: string): { readonly path: string } => {
    const path = fifo(engine, id, name)
    makeFifo(path)
    return { path }
  }
  return { stdin: config.stdin ? make('stdin') : 'null', stdout: make('stdout'), stderr: make('stderr') }
}

/** Starts, or takes up again, the carrying of output. */
export function openOutput(engine: Engine, record: ContainerRecord): LogPump | undefined {
  const { id, config, logPath } = record
  if (config.tty) return undefined
  const reader = (name: string): number => openSync(fifo(engine, id, name), constants.O_RDONLY | constants.O_NONBLOCK)
  let lastProblem = ''
  return createLogPump({
    dir: spoolDir(engine, id),
    logPath: logPath || undefined,
    pipes: { stdout: reader('stdout'), stderr: reader('stderr') },
    tools: { splice: spliceToFile, onReadable },
    clock: engine.clock,
    onError(err) {
      if (String(err) === lastProblem) return
      lastProblem = String(err)
      engine.log.warn('writing a container log: its output waits', { container: id, path: logPath, err })
    },
  })
}
