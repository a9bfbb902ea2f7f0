// Connects the terminal that we were called from with a container's terminal, until that one ends.
import { createReadStream, createWriteStream } from 'node:fs'
import type { CommandIo } from '../../lib/index.js'
import { keepLineFeeds, setWindowSize } from '../../sys/index.js'

/** Owns the master. Returns what puts our own terminal back. */
export function pumpTerminal(master: number, io: CommandIo): () => void {
  keepLineFeeds(master)
  // Its class is not asked for: `node:tty` alone takes as long as a container's start.
  const input = io.stdin as NodeJS.ReadableStream & { isTTY?: boolean; setRawMode?: (raw: boolean) => void }
  const output = createReadStream('', { fd: master, autoClose: false })
  const back = createWriteStream('', { fd: master, autoClose: false })
  const resize = (): void => {
    const { columns, rows } = process.stdout
    if (columns && rows) setWindowSize(master, { width: columns, height: rows })
  }
  if (input.isTTY) {
    input.setRawMode?.(true)
    resize()
    process.on('SIGWINCH', resize)
  }
  output.on('data', (chunk: string | Buffer) => io.stdout.write(chunk))
  // EIO: the last process that had the other end open has gone.
  output.on('error', () => {})
  back.on('error', () => {})
  input.pipe(back)
  return () => {
    process.off('SIGWINCH', resize)
    input.unpipe(back)
    if (input.isTTY) input.setRawMode?.(false)
    input.pause()
  }
}
