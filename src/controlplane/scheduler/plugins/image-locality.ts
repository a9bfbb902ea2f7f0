// Likes nodes that have the pod's images already.
import type { Plugin } from '../plugin.js'

const MEGABYTE = 2 ** 20
const MIN = 23 * MEGABYTE
const MAX_PER_CONTAINER = 1000 * MEGABYTE

/** `nginx` is `docker.io/library/nginx:latest` to a node. */
export function fullImageName(image: string): string {
  const first = image.split('/')[0] ?? ''
  const withHost = image.includes('/')
    ? first.includes('.') || first.includes(':') || first === 'localhost'
      ? image
      : `docker.io/${image}`
    : `docker.io/library/${image}`
  const last = withHost.slice(withHost.lastIndexOf('/') + 1)
  return last.includes(':') || last.includes('@') ? withHost : `${withHost}:latest`
}

export const imageLocality: Plugin = {
  name: 'ImageLocality',
  local: true,
  signature: ({ pod }) => (pod.spec?.containers ?? []).map((container) => container.image),
  prepare({ pod: { pod }, state }) {
    const images = (pod.spec?.containers ?? []).flatMap((container) => (container.image ? [fullImageName(container.image)] : []))
    if (images.length === 0 || state.imageNodes === 0) return undefined
    const max = MAX_PER_CONTAINER * images.length
    return {
      score(_, { node }) {
        let bytes = 0
        for (const { names, sizeBytes } of node?.status?.images ?? []) {
          if (names?.some((each) => images.includes(each) || images.includes(fullImageName(each)))) bytes += sizeBytes ?? 0
        }
        return Math.floor((100 * (Math.min(max, Math.max(MIN, bytes)) - MIN)) / (max - MIN))
      },
    }
  },
}
