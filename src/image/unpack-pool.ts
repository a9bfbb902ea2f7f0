// Worker threads that unpack layers side by side: one layer per worker, the rest wait. Idle workers end.
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { limiter } from '../lib/index.js'
import type { Growth, UnpackJob, UnpackOutcome } from './unpack-job.js'
import type { FromWorker, ToWorker } from './unpack-worker.js'

export interface UnpackPool {
  /** Queues a job. Growth may be reported before a worker is free. */
  run(job: UnpackJob, progress?: (read: number) => void): Growth & { readonly outcome: Promise<UnpackOutcome> }
  /** Starts workers that will be wanted soon: they need 50 ms to be ready. */
  warm(): void
  /** Ends workers that have nothing to do. */
  rest(): void
  /** Everything on the file system of `path` is on the disk when this resolves. */
  sync(path: string): Promise<void>
  close(): Promise<void>
}

/** Beside the built one-to-one file and beside the bundle alike (scripts/build.mjs lists it as an entry point). */
const workerFile = new URL('./unpack-worker.js', import.meta.url)

export function unpackPool(options: { readonly workers?: number } = {}): UnpackPool {
  const size = Math.max(1, options.workers ?? Math.min(4, availableParallelism()))
  const turn = limiter(size)
  const idle: Worker[] = []
  const all = new Set<Worker>()
  let waiting = 0
  let closed = false

  const loaded = new WeakMap<Worker, Promise<unknown>>()
  /** Its first message says that a worker has loaded everything. */
  const watch = (worker: Worker): Worker => {
    all.add(worker)
    const ready = new Promise<unknown>((resolve) => {
      worker.once('message', resolve)
      worker.once('exit', resolve)
    })
    loaded.set(worker, ready)
    return worker
  }
  /** Not while it loads: native code that is loaded in a thread on its way out takes the whole process down. */
  const end = async (worker: Worker): Promise<void> => {
    worker.ref()
    await loaded.get(worker)
    await worker.terminate()
  }

  const start = (): Worker => {
    // A small young generation: what passes through are buffers, and their memory is only given back when it is collected.
    const worker = new Worker(workerFile, { stdin: false, resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 256 } })
    watch(worker)
    worker.once('exit', () => {
      all.delete(worker)
      if (idle.includes(worker)) idle.splice(idle.indexOf(worker), 1)
    })
    return worker
  }
  const take = (): Worker => {
    const ready = idle.pop()
    ready?.ref()
    return ready ?? start()
  }

  /** A worker whose job failed may be in the middle of anything: it is ended, not used again. */
  const release = (worker: Worker, reusable: boolean): void => {
    worker.removeAllListeners('message')
    worker.removeAllListeners('error')
    if (!reusable || closed || waiting === 0) void end(worker)
    else {
      worker.unref()
      idle.push(worker)
    }
  }

  const work = (
    job: UnpackJob,
    early: ToWorker[],
    attach: (send: (message: ToWorker) => void) => void,
    progress?: (read: number) => void,
  ) =>
    new Promise<UnpackOutcome>((resolve, reject) => {
      const worker = take()
      const send = (message: ToWorker): void => worker.postMessage(message)
      worker.on('message', (message: FromWorker) => {
        if (message.type === 'progress') return progress?.(message.read)
        if (message.type === 'synced' || message.type === 'ready') return
        release(worker, message.type === 'done')
        if (message.type === 'done') resolve(message.outcome)
        else reject(new Error(message.message))
      })
      worker.on('error', (error) => {
        release(worker, false)
        reject(new Error('the unpacking worker broke down', { cause: error }))
      })
      send({ type: 'start', job })
      for (const message of early) send(message)
      attach(send)
    })

  return {
    run(job, progress) {
      const early: ToWorker[] = []
      let send = (message: ToWorker): void => {
        early.push(message)
      }
      let failure: Error | undefined
      waiting++
      const outcome = turn(() => {
        waiting--
        if (failure) throw failure
        return work(
          job,
          early,
          (direct) => {
            send = direct
          },
          progress,
        )
      })
      // The caller may be busy downloading when this fails; it looks later.
      outcome.catch(() => {})
      return {
        outcome,
        grow: (available) => send({ type: 'grow', available }),
        end: (bytes) => send({ type: 'end', size: bytes }),
        fail(error) {
          failure = error
          send({ type: 'fail', message: error.message })
        },
      }
    },
    warm() {
      while (!closed && all.size < size) {
        const worker = start()
        worker.unref()
        idle.push(worker)
      }
    },
    rest() {
      if (waiting === 0) for (const worker of idle.splice(0)) void end(worker)
    },
    sync: (path) =>
      new Promise((resolve, reject) => {
        const worker = watch(new Worker(workerFile))
        worker.unref()
        worker.on('message', (message: FromWorker) => {
          if (message.type !== 'synced') return
          all.delete(worker)
          void end(worker)
          resolve()
        })
        worker.once('error', reject)
        worker.once('exit', () => reject(new Error('the worker ended before the disk was flushed')))
        worker.postMessage({ type: 'sync', path } satisfies ToWorker)
      }),
    async close() {
      closed = true
      await Promise.all([...all].map(end))
    },
  }
}
