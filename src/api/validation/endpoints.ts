// Endpoints and EndpointSlices.
import { duplicate, type FieldError, invalid, notSupported, required, tooMany } from '../field-error.js'
import type { Endpoint, EndpointSlice, Endpoints } from '../generated/kinds.js'
import { isIP, isIPv4, isIPv6 } from '../ip.js'
import { dnsLabelErrors, dnsSubdomainErrors, labelValueErrors, portNumberErrors, qualifiedNameErrors } from '../names.js'
import { labelErrors } from '../selector/labels.js'
import { immutableErrors, oneOfErrors, textErrors } from './common.js'
import { protocols } from './container.js'

const ipRule = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'

/** No address that means something else on every machine. */
export function ordinaryAddressErrors(ip: string, path: string): FieldError[] {
  if (!isIP(ip)) return [invalid(path, ip, ipRule)]
  if (ip === '0.0.0.0' || ip === '::') return [invalid(path, ip, `may not be unspecified (${ip})`)]
  if (/^127\./.test(ip) || ip === '::1') return [invalid(path, ip, 'may not be in the loopback range (127.0.0.0/8, ::1/128)')]
  if (/^169\.254\./.test(ip) || /^fe80:/i.test(ip))
    return [invalid(path, ip, 'may not be in the link-local range (169.254.0.0/16, fe80::/10)')]
  if (/^224\.0\.0\./.test(ip) || /^ff02:/i.test(ip))
    return [invalid(path, ip, 'may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)')]
  return []
}

export function endpointsErrors(endpoints: Endpoints): FieldError[] {
  const errors: FieldError[] = []
  endpoints.subsets?.forEach((subset, index) => {
    const at = `subsets[${index}]`
    if (!subset.addresses?.length && !subset.notReadyAddresses?.length)
      errors.push(required(at, 'must specify `addresses` or `notReadyAddresses`'))
    for (const list of ['addresses', 'notReadyAddresses'] as const)
      subset[list]?.forEach((address, i) => {
        errors.push(...ordinaryAddressErrors(address.ip ?? '', `${at}.${list}[${i}].ip`))
        if (address.hostname) errors.push(...textErrors(address.hostname, dnsLabelErrors, `${at}.${list}[${i}].hostname`))
        if (address.nodeName) errors.push(...textErrors(address.nodeName, dnsSubdomainErrors, `${at}.${list}[${i}].nodeName`))
      })
    subset.ports?.forEach((port, i) => {
      const on = `${at}.ports[${i}]`
      if (!port.name && (subset.ports?.length ?? 0) > 1) errors.push(required(`${on}.name`))
      else if (port.name) errors.push(...textErrors(port.name, dnsLabelErrors, `${on}.name`))
      for (const detail of portNumberErrors(port.port ?? 0)) errors.push(invalid(`${on}.port`, port.port ?? 0, detail))
      errors.push(...oneOfErrors(port.protocol, protocols, `${on}.protocol`))
    })
  })
  return errors
}

const types = ['IPv4', 'IPv6', 'FQDN']

function sliceEndpointErrors(slice: EndpointSlice): FieldError[] {
  const errors: FieldError[] = []
  if ((slice.endpoints?.length ?? 0) > 1000) errors.push(tooMany('endpoints', slice.endpoints?.length ?? 0, 1000))
  slice.endpoints?.forEach((endpoint, index) => {
    const at = `endpoints[${index}]`
    if (!endpoint.addresses?.length) errors.push(required(`${at}.addresses`, 'must contain at least 1 address'))
    if ((endpoint.addresses?.length ?? 0) > 100) errors.push(tooMany(`${at}.addresses`, endpoint.addresses.length, 100))
    endpoint.addresses?.forEach((address, i) => {
      const on = `${at}.addresses[${i}]`
      if (slice.addressType === 'FQDN') errors.push(...textErrors(address, dnsSubdomainErrors, on))
      else if (slice.addressType === 'IPv4' && !isIPv4(address)) errors.push(invalid(on, address, 'must be an IPv4 address'))
      else if (slice.addressType === 'IPv6' && !isIPv6(address)) errors.push(invalid(on, address, 'must be an IPv6 address'))
      else errors.push(...ordinaryAddressErrors(address, on))
    })
    if (endpoint.hostname) errors.push(...textErrors(endpoint.hostname, dnsLabelErrors, `${at}.hostname`))
    if (endpoint.nodeName) errors.push(...textErrors(endpoint.nodeName, dnsSubdomainErrors, `${at}.nodeName`))
    errors.push(...labelErrors(endpoint.deprecatedTopology, `${at}.deprecatedTopology`))
    errors.push(...hintErrors(endpoint.hints, `${at}.hints`))
  })
  return errors
}

const MOST_HINTS = 8

function hintErrors(hints: Endpoint['hints'], path: string): FieldError[] {
  const errors: FieldError[] = []
  const check = (names: readonly string[], field: string, rule: (value: string) => readonly string[]): void => {
    if (names.length > MOST_HINTS) errors.push(tooMany(`${path}.${field}`, names.length, MOST_HINTS))
    names.forEach((name, index) => {
      const at = `${path}.${field}[${index}].name`
      if (names.indexOf(name) < index) errors.push(duplicate(at, name))
      errors.push(...textErrors(name, rule, at))
    })
  }
  check(
    (hints?.forZones ?? []).map(({ name }) => name),
    'forZones',
    labelValueErrors,
  )
  check(
    (hints?.forNodes ?? []).map(({ name }) => name),
    'forNodes',
    dnsSubdomainErrors,
  )
  return errors
}

export function endpointSliceErrors(slice: EndpointSlice): FieldError[] {
  const errors: FieldError[] = []
  if (!slice.addressType) errors.push(required('addressType'))
  else if (!types.includes(slice.addressType)) errors.push(notSupported('addressType', slice.addressType, types))
  errors.push(...sliceEndpointErrors(slice))
  if ((slice.ports?.length ?? 0) > 20_000) errors.push(tooMany('ports', slice.ports?.length ?? 0, 20_000))
  const names = new Set<string>()
  slice.ports?.forEach((port, index) => {
    const at = `ports[${index}]`
    const name = port.name ?? ''
    if (name) errors.push(...textErrors(name, dnsLabelErrors, `${at}.name`))
    if (names.has(name)) errors.push(duplicate(`${at}.name`, name))
    names.add(name)
    errors.push(...oneOfErrors(port.protocol, protocols, `${at}.protocol`))
    if (port.port !== undefined) for (const detail of portNumberErrors(port.port)) errors.push(invalid(`${at}.port`, port.port, detail))
    if (port.appProtocol) errors.push(...textErrors(port.appProtocol, qualifiedNameErrors, `${at}.appProtocol`))
  })
  return errors
}

export const endpointSliceUpdateErrors = (next: EndpointSlice, previous: EndpointSlice): FieldError[] =>
  immutableErrors(next.addressType, previous.addressType, 'addressType')
