// Names of images, read and completed as Docker does: `nginx` is `docker.io/library/nginx:latest`. Pure.
// Grammar: https://github.com/distribution/reference
import { type Digest, isDigest } from './manifest.js'

export interface Reference {
  /** Host and port: `docker.io`, `localhost:5000`. */
  readonly domain: string
  /** `library/nginx` */
  readonly path: string
  readonly tag?: string
  readonly digest?: Digest
}

const DOMAIN = /^([a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(:[0-9]+)?$/
const PATH = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/

/** A name we cannot use; the message says which and why. */
export class InvalidReference extends Error {
  override readonly name = 'InvalidReference'
}

const looksLikeDomain = (word: string): boolean =>
  word.includes('.') || word.includes(':') || word === 'localhost' || word.toLowerCase() !== word

/** Reads and completes a name. Without tag and digest the tag is `latest`. Throws InvalidReference. */
export function parseReference(text: string): Reference {
  const bad = (why: string): never => {
    throw new InvalidReference(`invalid image name "${text.slice(0, 300)}": ${why}`)
  }
  if (text === '') bad('it is empty')
  if (/^[0-9a-f]{64}$/.test(text)) bad('64 hexadecimal digits are an id, not a name')
  const at = text.indexOf('@')
  const beforeDigest = at < 0 ? text : text.slice(0, at)
  const digest = at < 0 ? undefined : text.slice(at + 1)
  if (digest !== undefined && !isDigest(digest)) bad('what follows @ is not a sha256 or sha512 digest')
  const colon = beforeDigest.lastIndexOf(':')
  const hasTag = colon > beforeDigest.lastIndexOf('/')
  const tag = hasTag ? beforeDigest.slice(colon + 1) : undefined
  if (tag !== undefined && !TAG.test(tag)) bad(`"${tag.slice(0, 140)}" is not a tag`)
  const name = hasTag ? beforeDigest.slice(0, colon) : beforeDigest
  const slash = name.indexOf('/')
  const first = slash < 0 ? '' : name.slice(0, slash)
  let domain = 'docker.io'
  let path = name
  if (slash >= 0 && looksLikeDomain(first)) {
    domain = first === 'index.docker.io' ? 'docker.io' : first
    path = name.slice(slash + 1)
  }
  if (domain === 'docker.io' && !path.includes('/')) path = `library/${path}`
  if (!DOMAIN.test(domain)) bad(`"${domain}" is not a registry host`)
  if (path.toLowerCase() !== path) bad('a repository must be in lower case')
  if (!PATH.test(path)) bad(`"${path}" is not a repository`)
  if (domain.length + path.length > 255) bad('it is longer than 255 characters')
  return {
    domain,
    path,
    ...(tag !== undefined ? { tag } : digest === undefined ? { tag: 'latest' } : {}),
    ...(digest !== undefined ? { digest: digest as Digest } : {}),
  }
}

/** `docker.io/library/nginx` */
export const repositoryOf = ({ domain, path }: Reference): string => `${domain}/${path}`

/** The whole name: `docker.io/library/nginx:latest`, `…@sha256:…`, or both. */
export const formatReference = (reference: Reference): string =>
  `${repositoryOf(reference)}${reference.tag === undefined ? '' : `:${reference.tag}`}${reference.digest === undefined ? '' : `@${reference.digest}`}`

/** The name under which the store keeps it: by digest if there is one, else by tag. */
export const storedName = (reference: Reference): string =>
  reference.digest === undefined ? formatReference(reference) : `${repositoryOf(reference)}@${reference.digest}`

/** As people write it: `nginx:latest` for `docker.io/library/nginx:latest`. */
export const familiarName = (name: string): string => name.replace(/^docker\.io\/(library\/(?=[^/]*$))?/, '')
