// Unpacked layers. A layer's folder depends on nothing below it, unless it left ends open: then there is one folder per stack.
import { createHash } from 'node:crypto'
import { existsSync, lstatSync, mkdirSync, readdirSync, readlinkSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasErrno, type Random } from '../lib/index.js'
import { digestName } from './content.js'
import { randomName, readIfThere, type StorePaths } from './disk.js'
import { removeTree } from './layer-paths.js'
import type { Digest } from './manifest.js'
import { isSettled, settle } from './settle.js'
import { copyAttributes, layOver } from './tree.js'
import type { LayerInfo } from './unpack-job.js'

/** `sha256-…` for a layer by its diffID, `chain-…` for one settled onto the layers below, `merged-…` for several in one. */
export type LayerName = string

export interface LayerStore {
  /** The layer's own folder, as unpacked. */
  rawName(diffId: Digest): LayerName
  has(name: LayerName): boolean
  info(name: LayerName): LayerInfo | undefined
  /** The folder to mount: a short path, because mount(2) takes one page of options. */
  mountPath(name: LayerName): string
  folder(name: LayerName): string
  /** Takes over a folder made by the unpacker. */
  commit(made: string, name: LayerName): void
  /** The layers to mount for these diffIDs, lowest first; undefined when one is not unpacked. Settles open ends on the way. */
  stack(diffIds: readonly Digest[]): readonly LayerName[] | undefined
  /** One layer that is the same as all of these over each other, lowest first. */
  merge(names: readonly LayerName[]): LayerName
  list(): readonly LayerName[]
  /** Out of sight in one step. Answers with the folder that is left to be deleted. */
  remove(name: LayerName): string | undefined
}

/** https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md#layer-chainid */
export function chainId(diffIds: readonly Digest[]): Digest | undefined {
  let chain: Digest | undefined
  for (const diffId of diffIds)
    chain = chain === undefined ? diffId : `sha256:${createHash('sha256').update(`${chain} ${diffId}`).digest('hex')}`
  return chain
}

export function layerStore(paths: StorePaths, random: Random): LayerStore {
  const shortcuts = join(paths.root, 'l')
  mkdirSync(shortcuts, { recursive: true, mode: 0o711 })
  const infos = new Map<LayerName, LayerInfo>()
  const stacks = new Map<string, readonly LayerName[]>()
  const home = (name: LayerName): string => join(paths.layers, name)
  const folder = (name: LayerName): string => join(home(name), 'fs')
  const short = (name: LayerName): string => join(shortcuts, createHash('sha256').update(name).digest('base64url').slice(0, 12))
  const has = (name: LayerName): boolean => existsSync(join(home(name), 'layer.json'))

  const info = (name: LayerName): LayerInfo | undefined => {
    const known = infos.get(name)
    if (known && has(name)) return known
    const text = readIfThere(join(home(name), 'layer.json'))
    if (text === undefined) return undefined
    const read = JSON.parse(text) as LayerInfo
    infos.set(name, read)
    return read
  }
  const shorten = (name: LayerName): string => {
    const link = short(name)
    const target = join('..', 'layers', name, 'fs')
    try {
      symlinkSync(target, link)
    } catch (error) {
      if (!hasErrno(error, 'EEXIST')) throw error
      if (readlinkSync(link) !== target) return folder(name)
    }
    return link
  }
  const commit = (made: string, name: LayerName): void => {
    try {
      renameSync(made, home(name))
    } catch (error) {
      // Another process was faster: its folder is as good as ours.
      if (!hasErrno(error, 'EEXIST', 'ENOTEMPTY')) throw error
      if (has(name)) removeTree(made)
      else {
        removeTree(home(name))
        renameSync(made, home(name))
      }
    }
    shorten(name)
  }
  /** Makes a layer in a temporary folder and shows it only when it is whole. */
  const build = (name: LayerName, info: LayerInfo, fill: (root: string) => void): LayerName => {
    const made = join(paths.temporary, randomName(random))
    mkdirSync(join(made, 'fs'), { recursive: true, mode: 0o755 })
    try {
      fill(join(made, 'fs'))
      writeFileSync(join(made, 'layer.json'), JSON.stringify(info))
      commit(made, name)
    } catch (error) {
      removeTree(made)
      throw error
    }
    return name
  }
  /** As paths, top first. */
  const below = (lowers: readonly LayerName[]): readonly string[] => [...lowers].reverse().map(folder)
  const settled = (raw: LayerName, info: LayerInfo, chain: Digest, lowers: readonly LayerName[]): LayerName => {
    const name = `chain-${digestName(chain)}`
    if (has(name)) return name
    return build(name, { ...info, open: { implied: [], links: [] } }, (root) => settle(folder(raw), root, info.open, below(lowers)))
  }
  return {
    rawName: digestName,
    has,
    info,
    folder,
    commit,
    mountPath: shorten,
    stack(diffIds) {
      const key = diffIds.join(' ')
      const known = stacks.get(key)
      if (known?.every(has)) return known
      const names: LayerName[] = []
      for (const [i, diffId] of diffIds.entries()) {
        const raw = digestName(diffId)
        const found = info(raw)
        if (!found) return undefined
        names.push(
          isSettled(folder(raw), found.open, below(names)) ? raw : settled(raw, found, chainId(diffIds.slice(0, i + 1)) ?? diffId, names),
        )
      }
      stacks.set(key, names)
      return names
    },
    merge(names) {
      const name = `merged-${createHash('sha256').update(names.join('\n')).digest('hex')}`
      if (has(name)) return name
      const all = names.map((part) => info(part))
      const sum: LayerInfo = {
        bytes: all.reduce((total, part) => total + (part?.bytes ?? 0), 0),
        inodes: all.reduce((total, part) => total + (part?.inodes ?? 0), 0),
        open: { implied: [], links: [] },
        hasRoot: all.some((part) => part?.hasRoot),
      }
      return build(name, sum, (root) => {
        const target = Buffer.from(root)
        for (const part of names) layOver(Buffer.from(folder(part)), target, { files: 'link', marks: 'apply' })
        const top = names.findLast((part) => info(part)?.hasRoot)
        if (top !== undefined) copyAttributes(Buffer.from(folder(top)), target, lstatSync(folder(top)), { dropOpaque: true })
      })
    },
    list: () => readdirSync(paths.layers),
    remove(name) {
      infos.delete(name)
      rmSync(join(paths.synced, name), { force: true })
      if (lstatSync(short(name), { throwIfNoEntry: false })) rmSync(short(name), { force: true })
      const doomed = join(paths.temporary, randomName(random))
      try {
        renameSync(home(name), doomed)
      } catch (error) {
        if (hasErrno(error, 'ENOENT')) return undefined
        throw error
      }
      return doomed
    },
  }
}
