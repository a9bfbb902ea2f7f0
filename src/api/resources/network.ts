// Services and what carries them, ingresses, network policies.
import { ageOf, column } from '../columns.js'
import { defineResource } from '../define-resource.js'
import { EndpointSlice, Endpoints, Ingress, IngressClass, IPAddress, NetworkPolicy, Service, ServiceCIDR } from '../generated/kinds.js'
import { dns1035LabelErrors } from '../names.js'
import { formatLabelSelector } from '../selector/labels.js'
import { endpointSliceErrors, endpointSliceUpdateErrors, endpointsErrors } from '../validation/endpoints.js'
import {
  ingressClassErrors,
  ingressClassUpdateErrors,
  ingressCreateErrors,
  ingressErrors,
  ipAddressErrors,
  ipAddressUpdateErrors,
  networkPolicyErrors,
  serviceCidrErrors,
  serviceCidrUpdateErrors,
} from '../validation/networking.js'
import { prepareServiceUpdate, serviceErrors, serviceUpdateErrors } from '../validation/service.js'

/** Long lists of addresses are cut: the wide table shows them whole in Kubernetes, the narrow one sixteen characters. */
function externalAddresses(service: Service): string {
  const { spec, status } = service
  const external = spec?.externalIPs ?? []
  switch (spec?.type) {
    case 'LoadBalancer': {
      const ingress = (status?.loadBalancer?.ingress ?? []).map((i) => i.ip || i.hostname || '').filter(Boolean)
      const all = [...ingress, ...external]
      return all.length > 0 ? all.join(',') : '<pending>'
    }
    case 'ExternalName':
      return spec.externalName ?? ''
    case 'ClusterIP':
    case 'NodePort':
      return external.length > 0 ? external.join(',') : '<none>'
    default:
      return '<unknown>'
  }
}

const servicePorts = (service: Service): string =>
  (service.spec?.ports ?? [])
    .map((port) => `${port.port}${port.nodePort ? `:${port.nodePort}` : ''}/${port.protocol ?? 'TCP'}`)
    .join(',') || '<none>'

export const serviceResource = defineResource<Service>({
  of: Service,
  shortNames: ['svc'],
  categories: ['all'],
  storagePrefix: 'services/specs',
  name: dns1035LabelErrors,
  columns: [
    column('Type', ({ spec }) => spec?.type ?? '', {
      description: 'How the service is reached: inside, through nodes, through a balancer, by a name.',
    }),
    column('Cluster-IP', ({ spec }) => spec?.clusterIPs?.[0] || spec?.clusterIP || '<none>', {
      description: 'The address inside the cluster.',
    }),
    column('External-IP', externalAddresses, { description: 'Addresses outside the cluster.' }),
    column('Port(s)', servicePorts, { description: 'Port, node port if there is one, protocol.' }),
    ageOf(),
    column(
      'Selector',
      ({ spec }) => (Object.keys(spec?.selector ?? {}).length > 0 ? formatLabelSelector({ matchLabels: spec?.selector }) : '<none>'),
      {
        wide: true,
      },
    ),
  ],
  selectableFields: { 'spec.clusterIP': ({ spec }) => spec?.clusterIP, 'spec.type': ({ spec }) => spec?.type },
  prepareForUpdate: prepareServiceUpdate,
  validate: serviceErrors,
  validateUpdate: serviceUpdateErrors,
})

const MOST_ENDPOINTS = 3

function endpointsText(endpoints: Endpoints): string {
  const found: string[] = []
  let count = 0
  for (const subset of endpoints.subsets ?? []) {
    const ports = subset.ports ?? []
    const addresses = subset.addresses ?? []
    if (ports.length === 0) {
      for (const { ip } of addresses) if (++count <= MOST_ENDPOINTS) found.push(ip)
      continue
    }
    for (const port of ports)
      for (const { ip } of addresses)
        if (++count <= MOST_ENDPOINTS) found.push(ip.includes(':') ? `[${ip}]:${port.port}` : `${ip}:${port.port}`)
  }
  if (count === 0) return '<none>'
  return count > MOST_ENDPOINTS ? `${found.join(',')} + ${count - MOST_ENDPOINTS} more...` : found.join(',')
}

export const endpointsResource = defineResource<Endpoints>({
  of: Endpoints,
  singular: 'endpoints',
  shortNames: ['ep'],
  storagePrefix: 'services/endpoints',
  allowCreateOnUpdate: true,
  deprecation: 'v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice',
  columns: [column('Endpoints', endpointsText), ageOf()],
  validate: endpointsErrors,
})

const firstOf = (items: readonly string[]): string => {
  if (items.length === 0) return '<unset>'
  return items.length > MOST_ENDPOINTS
    ? `${items.slice(0, MOST_ENDPOINTS).join(',')} + ${items.length - MOST_ENDPOINTS} more...`
    : items.join(',')
}

export const endpointSliceResource = defineResource<EndpointSlice>({
  of: EndpointSlice,
  generation: 'all',
  columns: [
    column('AddressType', ({ addressType }) => addressType ?? ''),
    column('Ports', ({ ports }) => firstOf((ports ?? []).map((port) => (port.port === undefined ? '*' : String(port.port))))),
    column('Endpoints', ({ endpoints }) => firstOf((endpoints ?? []).flatMap((endpoint) => endpoint.addresses ?? []))),
    ageOf(),
  ],
  validate: endpointSliceErrors,
  validateUpdate: endpointSliceUpdateErrors,
})

export const ingressResource = defineResource<Ingress>({
  of: Ingress,
  shortNames: ['ing'],
  storagePrefix: 'ingress',
  generation: 'spec',
  columns: [
    column('Class', ({ metadata, spec }) => spec?.ingressClassName ?? metadata.annotations?.['kubernetes.io/ingress.class'] ?? '<none>'),
    column('Hosts', ({ spec }) => {
      const hosts = (spec?.rules ?? []).map((rule) => rule.host ?? '').filter(Boolean)
      if (hosts.length === 0) return '*'
      return hosts.length > 3 ? `${hosts.slice(0, 3).join(',')} + ${hosts.length - 3} more...` : hosts.join(',')
    }),
    column('Address', ({ status }) =>
      (status?.loadBalancer?.ingress ?? [])
        .map((i) => i.ip || i.hostname || '')
        .filter(Boolean)
        .join(','),
    ),
    column('Ports', ({ spec }) => (spec?.tls?.length ? '80, 443' : '80')),
    ageOf(),
  ],
  validate: ingressErrors,
  validateCreate: ingressCreateErrors,
})

export const ingressClassResource = defineResource<IngressClass>({
  of: IngressClass,
  generation: 'spec',
  columns: [
    column('Controller', ({ spec }) => spec?.controller ?? ''),
    column('Parameters', ({ spec }) => {
      const parameters = spec?.parameters
      if (!parameters) return '<none>'
      return `${parameters.kind}${parameters.apiGroup ? `.${parameters.apiGroup}` : ''}/${parameters.name}`
    }),
    ageOf(),
  ],
  validate: ingressClassErrors,
  validateUpdate: ingressClassUpdateErrors,
})

export const networkPolicyResource = defineResource<NetworkPolicy>({
  of: NetworkPolicy,
  shortNames: ['netpol'],
  generation: 'spec',
  columns: [column('Pod-Selector', ({ spec }) => formatLabelSelector(spec?.podSelector) || '<none>'), ageOf()],
  validate: networkPolicyErrors,
})

export const ipAddressResource = defineResource<IPAddress>({
  of: IPAddress,
  shortNames: ['ip'],
  columns: [
    column('ParentRef', ({ spec }) => {
      const parent = spec?.parentRef
      if (!parent) return '<none>'
      return [parent.group ? `${parent.resource}.${parent.group}` : parent.resource, parent.namespace, parent.name]
        .filter(Boolean)
        .join('/')
    }),
  ],
  selectableFields: { 'spec.parentRef.name': ({ spec }) => spec?.parentRef?.name },
  validate: ipAddressErrors,
  validateUpdate: ipAddressUpdateErrors,
})

export const serviceCidrResource = defineResource<ServiceCIDR>({
  of: ServiceCIDR,
  columns: [column('CIDRs', ({ spec }) => (spec?.cidrs ?? []).join(',')), ageOf()],
  validate: serviceCidrErrors,
  validateUpdate: serviceCidrUpdateErrors,
})
