// Certificate signing requests (PKCS #10, RFC 2986).
import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { altNamesExtension, signatureOf } from './certificate.js'
import { bitString, children, context, fromPem, integer, oid, oidText, readElement, sequence, set, TAG, tlv, toPem } from './der.js'
import { type AltNames, decodeAltNames, decodeSubject, encodeSubject, type Subject } from './names.js'
import { OID } from './oids.js'

export interface ParsedCsr {
  readonly subject: Required<Subject>
  readonly altNames: Required<AltNames>
  readonly publicKey: KeyObject
}

/** A request for `subject`, signed with its key. PEM. */
export function createCsr(
  subject: Subject,
  key: { readonly privateKey: KeyObject; readonly publicKey: KeyObject },
  altNames: AltNames = {},
): string {
  const extensions = altNamesExtension(altNames)
  const attributes = extensions.length > 0 ? [sequence(oid(OID.extensionRequest), set(sequence(...extensions)))] : []
  const info = sequence(
    integer(Buffer.from([0])),
    encodeSubject(subject),
    key.publicKey.export({ type: 'spki', format: 'der' }),
    tlv(context(0, true), ...attributes),
  )
  const { identifier, hash } = signatureOf(key.privateKey)
  return toPem('CERTIFICATE REQUEST', sequence(info, identifier, bitString(sign(hash, info, key.privateKey))))
}

const hashes: Readonly<Record<string, string | null>> = {
  [OID.ecdsaWithSha256]: 'sha256',
  [OID.ecdsaWithSha384]: 'sha384',
  [OID.ecdsaWithSha512]: 'sha512',
  [OID.sha256WithRsa]: 'sha256',
  [OID.sha384WithRsa]: 'sha384',
  [OID.sha512WithRsa]: 'sha512',
  [OID.ed25519]: null,
}

/** Reads a request and checks that its sender owns the key. Throws Error saying what is wrong. */
export function parseCsr(pem: string): ParsedCsr {
  const [der] = fromPem('(?:NEW )?CERTIFICATE REQUEST', pem)
  if (!der) throw new Error('PEM block type must be CERTIFICATE REQUEST')
  try {
    const [info, algorithm, signature] = children(readElement(der))
    if (!info || !algorithm || !signature) throw new RangeError('not a certificate request')
    const [, name, spki, attributes] = children(info)
    const [algorithmId] = children(algorithm)
    if (!name || !spki || !algorithmId) throw new RangeError('not a certificate request')
    const publicKey = createPublicKey({ key: spki.raw, format: 'der', type: 'spki' })
    const hash = hashes[oidText(algorithmId)]
    if (hash === undefined) throw new Error(`unknown signature algorithm ${oidText(algorithmId)}`)
    if (!verify(hash, info.raw, publicKey, signature.content.subarray(1))) throw new Error('signature does not match the key')

    let altNames: Required<AltNames> = { dns: [], ips: [], uris: [], emails: [] }
    for (const attribute of attributes ? children(attributes) : []) {
      const [type, values] = children(attribute)
      if (!type || !values || oidText(type) !== OID.extensionRequest) continue
      for (const extension of children(values).flatMap(children)) {
        const parts = children(extension)
        const [id] = parts
        const value = parts.at(-1)
        if (id && value?.tag === TAG.octetString && oidText(id) === OID.subjectAltName) altNames = decodeAltNames(value.content)
      }
    }
    return { subject: decodeSubject(name), altNames, publicKey }
  } catch (error) {
    throw new Error('certificate request cannot be read', { cause: error })
  }
}
