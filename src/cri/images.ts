// CRI's image service over the image store.
import type { Image as StoredImage } from '../image/index.js'
import type { Engine } from './engine.js'
import { CriError, criError, invalid, sentence } from './errors.js'
import type { CallOptions, Image, ImageFsInfoResponse, ImageService, ImageSpec, PullImageRequest } from './types.js'

function view(stored: StoredImage): Image {
  const user = stored.config.config?.User ?? ''
  const [name = ''] = user.split(':')
  const numeric = /^\d+$/.test(name)
  return {
    id: stored.id,
    repoTags: stored.repoTags,
    repoDigests: stored.repoDigests,
    size: stored.size,
    ...(numeric ? { uid: Number(name) } : {}),
    username: numeric ? '' : name,
    spec: { image: stored.id },
    pinned: false,
  }
}

/** Registries say why in words; CRI wants one of a few codes. */
function pullCode(error: unknown): 'NOT_FOUND' | 'INVALID_ARGUMENT' | 'CANCELLED' | 'UNKNOWN' {
  const text = sentence(error)
  if (error instanceof Error && error.name === 'AbortError') return 'CANCELLED'
  return /not found|manifest unknown|\b404\b/i.test(text) ? 'NOT_FOUND' : 'UNKNOWN'
}

const named = (spec: ImageSpec | undefined): string => {
  if (!spec?.image) throw invalid('no image is named')
  return spec.image
}

export function imageService(engine: Engine): ImageService {
  const { images, clock } = engine
  const resolve = (name: string): StoredImage | undefined => {
    try {
      return images.resolve(name)
    } catch (error) {
      throw criError(`image ${name}`, error, 'INVALID_ARGUMENT')
    }
  }
  return {
    async listImages(filter) {
      const wanted = filter?.image?.image
      if (!wanted) return images.list().map(view)
      const found = resolve(wanted)
      return found ? [view(found)] : []
    },
    async imageStatus(image) {
      const found = resolve(named(image))
      return found && view(found)
    },
    async pullImage({ image, auth }: PullImageRequest, options: CallOptions = {}) {
      const name = named(image)
      const { signal } = options
      try {
        const pulled = await images.pull(name, { ...(auth ? { auth } : {}), ...(signal ? { signal } : {}) })
        // Not the name: another pull of the same tag must not change what a container is made of.
        return { imageRef: pulled.image.id }
      } catch (error) {
        // It names the image itself.
        throw new CriError(pullCode(error), sentence(error), { cause: error })
      }
    },
    async removeImage(image) {
      const found = resolve(named(image))
      if (!found) return
      const user = [...engine.containers.all.values()].find(({ imageId, exit }) => imageId === found.id && !exit)
      if (user) throw new CriError('FAILED_PRECONDITION', `image ${image.image} is in use by container ${user.id}`)
      await images.remove(found.id)
      await images.gc({ inUse: new Set([...engine.containers.all.values()].map(({ imageId }) => imageId)) })
    },
    async imageFsInfo(): Promise<ImageFsInfoResponse> {
      const usage = await images.usage()
      const filesystem = {
        timestamp: clock.now(),
        fsId: { mountpoint: usage.mountpoint },
        usedBytes: usage.bytes,
        inodesUsed: usage.inodes,
      }
      return { imageFilesystems: [filesystem], containerFilesystems: [filesystem] }
    },
  }
}
