// Runs one command as a process: signals, standard streams, the exit code.
import { type Command, explain, hasErrno, UsageError } from '../lib/index.js'

/** A reader that goes away (`knarr up | head`) ends no command in the middle of its work. */
function lenient(stream: NodeJS.WriteStream): NodeJS.WriteStream {
  if (stream.listenerCount('error', ignoreBrokenPipe) === 0) stream.on('error', ignoreBrokenPipe)
  return stream
}

function ignoreBrokenPipe(error: Error): void {
  if (!hasErrno(error, 'EPIPE')) throw error
}

export async function runCommand(name: string, load: () => Promise<Command>, argv: readonly string[]): Promise<number> {
  const abort = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => abort.abort(new Error(`received ${signal}`)))
  // Timers of our clocks do not keep a process alive; a command that waits for one must not end early.
  const alive = setInterval(() => {}, 2 ** 30)
  try {
    const command = await load()
    return await command.run(argv, {
      // Made at their first use: each costs as much as a container's start.
      get stdin() {
        return process.stdin
      },
      get stdout() {
        return lenient(process.stdout)
      },
      get stderr() {
        return lenient(process.stderr)
      },
      env: process.env,
      signal: abort.signal,
    })
  } catch (error) {
    const stderr = lenient(process.stderr)
    stderr.write(`knarr ${name}: ${explain(error)}\n`)
    if (!(error instanceof UsageError) && process.env.KNARR_DEBUG && error instanceof Error) stderr.write(`${error.stack}\n`)
    return 1
  } finally {
    clearInterval(alive)
  }
}
