// Keys and certificates: making, signing, looking at (RFC 5280). Cryptography is node:crypto's.
import { createHash, createPrivateKey, createPublicKey, generateKeyPair, type KeyObject, sign, X509Certificate } from 'node:crypto'
import { promisify } from 'node:util'
import type { Clock, Random } from '../lib/index.js'
import { bitString, boolean, context, integer, octetString, oid, readElement, sequence, time, tlv, toPem } from './der.js'
import { type AltNames, encodeAltNames, encodeSubject, hasAltNames, type Subject } from './names.js'
import { EXTENDED_USAGES, KEY_USAGES, type KeyUsage, OID } from './oids.js'

/** A certificate and its private key, PEM. */
export interface KeyPair {
  readonly cert: string
  readonly key: string
}

export interface CertificateRequest {
  readonly subject: Subject
  readonly altNames?: AltNames
  readonly usages: readonly KeyUsage[]
  readonly publicKey: KeyObject
  readonly notBefore: number
  readonly notAfter: number
  readonly isCa?: boolean
}

/** A fresh P-256 key. */
export async function generateKey(): Promise<{ readonly privateKey: KeyObject; readonly publicKey: KeyObject; readonly pem: string }> {
  const { privateKey, publicKey } = await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' })
  return { privateKey, publicKey, pem: privateKey.export({ type: 'sec1', format: 'pem' }).toString() }
}

const extension = (id: string, critical: boolean, value: Uint8Array): Buffer =>
  critical ? sequence(oid(id), boolean(true), octetString(value)) : sequence(oid(id), octetString(value))

const keyId = (publicKey: KeyObject): Buffer =>
  createHash('sha1')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest()

/** The keyUsage and extendedKeyUsage extensions for these usages. */
export function usageExtensions(usages: readonly KeyUsage[]): Buffer[] {
  const found: Buffer[] = []
  const bits = usages.filter((usage) => Object.hasOwn(KEY_USAGES, usage)).map((usage) => KEY_USAGES[usage as keyof typeof KEY_USAGES])
  if (bits.length > 0) {
    const byte = bits.reduce<number>((all, bit) => all | (0x80 >> bit), 0)
    found.push(extension(OID.keyUsage, true, bitString(Buffer.from([byte]), 7 - Math.max(...bits))))
  }
  const extended = usages
    .filter((usage) => Object.hasOwn(EXTENDED_USAGES, usage))
    .map((usage) => EXTENDED_USAGES[usage as keyof typeof EXTENDED_USAGES])
  if (extended.length > 0) found.push(extension(OID.extendedKeyUsage, false, sequence(...extended.map((id) => oid(id)))))
  return found
}

export const altNamesExtension = (names: AltNames): Buffer[] =>
  hasAltNames(names) ? [extension(OID.subjectAltName, false, encodeAltNames(names))] : []

/** Which signature a key makes, as an AlgorithmIdentifier and for node:crypto. */
export function signatureOf(key: KeyObject): { readonly identifier: Buffer; readonly hash: 'sha256' | null } {
  if (key.asymmetricKeyType === 'ec') return { identifier: sequence(oid(OID.ecdsaWithSha256)), hash: 'sha256' }
  if (key.asymmetricKeyType === 'rsa') return { identifier: sequence(oid(OID.sha256WithRsa), Buffer.from([5, 0])), hash: 'sha256' }
  if (key.asymmetricKeyType === 'ed25519') return { identifier: sequence(oid(OID.ed25519)), hash: null }
  throw new Error(`cannot sign with a key of type ${key.asymmetricKeyType}`)
}

/** The name of a certificate's subject as it stands in its bytes: issuers must match to the byte. */
function rawSubject(certificate: X509Certificate): Buffer {
  const tbs = readElement(readElement(certificate.raw).content)
  let rest = tbs.content
  const fields: Buffer[] = []
  while (rest.length > 0) {
    const { raw } = readElement(rest)
    fields.push(raw)
    rest = rest.subarray(raw.length)
  }
  // [0] version, serial, signature, issuer, validity, subject
  const subject = fields[5]
  if (!subject) throw new RangeError('certificate without subject')
  return subject
}

/** Signs a certificate with `issuer`, or with `selfKey` when it is to be self-signed. PEM. */
export function signCertificate(
  request: CertificateRequest,
  signer: { readonly issuer: KeyPair } | { readonly selfKey: KeyObject },
  random: Random,
): string {
  const key = 'issuer' in signer ? createPrivateKey(signer.issuer.key) : signer.selfKey
  const issuerCertificate = 'issuer' in signer ? new X509Certificate(signer.issuer.cert) : undefined
  const subject = encodeSubject(request.subject)
  const { identifier, hash } = signatureOf(key)
  const serial = Buffer.from(random.bytes(16))
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40
  const extensions = [
    ...usageExtensions(request.usages),
    extension(OID.basicConstraints, true, request.isCa ? sequence(boolean(true)) : sequence()),
    ...(request.isCa ? [extension(OID.subjectKeyIdentifier, false, octetString(keyId(request.publicKey)))] : []),
    extension(OID.authorityKeyIdentifier, false, sequence(tlv(context(0, false), keyId(createPublicKey(key))))),
    ...altNamesExtension(request.altNames ?? {}),
  ]
  const tbs = sequence(
    tlv(context(0, true), integer(Buffer.from([2]))),
    integer(serial),
    identifier,
    issuerCertificate ? rawSubject(issuerCertificate) : subject,
    sequence(time(request.notBefore), time(request.notAfter)),
    subject,
    request.publicKey.export({ type: 'spki', format: 'der' }),
    tlv(context(3, true), sequence(...extensions)),
  )
  return toPem('CERTIFICATE', sequence(tbs, identifier, bitString(sign(hash, tbs, key))))
}

export interface PkiContext {
  readonly clock: Clock
  readonly random: Random
}

const HOUR = 3_600_000
export const YEAR = 365 * 24 * HOUR

/** Certificates start a little in the past, for machines whose clocks are behind. */
const SKEW = 5 * 60_000

/** A self-signed authority, valid for ten years unless said otherwise. */
export async function createCa(commonName: string, { clock, random }: PkiContext, lifetimeMs = 10 * YEAR): Promise<KeyPair> {
  const { privateKey, publicKey, pem } = await generateKey()
  const now = clock.now()
  const request: CertificateRequest = {
    subject: { commonName },
    usages: ['digital signature', 'key encipherment', 'cert sign'],
    publicKey,
    notBefore: now - SKEW,
    notAfter: now + lifetimeMs,
    isCa: true,
  }
  return { cert: signCertificate(request, { selfKey: privateKey }, random), key: pem }
}

export interface IssueOptions {
  readonly subject: Subject
  readonly altNames?: AltNames
  readonly usages: readonly ('server auth' | 'client auth')[]
  /** Default one year. */
  readonly lifetimeMs?: number
}

/** A fresh key and a certificate for it, signed by `ca`; never valid for longer than the authority. */
export async function issue(ca: KeyPair, options: IssueOptions, { clock, random }: PkiContext): Promise<KeyPair> {
  const { publicKey, pem } = await generateKey()
  const now = clock.now()
  const request: CertificateRequest = {
    subject: options.subject,
    ...(options.altNames ? { altNames: options.altNames } : {}),
    usages: ['digital signature', 'key encipherment', ...options.usages],
    publicKey,
    notBefore: now - SKEW,
    notAfter: Math.min(now + (options.lifetimeMs ?? YEAR), Date.parse(new X509Certificate(ca.cert).validTo)),
  }
  return { cert: signCertificate(request, { issuer: ca }, random), key: pem }
}

/** `sha256:…` over the public key, as kubeadm's `--discovery-token-ca-cert-hash`. */
export function caCertHash(cert: string): string {
  const spki = new X509Certificate(cert).publicKey.export({ type: 'spki', format: 'der' })
  return `sha256:${createHash('sha256').update(spki).digest('hex')}`
}

/** True when less than a third of the certificate's life is left (or it is over). */
export function needsRenewal(cert: string, now: number): boolean {
  const { validFrom, validTo } = new X509Certificate(cert)
  const end = Date.parse(validTo)
  return end - now < (end - Date.parse(validFrom)) / 3
}
