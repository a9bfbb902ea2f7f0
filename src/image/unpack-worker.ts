// Entry point of the worker threads that unpack layers: jobs and growth come in as messages, outcomes go back.
import { closeSync, openSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'
import { syncFileSystem } from '../sys/index.js'
import { type Growth, startUnpack, type UnpackJob, type UnpackOutcome } from './unpack-job.js'

export type ToWorker =
  | { readonly type: 'start'; readonly job: UnpackJob }
  | { readonly type: 'grow'; readonly available: number }
  | { readonly type: 'end'; readonly size: number }
  | { readonly type: 'fail'; readonly message: string }
  /** Flush the file system of this folder: the call blocks its thread until the disk has everything. */
  | { readonly type: 'sync'; readonly path: string }

export type FromWorker =
  /** Everything is loaded. */
  | { readonly type: 'ready' }
  | { readonly type: 'progress'; readonly read: number }
  | { readonly type: 'done'; readonly outcome: UnpackOutcome }
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'synced' }

const port = parentPort
let current: Growth | undefined

const send = (message: FromWorker): void => port?.postMessage(message)

port?.on('message', (message: ToWorker) => {
  if (message.type === 'start') {
    const running = startUnpack(message.job, (read) => send({ type: 'progress', read }))
    current = running
    running.outcome.then(
      (outcome) => send({ type: 'done', outcome }),
      (error: Error) => send({ type: 'failed', message: error.message }),
    )
  } else if (message.type === 'sync') {
    const fd = openSync(message.path, 'r')
    try {
      syncFileSystem(fd)
    } finally {
      closeSync(fd)
    }
    send({ type: 'synced' })
  } else if (message.type === 'grow') current?.grow(message.available)
  else if (message.type === 'end') current?.end(message.size)
  else current?.fail(new Error(message.message))
})

send({ type: 'ready' })
