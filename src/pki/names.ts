// Subjects and alternative names, as far as Kubernetes uses them.
import { isIPv4, isIPv6 } from 'node:net'
import { children, context, type Element, oid, oidText, readElement, sequence, set, TAG, tlv, utf8String } from './der.js'
import { OID } from './oids.js'

/** Kubernetes reads the common name as the user and the organizations as its groups. */
export interface Subject {
  readonly commonName: string
  readonly organizations?: readonly string[]
}

export interface AltNames {
  readonly dns?: readonly string[]
  readonly ips?: readonly string[]
  readonly uris?: readonly string[]
  readonly emails?: readonly string[]
}

const attribute = (type: string, value: string): Buffer => set(sequence(oid(type), utf8String(value)))

/** Without a name at all when `commonName` is ''. */
export const encodeSubject = ({ commonName, organizations = [] }: Subject): Buffer =>
  sequence(
    ...[...organizations].sort().map((name) => attribute(OID.organization, name)),
    ...(commonName === '' ? [] : [attribute(OID.commonName, commonName)]),
  )

export function decodeSubject(name: Element): Required<Subject> {
  let commonName = ''
  const organizations: string[] = []
  for (const relative of children(name)) {
    for (const pair of children(relative)) {
      const [type, value] = children(pair)
      if (!type || !value) continue
      const text = value.content.toString('utf8')
      if (oidText(type) === OID.commonName) commonName = text
      if (oidText(type) === OID.organization) organizations.push(text)
    }
  }
  return { commonName, organizations }
}

/** Four or sixteen bytes in network order. */
export function ipBytes(ip: string): Buffer {
  if (isIPv4(ip)) return Buffer.from(ip.split('.').map(Number))
  if (!isIPv6(ip)) throw new Error(`not an IP address: ${ip}`)
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(ip)
  const [v4 = []] = dotted ? [[...ipBytes(dotted[2] ?? '')]] : []
  const plain = dotted
    ? `${dotted[1]}${((v4[0] ?? 0) * 256 + (v4[1] ?? 0)).toString(16)}:${((v4[2] ?? 0) * 256 + (v4[3] ?? 0)).toString(16)}`
    : ip
  const [head = '', tail] = plain.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const middle = tail === undefined ? [] : Array.from({ length: 8 - left.length - right.length }, () => '0')
  const bytes = Buffer.alloc(16)
  for (const [i, group] of [...left, ...middle, ...right].entries()) bytes.writeUInt16BE(Number.parseInt(group, 16), i * 2)
  return bytes
}

/** The address as text; IPv6 in full groups without zero compression beyond what the platform prints. */
export const ipText = (bytes: Uint8Array): string =>
  bytes.length === 4
    ? [...bytes].join('.')
    : new URL(
        `http://[${Array.from({ length: 8 }, (_, i) => (((bytes[i * 2] ?? 0) << 8) | (bytes[i * 2 + 1] ?? 0)).toString(16)).join(':')}]`,
      ).hostname.slice(1, -1)

export const encodeAltNames = ({ dns = [], ips = [], uris = [], emails = [] }: AltNames): Buffer =>
  sequence(
    ...emails.map((name) => tlv(context(1, false), Buffer.from(name))),
    ...dns.map((name) => tlv(context(2, false), Buffer.from(name))),
    ...uris.map((name) => tlv(context(6, false), Buffer.from(name))),
    ...ips.map((ip) => tlv(context(7, false), ipBytes(ip))),
  )

export function decodeAltNames(der: Uint8Array): Required<AltNames> {
  const names = { dns: [] as string[], ips: [] as string[], uris: [] as string[], emails: [] as string[] }
  const list = readElement(der)
  if (list.tag !== TAG.sequence) throw new RangeError('subjectAltName is no sequence')
  for (const { tag, content } of children(list)) {
    if (tag === context(1, false)) names.emails.push(content.toString())
    if (tag === context(2, false)) names.dns.push(content.toString())
    if (tag === context(6, false)) names.uris.push(content.toString())
    if (tag === context(7, false)) names.ips.push(ipText(content))
  }
  return names
}

export const hasAltNames = (names: AltNames): boolean => Object.values(names).some((list) => list.length > 0)
