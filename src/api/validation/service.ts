// Services.
import { duplicate, type FieldError, forbidden, invalid, notSupported, required } from '../field-error.js'
import type { Service, ServicePort } from '../generated/kinds.js'
import { isCidr, isIP, isIPv4 } from '../ip.js'
import { isObject, type JsonObject } from '../json/value.js'
import { dnsLabelErrors, dnsSubdomainErrors, portNameErrors, portNumberErrors, qualifiedNameErrors } from '../names.js'
import { labelErrors } from '../selector/labels.js'
import { immutableErrors, oneOfErrors, textErrors } from './common.js'
import { protocols } from './container.js'
import { ordinaryAddressErrors } from './endpoints.js'

const ipRule = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'

function portErrors(port: ServicePort, at: string, named: boolean): FieldError[] {
  const errors: FieldError[] = []
  if (!port.name) {
    if (named) errors.push(required(`${at}.name`))
  } else errors.push(...textErrors(port.name, dnsLabelErrors, `${at}.name`))
  for (const detail of portNumberErrors(port.port ?? 0)) errors.push(invalid(`${at}.port`, port.port ?? 0, detail))
  errors.push(...oneOfErrors(port.protocol, protocols, `${at}.protocol`))
  if (typeof port.targetPort === 'string') errors.push(...textErrors(port.targetPort, portNameErrors, `${at}.targetPort`))
  else for (const detail of portNumberErrors(port.targetPort ?? 0)) errors.push(invalid(`${at}.targetPort`, port.targetPort ?? 0, detail))
  if (port.appProtocol) errors.push(...textErrors(port.appProtocol, qualifiedNameErrors, `${at}.appProtocol`))
  return errors
}

function portsErrors(service: Service): FieldError[] {
  const { spec } = service
  const ports = spec?.ports ?? []
  const errors: FieldError[] = []
  if (ports.length === 0 && spec?.clusterIP !== 'None' && spec?.type !== 'ExternalName') errors.push(required('spec.ports'))
  const names = new Set<string>()
  const numbers = new Set<string>()
  const nodePorts = new Set<string>()
  ports.forEach((port, index) => {
    const at = `spec.ports[${index}]`
    errors.push(...portErrors(port, at, ports.length > 1))
    if (port.name && names.has(port.name)) errors.push(duplicate(`${at}.name`, port.name))
    if (port.name) names.add(port.name)
    const number = `${port.protocol}/${port.port}`
    if (numbers.has(number))
      errors.push(duplicate(at, { name: port.name, protocol: port.protocol, port: port.port, targetPort: port.targetPort }))
    numbers.add(number)
    if (!port.nodePort) return
    if (spec?.type === 'ClusterIP') errors.push(forbidden(`${at}.nodePort`, "may not be used when `type` is 'ClusterIP'"))
    const node = `${port.protocol}/${port.nodePort}`
    if (nodePorts.has(node)) errors.push(duplicate(`${at}.nodePort`, port.nodePort))
    nodePorts.add(node)
  })
  return errors
}

function addressErrors(service: Service): FieldError[] {
  const { spec } = service
  const errors: FieldError[] = []
  const ips = spec?.clusterIPs ?? []
  if (spec?.type === 'ExternalName') {
    if (spec.clusterIP) errors.push(forbidden('spec.clusterIPs', 'may not be set for ExternalName services'))
    return errors
  }
  if (spec?.clusterIP && ips.length > 0 && ips[0] !== spec.clusterIP)
    errors.push(invalid('spec.clusterIPs', ips, 'first value must match `clusterIP`'))
  if (!spec?.clusterIP && ips.length > 0) errors.push(invalid('spec.clusterIPs', ips, 'must be empty when `clusterIP` is not specified'))
  const all = ips.length > 0 ? ips : spec?.clusterIP ? [spec.clusterIP] : []
  all.forEach((ip, index) => {
    if (ip === 'None') {
      if (all.length > 1) errors.push(invalid('spec.clusterIPs', ips, "'None' must be the first and only value"))
      if (spec?.type !== 'ClusterIP')
        errors.push(invalid(`spec.clusterIPs[${index}]`, ip, `may not be set to 'None' for ${spec?.type} services`))
    } else if (!isIP(ip)) errors.push(invalid(`spec.clusterIPs[${index}]`, ip, ipRule))
  })
  if (all.length === 2 && all.every(isIP) && isIPv4(all[0] ?? '') === isIPv4(all[1] ?? ''))
    errors.push(invalid('spec.clusterIPs', ips, 'may specify no more than one IP for each IP family'))
  if (all.length > 2) errors.push(invalid('spec.clusterIPs', ips, 'may only hold up to 2 values'))
  spec?.externalIPs?.forEach((ip, index) => {
    errors.push(...ordinaryAddressErrors(ip, `spec.externalIPs[${index}]`))
  })
  return errors
}

export function serviceErrors(service: Service): FieldError[] {
  const { spec } = service
  if (!spec) return [required('spec')]
  const errors: FieldError[] = []
  if (!['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'].includes(spec.type ?? ''))
    errors.push(
      spec.type ? notSupported('spec.type', spec.type, ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort']) : required('spec.type'),
    )
  errors.push(...portsErrors(service))
  if (spec.type === 'ExternalName') {
    if (!spec.externalName) errors.push(required('spec.externalName'))
    else errors.push(...textErrors(spec.externalName.replace(/\.$/, ''), dnsSubdomainErrors, 'spec.externalName'))
  }
  errors.push(...addressErrors(service))
  errors.push(...labelErrors(spec.selector, 'spec.selector'))
  errors.push(...oneOfErrors(spec.sessionAffinity, ['ClientIP', 'None'], 'spec.sessionAffinity'))
  const timeout = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds
  if (spec.sessionAffinity === 'ClientIP' && timeout !== undefined && (timeout <= 0 || timeout > 86400))
    errors.push(invalid('spec.sessionAffinityConfig.clientIP.timeoutSeconds', timeout, 'must be greater than 0 and less than 86400'))
  if (spec.sessionAffinity === 'None' && spec.sessionAffinityConfig)
    errors.push(forbidden('spec.sessionAffinityConfig', `must not be set when session affinity is None`))
  const outside = spec.type === 'NodePort' || spec.type === 'LoadBalancer' || (spec.externalIPs?.length ?? 0) > 0
  if (spec.externalTrafficPolicy) {
    if (!outside)
      errors.push(invalid('spec.externalTrafficPolicy', spec.externalTrafficPolicy, 'may only be set for externally-accessible services'))
    else errors.push(...oneOfErrors(spec.externalTrafficPolicy, ['Cluster', 'Local'], 'spec.externalTrafficPolicy'))
  }
  if (spec.internalTrafficPolicy)
    errors.push(...oneOfErrors(spec.internalTrafficPolicy, ['Cluster', 'Local'], 'spec.internalTrafficPolicy'))
  if (spec.trafficDistribution)
    errors.push(...oneOfErrors(spec.trafficDistribution, ['PreferClose', 'PreferSameZone', 'PreferSameNode'], 'spec.trafficDistribution'))
  spec.loadBalancerSourceRanges?.forEach((range, index) => {
    if (!isCidr(range.trim()))
      errors.push(
        invalid(`spec.loadBalancerSourceRanges[${index}]`, range, 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'),
      )
  })
  if (spec.loadBalancerSourceRanges?.length && spec.type !== 'LoadBalancer')
    errors.push(forbidden('spec.LoadBalancerSourceRanges', "may only be used when `type` is 'LoadBalancer'"))
  if (spec.loadBalancerClass && spec.type !== 'LoadBalancer')
    errors.push(forbidden('spec.loadBalancerClass', "may only be used when `type` is 'LoadBalancer'"))
  if (spec.allocateLoadBalancerNodePorts !== undefined && spec.type !== 'LoadBalancer')
    errors.push(forbidden('spec.allocateLoadBalancerNodePorts', "may only be used when `type` is 'LoadBalancer'"))
  if (spec.healthCheckNodePort && !(spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local'))
    errors.push(
      invalid(
        'spec.healthCheckNodePort',
        spec.healthCheckNodePort,
        "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
      ),
    )
  const families = spec.ipFamilies ?? []
  families.forEach((family, index) => {
    if (family !== 'IPv4' && family !== 'IPv6') errors.push(notSupported(`spec.ipFamilies[${index}]`, family, ['IPv4', 'IPv6']))
  })
  if (new Set(families).size !== families.length) errors.push(duplicate('spec.ipFamilies[1]', families[1]))
  if (spec.ipFamilyPolicy)
    errors.push(...oneOfErrors(spec.ipFamilyPolicy, ['SingleStack', 'PreferDualStack', 'RequireDualStack'], 'spec.ipFamilyPolicy'))
  return errors
}

/** Fields that one type has and the next has not are cleared; what was allocated is kept when the client leaves it out. In place. */
export function prepareServiceUpdate(next: JsonObject, previous: JsonObject, door: string): void {
  const spec = next.spec
  const before = previous.spec
  if (door !== '' || !isObject(spec) || !isObject(before)) return
  const external = (type: unknown): boolean => type === 'ExternalName'
  if (external(spec.type)) {
    if (!external(before.type))
      for (const field of ['clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy', 'internalTrafficPolicy'])
        if (JSON.stringify(spec[field]) === JSON.stringify(before[field])) delete spec[field]
  } else if (!external(before.type)) {
    if (spec.clusterIP === undefined && spec.clusterIPs === undefined)
      for (const field of ['clusterIP', 'clusterIPs']) if (before[field] !== undefined) spec[field] = before[field] ?? null
    if (Array.isArray(spec.clusterIPs) && spec.clusterIP === undefined) spec.clusterIP = spec.clusterIPs[0] ?? ''
    if (spec.clusterIP !== undefined && spec.clusterIPs === undefined) spec.clusterIPs = [spec.clusterIP]
    for (const field of ['ipFamilies', 'ipFamilyPolicy'])
      if (spec[field] === undefined && before[field] !== undefined) spec[field] = before[field] ?? null
  }
  if (spec.type === 'ClusterIP' && before.type !== 'ClusterIP' && Array.isArray(spec.ports) && Array.isArray(before.ports))
    dropNodePorts(spec.ports, before.ports)
  if (spec.type !== 'LoadBalancer' && before.type === 'LoadBalancer') {
    if (spec.allocateLoadBalancerNodePorts === before.allocateLoadBalancerNodePorts) delete spec.allocateLoadBalancerNodePorts
    if (spec.loadBalancerClass === before.loadBalancerClass) delete spec.loadBalancerClass
    next.status = { loadBalancer: {} }
  }
  if (spec.type === 'ClusterIP' && before.type !== 'ClusterIP' && spec.externalTrafficPolicy === before.externalTrafficPolicy)
    delete spec.externalTrafficPolicy
  if (spec.healthCheckNodePort === before.healthCheckNodePort && !(spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local'))
    delete spec.healthCheckNodePort
}

/** Node ports that were carried over from the type before have no meaning any more. */
function dropNodePorts(ports: readonly unknown[], before: readonly unknown[]): void {
  const known = new Set(before.filter(isObject).map((port) => port.nodePort))
  for (const port of ports) if (isObject(port) && known.has(port.nodePort)) delete port.nodePort
}

export function serviceUpdateErrors(next: Service, previous: Service): FieldError[] {
  const a = next.spec
  const b = previous.spec
  const errors: FieldError[] = []
  if (a?.type !== 'ExternalName' && b?.type !== 'ExternalName' && b?.clusterIPs?.[0]) {
    if (a?.clusterIPs?.[0] !== b.clusterIPs[0]) errors.push(invalid('spec.clusterIPs[0]', a?.clusterIPs ?? [], 'may not change once set'))
  }
  if (b?.type === 'LoadBalancer' && a?.type === 'LoadBalancer')
    errors.push(...immutableErrors(a.loadBalancerClass, b.loadBalancerClass, 'spec.loadBalancerClass', 'may not change once set'))
  return errors
}
