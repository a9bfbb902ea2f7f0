// Bootstrap tokens: what a machine shows when it wants to join (Secrets of type bootstrap.kubernetes.io/token).
import { Secret } from '../api/index.js'
import type { Client } from '../client/index.js'
import { type Clock, isStatus, type Random, randomInt, rfc3339 } from '../lib/index.js'

const TYPE = 'bootstrap.kubernetes.io/token'
const NAMESPACE = 'kube-system'
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789'
const FORMAT = /^([a-z0-9]{6})\.([a-z0-9]{16})$/

export interface Token {
  readonly id: string
  readonly secret: string
}

export interface ListedToken {
  readonly token: string
  readonly expires: string | undefined
  readonly usages: readonly string[]
  readonly description: string
  readonly groups: readonly string[]
}

const letters = (random: Random, count: number): string =>
  Array.from({ length: count }, () => ALPHABET[randomInt(random, ALPHABET.length)]).join('')

export const newToken = (random: Random): Token => ({ id: letters(random, 6), secret: letters(random, 16) })

/** Reads `abcdef.0123456789abcdef`; undefined for anything else. */
export function parseToken(text: string): Token | undefined {
  const [, id, secret] = FORMAT.exec(text) ?? []
  return id && secret ? { id, secret } : undefined
}

export const tokenText = ({ id, secret }: Token): string => `${id}.${secret}`

/** Seconds of `24h`, `90m`, `1h30m`, `0` (never ends); undefined for what is no duration. */
export function parseTtl(text: string): number | undefined {
  if (text === '0') return 0
  const units: Readonly<Record<string, number>> = { h: 3600, m: 60, s: 1 }
  if (!/^(\d+[hms])+$/.test(text)) return undefined
  return [...text.matchAll(/(\d+)([hms])/g)].reduce((sum, [, count, unit]) => sum + Number(count) * (units[unit ?? 's'] ?? 1), 0)
}

const encode = (text: string): string => Buffer.from(text).toString('base64')
const decode = (text: string | undefined): string => Buffer.from(text ?? '', 'base64').toString('utf8')

/** Stores a token. `ttlSeconds` 0: it never ends. */
export async function createToken(
  client: Client,
  token: Token,
  options: { readonly ttlSeconds: number; readonly description: string },
  clock: Clock,
): Promise<void> {
  const data: Record<string, string> = {
    'token-id': token.id,
    'token-secret': token.secret,
    'usage-bootstrap-authentication': 'true',
    'usage-bootstrap-signing': 'true',
    'auth-extra-groups': 'system:bootstrappers:kubeadm:default-node-token',
    ...(options.description === '' ? {} : { description: options.description }),
    ...(options.ttlSeconds === 0 ? {} : { expiration: rfc3339(clock.now() + options.ttlSeconds * 1000) }),
  }
  await client.create(Secret, {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: `bootstrap-token-${token.id}`, namespace: NAMESPACE },
    type: TYPE,
    data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, encode(value)])),
  })
}

export async function listTokens(client: Client): Promise<readonly ListedToken[]> {
  const { items } = await client.list(Secret, { namespace: NAMESPACE, fieldSelector: `type=${TYPE}` })
  return items.map(({ data = {} }) => ({
    token: `${decode(data['token-id'])}.${decode(data['token-secret'])}`,
    expires: data.expiration === undefined ? undefined : decode(data.expiration),
    usages: ['authentication', 'signing'].filter((usage) => decode(data[`usage-bootstrap-${usage}`]) === 'true'),
    description: decode(data.description),
    groups: decode(data['auth-extra-groups'])
      .split(',')
      .filter((name) => name !== ''),
  }))
}

/** False when there is no such token. `which` is the whole token or its id. */
export async function deleteToken(client: Client, which: string): Promise<boolean> {
  const id = parseToken(which)?.id ?? which
  try {
    await client.delete(Secret, { namespace: NAMESPACE, name: `bootstrap-token-${id}` })
    return true
  } catch (error) {
    if (isStatus(error, 'NotFound')) return false
    throw error
  }
}
