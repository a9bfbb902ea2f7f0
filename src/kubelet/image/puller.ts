// The image of a container, present on this node: pull policies, credentials, a limit of pulls at once, back-off.
import type { Pod, Secret } from '../../api/index.js'
import { type AuthConfig, type Cri, type Image, sentence } from '../../cri/index.js'
import { type Clock, explain, limiter, singleFlight } from '../../lib/index.js'
import { backOffTable, goDuration, IMAGE_BACK_OFF } from '../pod/back-off.js'
import { credentialsFor } from './credentials.js'
import { withDefaultTag } from './name.js'

/** Why a container waits for its image, in words users know. */
export class ImageError extends Error {
  override readonly name = 'ImageError'
  readonly reason: 'ErrImagePull' | 'ImagePullBackOff' | 'ErrImageNeverPull' | 'InvalidImageName' | 'ImageInspectError'
  /** When trying again makes sense, in milliseconds from now. */
  readonly retryAfter: number | undefined

  constructor(reason: ImageError['reason'], message: string, retryAfter?: number) {
    super(message)
    this.reason = reason
    this.retryAfter = retryAfter
  }
}

export interface PresentImage {
  /** What `createContainer` may be given. */
  readonly ref: string
  readonly image: Image | undefined
}

export interface ImageRequest {
  readonly pod: Pod
  /** As the pod writes it. */
  readonly image: string
  readonly pullPolicy: string | undefined
  readonly secrets: () => Promise<readonly Secret[]>
  readonly event: (type: 'Normal' | 'Warning', reason: string, message: string) => void
  readonly signal: AbortSignal
}

export interface Puller {
  ensure(request: ImageRequest): Promise<PresentImage>
  /** When an image was last needed: what image collection goes by. */
  readonly lastUsed: ReadonlyMap<string, number>
}

/** How long the error itself is shown before the state says that the next try is waited for. */
const SAID_FOR_MS = 1_000

const policyOf = (image: string, policy: string | undefined): string => policy || (image.endsWith(':latest') ? 'Always' : 'IfNotPresent')

export function createPuller({ cri, clock, parallel }: { readonly cri: Cri; readonly clock: Clock; readonly parallel: number }): Puller {
  const slots = limiter(parallel)
  const flights = singleFlight<string>()
  const backOff = backOffTable(IMAGE_BACK_OFF)
  const failures = new Map<string, { readonly at: number; readonly message: string }>()
  const lastUsed = new Map<string, number>()

  async function pullWith(name: string, auths: readonly AuthConfig[], signal: AbortSignal): Promise<string> {
    const tries: readonly (AuthConfig | undefined)[] = auths.length > 0 ? auths : [undefined]
    let last: unknown
    for (const auth of tries) {
      try {
        return (await cri.pullImage({ image: { image: name }, ...(auth ? { auth } : {}) }, { signal })).imageRef
      } catch (error) {
        last = error
        if (signal.aborted) break
      }
    }
    throw last
  }

  async function pull(name: string, key: string, request: ImageRequest): Promise<PresentImage> {
    const { image, event, signal } = request
    const failed = failures.get(key)
    const wait = failed ? backOff.remaining(key, failed.at, clock.now()) : 0
    if (failed && wait > 0) {
      event('Normal', 'BackOff', `Back-off pulling image "${image}"`)
      throw new ImageError('ImagePullBackOff', `Back-off pulling image "${image}": ErrImagePull: ${failed.message}`, wait)
    }
    event('Normal', 'Pulling', `Pulling image "${image}"`)
    const asked = clock.monotonic()
    let began = asked
    try {
      const auths = credentialsFor(name, await request.secrets())
      const ref = await flights(JSON.stringify([name, auths]), () =>
        slots(() => {
          began = clock.monotonic()
          return pullWith(name, auths, signal)
        }),
      )
      const present = await cri.imageStatus({ image: ref })
      const now = clock.monotonic()
      const size = present ? ` Image size: ${present.size} bytes.` : ''
      event(
        'Normal',
        'Pulled',
        `Successfully pulled image "${image}" in ${goDuration(now - began)} (${goDuration(now - asked)} including waiting).${size}`,
      )
      failures.delete(key)
      backOff.forget(key)
      return { ref: present?.id ?? ref, image: present }
    } catch (error) {
      const message = sentence(error)
      if (signal.aborted) throw new ImageError('ErrImagePull', message)
      const now = clock.now()
      event('Warning', 'Failed', `Failed to pull image "${image}": ${message}`)
      backOff.next(key, now, now)
      failures.set(key, { at: now, message })
      // Looked at again soon, to say that it is being waited for.
      throw new ImageError('ErrImagePull', message, SAID_FOR_MS)
    }
  }

  return {
    lastUsed,
    async ensure(request) {
      const { pod, image, event } = request
      let name: string
      try {
        name = withDefaultTag(image)
      } catch (error) {
        const message = `Failed to apply default image tag "${image}": ${explain(error)}`
        event('Warning', 'InspectFailed', message)
        throw new ImageError('InvalidImageName', message, 10_000)
      }
      lastUsed.set(name, clock.now())
      const policy = policyOf(name, request.pullPolicy)
      if (policy !== 'Always') {
        const present = await cri.imageStatus({ image: name })
        if (present) {
          event('Normal', 'Pulled', `Container image "${image}" already present on machine`)
          lastUsed.set(present.id, clock.now())
          return { ref: present.id, image: present }
        }
        if (policy === 'Never') {
          const message = `Container image "${image}" is not present with pull policy of Never`
          event('Warning', 'ErrImageNeverPull', message)
          throw new ImageError('ErrImageNeverPull', message, 10_000)
        }
      }
      const pulled = await pull(name, `${pod.metadata.uid}_${name}`, request)
      if (pulled.image) lastUsed.set(pulled.image.id, clock.now())
      return pulled
    },
  }
}
