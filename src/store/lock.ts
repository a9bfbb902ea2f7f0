// One process at a time may own a store's folder.
import { statSync } from 'node:fs'
import { createServer } from 'node:net'

/** Holds the folder until released or until the process ends, however it ends. */
export async function lockFolder(path: string): Promise<{ release(): Promise<void> }> {
  // A name in the abstract socket space: the kernel frees it with the process, so no stale lock survives a crash.
  const { dev, ino } = statSync(path)
  const server = createServer((socket) => socket.destroy())
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(error.code === 'EADDRINUSE' ? new Error(`store: another process has ${path} open`) : error),
    )
    server.listen(`\0knarr-store-${dev}-${ino}`, resolve)
  })
  server.unref()
  return { release: () => new Promise((resolve) => server.close(() => resolve())) }
}
