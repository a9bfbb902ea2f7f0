// What the tests of crashes and power cuts look at: three images, and whether a store shows anything that is not whole.
import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { fileMatches } from '../../src/image/content.js'
import { type ImageStore, isDigest } from '../../src/image/index.js'
import { fakeImage, type Served, sha } from './fake-registry.js'
import { makeTar } from './fixture.js'

export function treeHash(root: string): string {
  const hash = createHash('sha256')
  for (const name of readdirSync(root, { recursive: true, encoding: 'utf8' }).sort()) {
    const stat = lstatSync(join(root, name))
    hash.update(`${name} ${stat.mode} ${stat.size}\n`)
    if (stat.isFile()) hash.update(readFileSync(join(root, name)))
  }
  return hash.digest('hex')
}

export interface Variant {
  readonly name: string
  readonly diffId: string
}

/** Three images, and one registry that has them all. */
export function variants(): { readonly files: Map<string, Served>; readonly all: readonly Variant[]; readonly bytes: number } {
  const files = new Map<string, Served>()
  let bytes = 0
  const all = ['one', 'two', 'three'].map((name) => {
    const tar = makeTar(
      Array.from({ length: 60 }, (_, i) => ({
        path: `${name}-${i}`,
        data: createHash('sha256').update(`${name}${i}`).digest('hex').repeat(100),
      })),
    )
    const image = fakeImage({ layer: gzipSync(tar, { level: 0 }), diffId: sha(tar) })
    bytes = image.layer.length
    for (const [path, served] of image.files) files.set(path === 'manifests/v1' ? `manifests/${name}` : path, served)
    return { name, diffId: sha(tar) }
  })
  return { files, all, bytes }
}

/** Throws unless everything that can be seen is whole. Returns how many images there are. */
export function verify(store: ImageStore, expected: ReadonlyMap<string, string>): number {
  for (const algorithm of readdirSync(join(store.root, 'blobs')))
    for (const hex of readdirSync(join(store.root, 'blobs', algorithm))) {
      const digest = `${algorithm}:${hex}`
      if (!isDigest(digest) || !fileMatches(join(store.root, 'blobs', algorithm, hex), digest)) throw new Error(`blob ${digest} is damaged`)
    }
  for (const name of readdirSync(join(store.root, 'layers'))) {
    const want = expected.get(name.replace('-', ':'))
    if (want !== treeHash(join(store.root, 'layers', name, 'fs'))) throw new Error(`layer ${name} is damaged`)
  }
  for (const name of readdirSync(join(store.root, 'names')))
    if (name.endsWith('.json')) JSON.parse(readFileSync(join(store.root, 'names', name), 'utf8'))
  return store.list().length
}
