// Imports whatever it is given: recognises root file systems, docker archives and OCI layouts by their content.
import { createReadStream, createWriteStream, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { folderSource, headOf, inflateFile, tarSource } from './archive-source.js'
import { type Core, wrap } from './core.js'
import { randomName } from './disk.js'
import { type Imported, importDocker, importOci, isDockerArchive, isOciLayout } from './import-archive.js'
import { importRoot } from './import-rootfs.js'
import type { Lease } from './leases.js'
import { compressionOf } from './manifest.js'
import { parseReference, storedName } from './reference.js'
import type { Image, ImportOptions } from './types.js'

const needName = (options: ImportOptions): string => {
  if (options.name === undefined) throw new Error('a root file system needs a name for its image')
  return storedName(parseReference(options.name))
}

/** Copies stdin or a file into the store, where it can be read twice. */
async function spoolOf(core: Core, lease: Lease, source: Readable, signal: AbortSignal | undefined): Promise<string> {
  const name = randomName(core.random)
  const path = join(core.paths.temporary, name)
  await lease.hold([name, `${name}-plain`])
  try {
    await pipeline(source, createWriteStream(path, { flags: 'wx', mode: 0o600 }), signal ? { signal } : {})
  } catch (error) {
    rmSync(path, { force: true })
    throw error
  }
  return path
}

/** What the tar at `spool` is, by its content; a root file system is left to `importRoot`, which wants it as it came. */
async function fromTar(core: Core, lease: Lease, spool: string, options: ImportOptions): Promise<readonly Imported[]> {
  const common = {
    platform: options.platform ?? core.platform,
    ...(options.name === undefined ? {} : { name: options.name }),
    ...signalOf(options),
  }
  const plain = `${spool}-plain`
  const compressed = compressionOf(headOf(spool, 4)) !== 'none'
  try {
    if (compressed) await inflateFile(spool, plain, { zstdProgram: false, ...signalOf(options) })
    const source = await tarSource(compressed ? plain : spool)
    if (isOciLayout(source)) return await importOci(core, lease, source, common)
    if (isDockerArchive(source)) return await importDocker(core, lease, source, common)
  } finally {
    rmSync(plain, { force: true })
  }
  return [{ names: [needName(options)], target: await importRoot(core, lease, { tar: spool }, options) }]
}

async function fromFolder(core: Core, lease: Lease, folder: string, options: ImportOptions): Promise<readonly Imported[]> {
  const source = folderSource(folder)
  const common = {
    platform: options.platform ?? core.platform,
    ...(options.name === undefined ? {} : { name: options.name }),
    ...signalOf(options),
  }
  if (isOciLayout(source)) return importOci(core, lease, source, common)
  return [{ names: [needName(options)], target: await importRoot(core, lease, { folder }, options) }]
}

const signalOf = ({ signal }: ImportOptions): { readonly signal?: AbortSignal } => (signal ? { signal } : {})

export async function importImages(core: Core, source: string | Readable, options: ImportOptions): Promise<readonly Image[]> {
  const label = typeof source === 'string' ? source : 'standard input'
  const lease = core.leases.begin()
  let spool: string | undefined
  try {
    const stat = typeof source === 'string' ? statSync(source, { throwIfNoEntry: false }) : undefined
    if (typeof source === 'string' && !stat) throw new Error('there is no such file or folder')
    let imported: readonly Imported[]
    if (typeof source === 'string' && stat?.isDirectory()) imported = await fromFolder(core, lease, source, options)
    else {
      spool = await spoolOf(core, lease, typeof source === 'string' ? createReadStream(source) : source, options.signal)
      imported = await fromTar(core, lease, spool, options)
    }
    for (const { names, target } of imported) {
      if (names.length === 0) throw new Error('the archive gives its image no name: add one')
      // Layers that do not fit onto each other are found now, not when a container is made.
      const image = core.images.at(target)
      if (!image || !core.layers.stack(image.diffIds)) throw new Error('its layers were removed while it was imported')
      core.names.setAll(names, target)
    }
    return imported.map(({ target }) => core.images.at(target)).filter((image): image is Image => image !== undefined)
  } catch (error) {
    throw wrap(`import of ${label}`, error)
  } finally {
    if (spool !== undefined) rmSync(spool, { force: true })
    lease.end()
  }
}
