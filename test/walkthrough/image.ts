// The images of the walk-through, made from what Debian has: busybox under its usual names with a small web server, and Redis.
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Machine } from '../machines/machine.js'
import { must } from '../machines/shell.js'
import { KNARR } from './cluster.js'

const APPLETS = [
  'sh',
  'sleep',
  'cat',
  'echo',
  'ls',
  'wget',
  'httpd',
  'hostname',
  'nslookup',
  'id',
  'touch',
  'rm',
  'nc',
  'true',
  'false',
  'date',
  'env',
  'ip',
  'chmod',
  'mkdir',
  'printf',
  'tail',
  'sed',
  'grep',
]

const WEB = `#!/bin/sh
mkdir -p /www/cgi-bin
echo "$TEXT $(hostname)" > /www/index.html
printf '#!/bin/sh\\necho; echo $REMOTE_ADDR\\n' > /www/cgi-bin/who
chmod +x /www/cgi-bin/who
exec httpd -f -p 8080 -h /www
`

/** Makes an image of a folder that `fill` fills, on each machine. */
async function importImage(machines: readonly Machine[], name: string, fill: (root: string) => Promise<void> | void): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'knarr-walkthrough-'))
  try {
    await fill(root)
    await Promise.all(machines.map((machine) => machine.must([KNARR, 'image', 'import', root, name])))
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

export function putBusybox(root: string): void {
  for (const folder of ['bin', 'tmp', 'etc', 'www', 'data']) mkdirSync(join(root, folder))
  copyFileSync('/bin/busybox', join(root, 'bin/busybox'))
  for (const name of APPLETS) symlinkSync('busybox', join(root, 'bin', name))
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n')
}

/** Makes `bb:latest` on each machine. */
export const importBusybox = (machines: readonly Machine[]): Promise<void> =>
  importImage(machines, 'bb:latest', (root) => {
    putBusybox(root)
    writeFileSync(join(root, 'bin/web'), WEB)
    chmodSync(join(root, 'bin/web'), 0o755)
  })

/** Makes `redis:latest`: Debian's server with the libraries that it wants, beside busybox. */
export const importRedis = (machines: readonly Machine[]): Promise<void> =>
  importImage(machines, 'redis:latest', async (root) => {
    putBusybox(root)
    const program = '/usr/bin/redis-server'
    const libraries = (await must(['ldd', program])).match(/\/\S+/g) ?? []
    for (const path of libraries) {
      mkdirSync(dirname(join(root, path)), { recursive: true })
      copyFileSync(path, join(root, path))
    }
    copyFileSync(program, join(root, 'bin/redis-server'))
  })
