// LMDB uses freed pages again but never gives them back: a file that is mostly empty is written anew at start.
import { closeSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import type { RootDatabase } from 'lmdb'

interface Pages {
  readonly treeBranchPageCount: number
  readonly treeLeafPageCount: number
  readonly overflowPages: number
}

interface Statistics extends Pages {
  readonly pageSize: number
  readonly lastPageNumber: number
  readonly free: Pages
}

const WORTH_BYTES = 16 * 1024 * 1024

const countOf = ({ treeBranchPageCount, treeLeafPageCount, overflowPages }: Pages): number =>
  treeBranchPageCount + treeLeafPageCount + overflowPages

/** More than half of the file, and more than a few megabytes, hold nothing. */
export function isMostlyEmpty(root: RootDatabase, names: readonly string[]): boolean {
  const all = root.getStats() as Statistics
  const databases = names.map((name) => root.openDB(name, { encoding: 'binary' }).getStats() as Statistics)
  const used = [all, all.free, ...databases].reduce((sum, pages) => sum + countOf(pages), 0)
  const empty = all.lastPageNumber + 1 - used
  return empty * all.pageSize > WORTH_BYTES && empty > used
}

function flush(path: string): void {
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

const unfinished = (file: string): string => `${file}.shrunk`

/** Closes the database; its file is replaced at once or not at all. */
export async function shrink(root: RootDatabase, file: string): Promise<void> {
  const copy = unfinished(file)
  forgetUnfinished(file)
  await root.backup(copy, true)
  await root.close()
  flush(copy)
  renameSync(copy, file)
  flush(dirname(file))
}

/** What a start that was cut off left behind. */
export const forgetUnfinished = (file: string): void => rmSync(unfinished(file), { force: true })
