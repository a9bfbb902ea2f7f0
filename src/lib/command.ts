// What a command of `knarr` is. Floors that have commands of their own export them; the composition root lists them.

/** Where a command reads and writes: the process, or a test's buffers. */
export interface CommandOutput {
  write(text: string | Uint8Array): unknown
  readonly isTTY?: boolean
  /** Of a terminal. */
  readonly columns?: number
  readonly rows?: number
}

export interface CommandIo {
  readonly stdin: NodeJS.ReadableStream
  readonly stdout: CommandOutput
  readonly stderr: CommandOutput
  readonly env: Readonly<Record<string, string | undefined>>
  /** Aborted at SIGINT and SIGTERM. */
  readonly signal: AbortSignal
}

export interface Command {
  /** One line for `knarr help`. */
  readonly summary: string
  /** Words after the command's name; resolves with the exit code. A UsageError becomes exit code 1 with its sentence. */
  run(argv: readonly string[], io: CommandIo): Promise<number>
}
