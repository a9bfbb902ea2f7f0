// Imports whatever it is given: recognises root file systems, docker archives and OCI layouts by their content.
import { createReadStream, createWriteStream, existsSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Core, wrap } from './core.js'
import { randomName } from './disk.js'
import { importRoot } from './import-rootfs.js'
import type { Descriptor } from './manifest.js'
import { parseReference, storedName } from './reference.js'
import type { Image, ImportOptions } from './types.js'

const needName = (options: ImportOptions): string => {
  if (options.name === undefined) throw new Error('a root file system needs a name for its image')
  return storedName(parseReference(options.name))
}

/** Copies stdin or a file into the store, where it can be read twice. */
async function spoolOf(core: Core, source: Readable, signal: AbortSignal | undefined): Promise<string> {
  const path = join(core.paths.temporary, randomName(core.random))
  try {
    await pipeline(source, createWriteStream(path, { flags: 'wx', mode: 0o600 }), signal ? { signal } : {})
  } catch (error) {
    rmSync(path, { force: true })
    throw error
  }
  return path
}

export async function importImages(core: Core, source: string | Readable, options: ImportOptions): Promise<readonly Image[]> {
  const label = typeof source === 'string' ? source : 'standard input'
  const lease = core.leases.begin()
  let spool: string | undefined
  try {
    const named: { readonly name: string; readonly target: Descriptor }[] = []
    if (typeof source === 'string') {
      const stat = statSync(source, { throwIfNoEntry: false })
      if (!stat) throw new Error('there is no such file or folder')
      if (stat.isDirectory()) named.push({ name: needName(options), target: await importRoot(core, lease, { folder: source }, options) })
    }
    if (named.length === 0) {
      spool = await spoolOf(core, typeof source === 'string' ? createReadStream(source) : source, options.signal)
      await lease.hold([spool.slice(spool.lastIndexOf('/') + 1)])
      named.push({ name: needName(options), target: await importRoot(core, lease, { tar: spool }, options) })
    }
    for (const { name, target } of named) core.names.set(name, target)
    return named.map(({ target }) => core.images.at(target)).filter((image): image is Image => image !== undefined)
  } catch (error) {
    throw wrap(`import of ${label}`, error)
  } finally {
    if (spool !== undefined && existsSync(spool)) rmSync(spool, { force: true })
    lease.end()
  }
}
