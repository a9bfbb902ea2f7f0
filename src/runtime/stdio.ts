// Opens what becomes a process's standard streams.
import { closeSync, constants, openSync, statSync } from 'node:fs'
import { hasErrno } from '../lib/index.js'
import type { Stdio, StdioTarget } from './types.js'

export interface OpenStdio {
  readonly fds: readonly [number, number, number]
  close(): void
}

const { O_APPEND, O_CREAT, O_NOCTTY, O_RDONLY, O_RDWR, O_WRONLY } = constants

function isFifo(path: string): boolean {
  try {
    return statSync(path).isFIFO()
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return false
    throw error
  }
}

/** A FIFO is opened for reading and writing: that never waits, and there is always a reader and a writer. */
function openTarget(target: StdioTarget, input: boolean, opened: number[]): number {
  if (typeof target === 'object' && 'fd' in target) return target.fd
  const path = target === 'null' ? '/dev/null' : target.path
  const flags = target !== 'null' && isFifo(path) ? O_RDWR : input ? O_RDONLY : O_WRONLY | O_APPEND | (target === 'null' ? 0 : O_CREAT)
  const fd = openSync(path, flags | O_NOCTTY, 0o640)
  opened.push(fd)
  return fd
}

export function openStdio({ stdin = 'null', stdout = 'null', stderr = 'null' }: Stdio = {}): OpenStdio {
  const opened: number[] = []
  const close = (): void => {
    for (const fd of opened) closeSync(fd)
  }
  try {
    return { fds: [openTarget(stdin, true, opened), openTarget(stdout, false, opened), openTarget(stderr, false, opened)], close }
  } catch (error) {
    close()
    throw error
  }
}
