// Ingresses, network policies, addresses and ranges of services.
import { type FieldError, forbidden, invalid, notSupported, required } from '../field-error.js'
import type {
  Ingress,
  IngressBackend,
  IngressClass,
  IPAddress,
  IPBlock,
  NetworkPolicy,
  NetworkPolicyPeer,
  NetworkPolicyPort,
  ServiceCIDR,
} from '../generated/kinds.js'
import { hasHostBits, inCidr, isCidr, isIP, isIPv4 } from '../ip.js'
import {
  dns1035LabelErrors,
  dnsSubdomainErrors,
  pathSegmentErrors,
  portNameErrors,
  portNumberErrors,
  wildcardSubdomainErrors,
} from '../names.js'
import { labelSelectorErrors } from '../selector/labels.js'
import { domainPathErrors, immutableErrors, oneOfErrors, requiredText, textErrors } from './common.js'

function backendErrors(backend: IngressBackend, path: string): FieldError[] {
  const errors: FieldError[] = []
  const { service, resource } = backend
  if (service && resource) return [invalid(path, '', 'cannot set both resource and service backends')]
  if (!service && !resource) return [required(path, 'backend must have a service or resource')]
  if (service) {
    errors.push(...requiredText(service.name, dns1035LabelErrors, `${path}.service.name`))
    const { name, number } = service.port ?? {}
    if (name && number) errors.push(invalid(path, '', 'cannot set both port name & port number'))
    else if (name) errors.push(...textErrors(name, portNameErrors, `${path}.service.port.name`))
    else if (number) for (const detail of portNumberErrors(number)) errors.push(invalid(`${path}.service.port.number`, number, detail))
    else errors.push(required(`${path}`, 'port name or number is required'))
  }
  if (resource) {
    if (!resource.kind) errors.push(required(`${path}.resource.kind`))
    if (!resource.name) errors.push(required(`${path}.resource.name`))
  }
  return errors
}

const hostErrors = (host: string, path: string): FieldError[] => {
  if (isIP(host)) return [invalid(path, host, 'must be a DNS name, not an IP address')]
  return textErrors(host, host.includes('*') ? wildcardSubdomainErrors : dnsSubdomainErrors, path)
}

const badSequences = ['//', '/./', '/../', '%2f', '%2F']
const badSuffixes = ['/..', '/.']

export function ingressErrors({ spec }: Ingress): FieldError[] {
  const errors: FieldError[] = []
  if (!spec?.rules?.length && !spec?.defaultBackend)
    errors.push(invalid('spec', spec?.rules ?? [], 'either `defaultBackend` or `rules` must be specified'))
  if (spec?.ingressClassName !== undefined) errors.push(...textErrors(spec.ingressClassName, dnsSubdomainErrors, 'spec.ingressClassName'))
  if (spec?.defaultBackend) errors.push(...backendErrors(spec.defaultBackend, 'spec.defaultBackend'))
  spec?.tls?.forEach((tls, index) => {
    tls.hosts?.forEach((host, i) => {
      errors.push(...hostErrors(host, `spec.tls[${index}].hosts[${i}]`))
    })
    if (tls.secretName) errors.push(...textErrors(tls.secretName, dnsSubdomainErrors, `spec.tls[${index}].secretName`))
  })
  spec?.rules?.forEach((rule, index) => {
    const at = `spec.rules[${index}]`
    if (rule.host) errors.push(...hostErrors(rule.host, `${at}.host`))
    if (rule.http && !rule.http.paths?.length) errors.push(required(`${at}.http.paths`))
    rule.http?.paths?.forEach((path, i) => {
      const on = `${at}.http.paths[${i}]`
      if (!path.pathType) errors.push(required(`${on}.pathType`, 'pathType must be specified'))
      else errors.push(...oneOfErrors(path.pathType, ['Exact', 'ImplementationSpecific', 'Prefix'], `${on}.pathType`))
      if (path.pathType === 'Exact' || path.pathType === 'Prefix') {
        if (!path.path?.startsWith('/')) errors.push(invalid(`${on}.path`, path.path ?? '', 'must be an absolute path'))
        for (const bad of badSequences)
          if (path.path?.includes(bad)) errors.push(invalid(`${on}.path`, path.path, `must not contain '${bad}'`))
        for (const bad of badSuffixes)
          if (path.path?.endsWith(bad)) errors.push(invalid(`${on}.path`, path.path, `cannot end with '${bad}'`))
      } else if (path.path && !path.path.startsWith('/')) errors.push(invalid(`${on}.path`, path.path, 'must be an absolute path'))
      errors.push(...backendErrors(path.backend ?? {}, `${on}.backend`))
    })
  })
  return errors
}

const CLASS_ANNOTATION = 'kubernetes.io/ingress.class'

export function ingressCreateErrors({ metadata, spec }: Ingress): FieldError[] {
  const said = metadata.annotations?.[CLASS_ANNOTATION]
  return said !== undefined && spec?.ingressClassName !== undefined && said !== spec.ingressClassName
    ? [invalid(`annotations.${CLASS_ANNOTATION}`, said, 'must match `ingressClassName` when both are specified')]
    : []
}

export function ingressClassErrors({ spec }: IngressClass): FieldError[] {
  const errors: FieldError[] = []
  const controller = spec?.controller ?? ''
  if (controller.length > 250)
    errors.push({ reason: 'FieldValueTooLong', field: 'spec.controller', message: 'Too long: may not be more than 250 bytes' })
  errors.push(...domainPathErrors(controller, 'spec.controller'))
  const parameters = spec?.parameters
  if (!parameters) return errors
  if (!parameters.kind) errors.push(required('spec.parameters.kind'))
  errors.push(...requiredText(parameters.name, pathSegmentErrors, 'spec.parameters.name'))
  errors.push(...oneOfErrors(parameters.scope, ['Cluster', 'Namespace'], 'spec.parameters.scope'))
  if (parameters.scope === 'Namespace' && !parameters.namespace)
    errors.push(required('spec.parameters.namespace', "`parameters.scope` is set to 'Namespace'"))
  if (parameters.scope === 'Cluster' && parameters.namespace)
    errors.push(forbidden('spec.parameters.namespace', "`parameters.scope` is set to 'Cluster'"))
  return errors
}

export const ingressClassUpdateErrors = (next: IngressClass, previous: IngressClass): FieldError[] =>
  immutableErrors(next.spec?.controller, previous.spec?.controller, 'spec.controller')

function blockErrors(block: IPBlock, path: string): FieldError[] {
  const rule = 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'
  if (!block.cidr) return [required(`${path}.cidr`)]
  if (!isCidr(block.cidr)) return [invalid(`${path}.cidr`, block.cidr, rule)]
  const length = (cidr: string): number => Number(cidr.split('/')[1])
  return (block.except ?? []).flatMap((except, index) => {
    const at = `${path}.except[${index}]`
    if (!isCidr(except)) return [invalid(at, except, rule)]
    const inside = inCidr(block.cidr, except.split('/')[0] ?? '') && length(except) > length(block.cidr)
    return inside ? [] : [invalid(at, except, `must be a strict subset of \`cidr\``)]
  })
}

function peerErrors(peer: NetworkPolicyPeer, path: string): FieldError[] {
  const errors = [
    ...labelSelectorErrors(peer.podSelector, `${path}.podSelector`),
    ...labelSelectorErrors(peer.namespaceSelector, `${path}.namespaceSelector`),
  ]
  if (peer.ipBlock) errors.push(...blockErrors(peer.ipBlock, `${path}.ipBlock`))
  if (!peer.podSelector && !peer.namespaceSelector && !peer.ipBlock) errors.push(required(path, 'must specify a peer'))
  else if (peer.ipBlock && (peer.podSelector || peer.namespaceSelector))
    errors.push(forbidden(path, 'may not specify both ipBlock and another peer'))
  return errors
}

function portErrors(port: NetworkPolicyPort, path: string): FieldError[] {
  const errors: FieldError[] = []
  if (port.protocol && !['TCP', 'UDP', 'SCTP'].includes(port.protocol))
    errors.push(notSupported(`${path}.protocol`, port.protocol, ['SCTP', 'TCP', 'UDP']))
  if (typeof port.port === 'number')
    for (const detail of portNumberErrors(port.port)) errors.push(invalid(`${path}.port`, port.port, detail))
  if (typeof port.port === 'string') errors.push(...textErrors(port.port, portNameErrors, `${path}.port`))
  if (port.endPort !== undefined) {
    if (port.port === undefined) errors.push(required(`${path}.port`, 'must be specified when `endPort` is specified'))
    else if (typeof port.port === 'string')
      errors.push(invalid(`${path}.endPort`, port.endPort, 'may not be specified when `port` is non-numeric'))
    else if (port.endPort < port.port) errors.push(invalid(`${path}.endPort`, port.endPort, 'must be greater than or equal to `port`'))
    for (const detail of portNumberErrors(port.endPort)) errors.push(invalid(`${path}.endPort`, port.endPort, detail))
  }
  return errors
}

export function networkPolicyErrors({ spec }: NetworkPolicy): FieldError[] {
  const errors = labelSelectorErrors(spec?.podSelector, 'spec.podSelector')
  spec?.ingress?.forEach((rule, index) => {
    rule.ports?.forEach((port, i) => {
      errors.push(...portErrors(port, `spec.ingress[${index}].ports[${i}]`))
    })
    rule.from?.forEach((peer, i) => {
      errors.push(...peerErrors(peer, `spec.ingress[${index}].from[${i}]`))
    })
  })
  spec?.egress?.forEach((rule, index) => {
    rule.ports?.forEach((port, i) => {
      errors.push(...portErrors(port, `spec.egress[${index}].ports[${i}]`))
    })
    rule.to?.forEach((peer, i) => {
      errors.push(...peerErrors(peer, `spec.egress[${index}].to[${i}]`))
    })
  })
  if ((spec?.policyTypes?.length ?? 0) > 2)
    errors.push(invalid('spec.policyTypes', spec?.policyTypes, 'may not specify more than two policyTypes'))
  spec?.policyTypes?.forEach((type, index) => {
    if (type !== 'Ingress' && type !== 'Egress') errors.push(notSupported(`spec.policyTypes[${index}]`, type, ['Egress', 'Ingress']))
  })
  return errors
}

export function ipAddressErrors({ metadata, spec }: IPAddress): FieldError[] {
  const errors: FieldError[] = []
  if (metadata.name && !isIP(metadata.name))
    errors.push(invalid('metadata.name', metadata.name, 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'))
  const parent = spec?.parentRef
  if (!parent) return [...errors, required('spec.parentRef')]
  if (!parent.resource) errors.push(required('spec.parentRef.resource'))
  if (!parent.name) errors.push(required('spec.parentRef.name'))
  return errors
}

export const ipAddressUpdateErrors = (next: IPAddress, previous: IPAddress): FieldError[] =>
  immutableErrors(next.spec?.parentRef, previous.spec?.parentRef, 'spec.parentRef')

export function serviceCidrErrors({ spec }: ServiceCIDR): FieldError[] {
  const cidrs = spec?.cidrs ?? []
  if (cidrs.length === 0) return [required('spec.cidrs', 'at least one CIDR required')]
  const errors: FieldError[] = []
  if (cidrs.length > 2) errors.push(invalid('spec.cidrs', spec, 'may only hold up to 2 values'))
  cidrs.forEach((cidr, index) => {
    const at = `spec.cidrs[${index}]`
    if (!isCidr(cidr)) errors.push(invalid(at, cidr, 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'))
    else if (hasHostBits(cidr)) errors.push(invalid(at, cidr, 'must not have bits set beyond the prefix length'))
  })
  if (
    cidrs.length === 2 &&
    cidrs.every(isCidr) &&
    isIPv4((cidrs[0] ?? '').split('/')[0] ?? '') === isIPv4((cidrs[1] ?? '').split('/')[0] ?? '')
  )
    errors.push(invalid('spec.cidrs', spec, 'may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64'))
  return errors
}

export function serviceCidrUpdateErrors(next: ServiceCIDR, previous: ServiceCIDR): FieldError[] {
  const before = previous.spec?.cidrs ?? []
  const after = next.spec?.cidrs ?? []
  // A second family may be added; what is there stays.
  return before.length === 1 && after.length === 2
    ? immutableErrors(after[0], before[0], 'spec.cidrs[0]')
    : immutableErrors(after, before, 'spec.cidrs')
}
