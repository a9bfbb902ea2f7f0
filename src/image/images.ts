// From names to whole images, by reading manifests and configs that are in the store.
import type { ContentStore } from './content.js'
import { chainId } from './layers.js'
import { type Config, type Descriptor, type Digest, isDigest, type Manifest, type Platform, readConfig, readManifest } from './manifest.js'
import type { NameIndex, NameRecord } from './names.js'
import { choosePlatform } from './platform.js'
import { parseReference, storedName } from './reference.js'
import type { Image } from './types.js'

/** The parts of an image that follow from its manifest alone. */
interface Parts {
  readonly target: Descriptor
  readonly descriptor: Descriptor
  readonly manifest: Manifest
  readonly config: Config
  /** False: of an index, but not what it would stand for if all of it were here. */
  readonly settled: boolean
}

export interface Images {
  list(): readonly Image[]
  resolve(reference: string): Image | undefined
  /**
   * The image behind a descriptor, whatever its names; undefined when a blob of it is missing. Of an index the one for `wanted`;
   * without it the one for our platform, or else what is here.
   */
  at(target: Descriptor, wanted?: Platform): Image | undefined
  manifestOf(image: Image): Manifest
  /** Every blob that the target reaches and that is here. */
  reach(target: Descriptor): ReadonlySet<Digest>
}

const MAX_DEPTH = 4

export function images(content: ContentStore, names: NameIndex, platform: Platform): Images {
  // Manifests never change, so what was read once needs no second reading; that the blobs are still there is asked each time.
  const known = new Map<Digest, Parts>()

  const readParts = (target: Descriptor, wanted?: Platform, depth = 0): Omit<Parts, 'target'> | undefined => {
    if (depth > MAX_DEPTH || !content.has(target.digest)) return undefined
    const document = readManifest(content.read(target.digest), target.mediaType)
    if (document.kind === 'index') {
      const best = choosePlatform(document.manifests, wanted ?? platform)
      const settled = wanted !== undefined || (best !== undefined && content.has(best.digest))
      const chosen = settled ? best : document.manifests.find(({ digest }) => content.has(digest))
      const parts = chosen && readParts(chosen, wanted, depth + 1)
      return parts && { ...parts, settled: parts.settled && settled }
    }
    if (!content.has(document.config.digest)) return undefined
    const config = readConfig(content.read(document.config.digest), document.layers.length)
    return { descriptor: target, manifest: document, config, settled: true }
  }
  const partsOf = (target: Descriptor, wanted?: Platform): Parts | undefined => {
    const found = (wanted ? undefined : known.get(target.digest)) ?? readParts(target, wanted)
    if (!found) return undefined
    const { manifest, descriptor } = found
    const whole = [target, descriptor, manifest.config, ...manifest.layers].every((blob) => content.size(blob.digest) !== undefined)
    if (!whole) {
      known.delete(target.digest)
      return undefined
    }
    const parts = { ...found, target }
    if (!wanted && found.settled) known.set(target.digest, parts)
    return parts
  }
  const quietly = (target: Descriptor, wanted?: Platform): Parts | undefined => {
    try {
      return partsOf(target, wanted)
    } catch {
      return undefined // a manifest that was never an image: not in the list
    }
  }
  const toImage = ({ target, descriptor, manifest, config }: Parts, records: readonly NameRecord[]): Image => {
    const diffIds = config.rootfs.diff_ids
    const { os, architecture, variant } = config
    const created = Date.parse(config.created ?? '')
    return {
      id: manifest.config.digest,
      target,
      manifest: descriptor,
      repoTags: records.filter(({ name }) => !name.includes('@')).map(({ name }) => name),
      repoDigests: records.filter(({ name }) => name.includes('@')).map(({ name }) => name),
      platform: { os, architecture, ...(variant ? { variant } : {}) },
      config,
      layers: manifest.layers,
      diffIds,
      chainId: chainId(diffIds),
      size: [...new Map([descriptor, manifest.config, ...manifest.layers].map((blob) => [blob.digest, blob.size])).values()].reduce(
        (a, b) => a + b,
        0,
      ),
      createdAt: Number.isNaN(created) ? 0 : created,
      updatedAt: records.length === 0 ? 0 : Math.min(...records.map(({ updatedAt }) => updatedAt)),
    }
  }
  const list = (): readonly Image[] => {
    const groups = new Map<Digest, { readonly parts: Parts; readonly records: NameRecord[] }>()
    for (const record of names.list()) {
      const parts = quietly(record.target)
      if (!parts) continue
      const id = parts.manifest.config.digest
      const group = groups.get(id)
      if (group) group.records.push(record)
      else groups.set(id, { parts, records: [record] })
    }
    return [...groups.values()].map(({ parts, records }) => toImage(parts, records))
  }
  const byId = (text: string): Image | undefined => {
    const hex = text.replace(/^sha256:/, '')
    if (!/^[0-9a-f]{3,64}$/.test(hex)) return undefined
    const found = list().filter(({ id }) => id.startsWith(`sha256:${hex}`))
    return found.length === 1 ? found[0] : undefined
  }
  const byName = (text: string): Image | undefined => {
    let name: string
    try {
      name = storedName(parseReference(text))
    } catch {
      return undefined
    }
    const target = names.get(name)?.target
    const parts = target && quietly(target)
    if (!parts) return undefined
    const id = parts.manifest.config.digest
    // All names of the same image, wherever they point to it through.
    return list().find((image) => image.id === id)
  }
  const reach = (target: Descriptor): ReadonlySet<Digest> => {
    const seen = new Set<Digest>()
    const visit = (descriptor: Descriptor): void => {
      if (seen.has(descriptor.digest) || !content.has(descriptor.digest)) return
      seen.add(descriptor.digest)
      if (!/manifest|index/.test(descriptor.mediaType)) return
      try {
        const document = readManifest(content.read(descriptor.digest), descriptor.mediaType)
        for (const next of document.kind === 'index' ? document.manifests : [document.config, ...document.layers]) visit(next)
      } catch {
        // Not a manifest after all: nothing more to reach from here.
      }
    }
    visit(target)
    return seen
  }
  return {
    list,
    // A full id beats a name; a short one does not.
    resolve: (text) => (isDigest(text) || /^[0-9a-f]{64}$/.test(text) ? byId(text) : (byName(text) ?? byId(text))),
    at(target, wanted) {
      const parts = quietly(target, wanted)
      return (
        parts &&
        toImage(
          parts,
          names.list().filter((record) => quietly(record.target)?.manifest.config.digest === parts.manifest.config.digest),
        )
      )
    },
    manifestOf(image) {
      const parts = partsOf(image.manifest)
      if (!parts) throw new Error(`image ${image.id} is not whole: pull it again`)
      return parts.manifest
    },
    reach,
  }
}
