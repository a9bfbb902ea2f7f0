// The image of the walk-through: busybox under its usual names, made from Debian's static one.
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Machine } from '../machines/machine.js'
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
  'mkdir',
  'touch',
  'rm',
  'nc',
  'true',
  'false',
  'date',
  'env',
  'ip',
]

/** Makes `bb:latest` on each machine. */
export async function importBusybox(machines: readonly Machine[]): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'knarr-walkthrough-'))
  try {
    for (const folder of ['bin', 'tmp', 'etc', 'www', 'data']) mkdirSync(join(root, folder))
    copyFileSync('/bin/busybox', join(root, 'bin/busybox'))
    for (const name of APPLETS) symlinkSync('busybox', join(root, 'bin', name))
    writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n')
    await Promise.all(machines.map((machine) => machine.must([KNARR, 'image', 'import', root, 'bb:latest'])))
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}
