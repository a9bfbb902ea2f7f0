// A key for a pod's certificate, with an empty request that proves it is here.
import { generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import { createCsr } from './csr.js'
import { fromPem } from './der.js'

interface Keys {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

const ec = promisify(generateKeyPair) as (type: 'ec', options: { namedCurve: string }) => Promise<Keys>
const rsa = promisify(generateKeyPair) as (type: 'rsa', options: { modulusLength: number }) => Promise<Keys>
const ed25519 = promisify(generateKeyPair) as (type: 'ed25519', options: undefined) => Promise<Keys>

const kinds: Readonly<Record<string, () => Promise<Keys>>> = {
  RSA3072: () => rsa('rsa', { modulusLength: 3072 }),
  RSA4096: () => rsa('rsa', { modulusLength: 4096 }),
  ECDSAP256: () => ec('ec', { namedCurve: 'P-256' }),
  ECDSAP384: () => ec('ec', { namedCurve: 'P-384' }),
  ECDSAP521: () => ec('ec', { namedCurve: 'P-521' }),
  ED25519: () => ed25519('ed25519', undefined),
}

export interface PodKey {
  /** PKCS#8, PEM. */
  readonly privateKey: string
  /** PKCS#10, DER. */
  readonly request: Uint8Array
}

/** Throws for a type of key that Kubernetes does not name. */
export async function podKey(keyType: string): Promise<PodKey> {
  const make = Object.hasOwn(kinds, keyType) ? kinds[keyType] : undefined
  if (!make) throw new Error(`unknown key type ${JSON.stringify(keyType)}`)
  const keys = await make()
  const [request] = fromPem('CERTIFICATE REQUEST', createCsr({ commonName: '' }, keys))
  if (!request) throw new Error('certificate request without content')
  return { privateKey: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), request }
}
