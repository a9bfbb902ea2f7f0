// Settles what a layer left open (OpenEnds) by looking into the layers below it.
import { copyFileSync, linkSync, lstatSync, mkdirSync, readdirSync, readlinkSync, renameSync, rmdirSync } from 'node:fs'
import { posix } from 'node:path'
import { listXattrs } from '../sys/index.js'
import { removeTree, shownPath } from './layer-paths.js'
import { copyAttributes, isOpaque, isWhiteout, layOver, OPAQUE_XATTR } from './tree.js'
import type { OpenEnds } from './unpack.js'

/** Where `path` lies in a stack of layers, top first; undefined when it is in none or was deleted. */
function lookUp(stack: readonly string[], path: string): string | undefined {
  const parts = path.split('/')
  for (const layer of stack) {
    let at = layer
    for (const [i, part] of parts.entries()) {
      at = `${at}/${part}`
      const stat = lstatSync(at, { throwIfNoEntry: false })
      if (!stat) break
      if (isWhiteout(stat)) return undefined
      if (i === parts.length - 1) return at
      if (!stat.isDirectory()) return undefined
    }
    // An opaque folder on the way hides everything below this layer.
    const folders = parts.map((_, i) => [layer, ...parts.slice(0, i)].join('/'))
    if (folders.some((folder) => lstatSync(folder, { throwIfNoEntry: false })?.isDirectory() && isOpaque(folder))) return undefined
  }
  return undefined
}

/** Follows links inside the stack; undefined when it leads nowhere or out. */
function resolveFolder(stack: readonly string[], path: string, depth = 0): string | undefined {
  if (depth > 40) return undefined
  let at = ''
  for (const part of path.split('/')) {
    const next = at === '' ? part : `${at}/${part}`
    const found = lookUp(stack, next)
    const stat = found === undefined ? undefined : lstatSync(found)
    if (found !== undefined && stat?.isSymbolicLink()) {
      const target = readlinkSync(found)
      const joined = posix.normalize(target.startsWith('/') ? target.slice(1) : posix.join(at, target)).replace(/\/$/, '')
      if (joined.startsWith('..') || joined === '.') return undefined
      const resolved = resolveFolder(stack, joined, depth + 1)
      if (resolved === undefined) return undefined
      at = resolved
    } else at = next
  }
  return at
}

/** Makes the folders of `path` in `layer`, each like the one below it. */
function makeFolders(layer: string, lowers: readonly string[], path: string): void {
  let at = ''
  for (const part of path.split('/')) {
    at = at === '' ? part : `${at}/${part}`
    const target = `${layer}/${at}`
    if (lstatSync(target, { throwIfNoEntry: false })) continue
    mkdirSync(target, { mode: 0o755 })
    adopt(layer, lowers, at)
  }
}

/** Gives a folder of `layer` the attributes that the same folder has below. */
function adopt(layer: string, lowers: readonly string[], path: string): void {
  const found = lookUp(lowers, path)
  if (found === undefined) return
  const stat = lstatSync(found)
  if (stat.isDirectory()) copyAttributes(Buffer.from(found), Buffer.from(`${layer}/${path}`), stat, { dropOpaque: true })
}

/** A folder that the layers below have as a link: what the layer puts into it belongs where the link leads. */
function moveThroughLink(layer: string, lowers: readonly string[], path: string): void {
  const destination = resolveFolder(lowers, path)
  if (destination === undefined || destination === path) return
  makeFolders(layer, lowers, destination)
  const mergeInto = (from: string, to: string): void => {
    for (const entry of readdirSync(from, { withFileTypes: true })) {
      const source = `${from}/${entry.name}`
      const target = `${to}/${entry.name}`
      const there = lstatSync(target, { throwIfNoEntry: false })
      if (entry.isDirectory() && there?.isDirectory()) mergeInto(source, target)
      else {
        if (there) removeTree(target)
        renameSync(source, target)
      }
    }
    rmdirSync(from)
  }
  mergeInto(`${layer}/${path}`, `${layer}/${destination}`)
}

/** True when the layer as unpacked fits onto `lowers`: what it left open is the same there as what was made for it. */
export function isSettled(raw: string, open: OpenEnds, lowers: readonly string[]): boolean {
  if (open.links.length > 0) return false
  return open.implied.every((path) => {
    const found = lookUp(lowers, path)
    if (found === undefined) return true
    const there = lstatSync(found)
    const here = lstatSync(`${raw}/${path}`)
    const same = there.isDirectory() && there.mode === here.mode && there.uid === here.uid && there.gid === here.gid
    return same && listXattrs(found).every((name) => name === OPAQUE_XATTR)
  })
}

/** Makes in `target` (an empty folder) a copy of the layer `raw` that fits onto `lowers` (top first). Files are shared by hard links. */
export function settle(raw: string, target: string, open: OpenEnds, lowers: readonly string[]): void {
  layOver(Buffer.from(raw), Buffer.from(target), { files: 'link', marks: 'keep' })
  for (const path of open.implied) {
    // An earlier move may have taken it away.
    if (!lstatSync(`${target}/${path}`, { throwIfNoEntry: false })?.isDirectory()) continue
    const found = lookUp(lowers, path)
    if (found !== undefined && lstatSync(found).isSymbolicLink()) moveThroughLink(target, lowers, path)
    else adopt(target, lowers, path)
  }
  for (const link of open.links) {
    const found = lookUp([target, ...lowers], link.target)
    if (found === undefined || !lstatSync(found).isFile())
      throw new Error(`${shownPath(link.path)} is a hard link to ${shownPath(link.target)}, which is not in the image`)
    const own = `${target}/${link.target}`
    if (found !== own) {
      const folder = posix.dirname(link.target)
      if (folder !== '.') makeFolders(target, lowers, folder)
      copyFileSync(found, own)
      copyAttributes(Buffer.from(found), Buffer.from(own), lstatSync(found))
    }
    removeTree(`${target}/${link.path}`)
    linkSync(own, `${target}/${link.path}`)
  }
}
