// Nodes and taints.
import { duplicate, type FieldError, forbidden, invalid, required } from '../field-error.js'
import type { Node, Taint } from '../generated/kinds.js'
import { isCidr } from '../ip.js'
import { labelValueErrors, qualifiedNameErrors } from '../names.js'
import { immutableErrors, oneOfErrors, resourceAmountErrors, textErrors } from './common.js'

export const taintEffects = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'] as const

export function taintErrors(taints: readonly Taint[], path: string): FieldError[] {
  const errors: FieldError[] = []
  const seen = new Set<string>()
  taints.forEach((taint, index) => {
    const at = `${path}[${index}]`
    errors.push(...textErrors(taint.key ?? '', qualifiedNameErrors, `${at}.key`))
    errors.push(...textErrors(taint.value ?? '', labelValueErrors, `${at}.value`))
    errors.push(...oneOfErrors(taint.effect, taintEffects, `${at}.effect`))
    const identity = `${taint.effect} ${taint.key}`
    if (seen.has(identity))
      errors.push({
        ...duplicate(at, taint),
        message: `Duplicate value: ${JSON.stringify(taint)}: taints must be unique by key and effect pair`,
      })
    seen.add(identity)
  })
  return errors
}

export function nodeErrors(node: Node): FieldError[] {
  const errors = taintErrors(node.spec?.taints ?? [], 'spec.taints')
  for (const list of ['capacity', 'allocatable'] as const)
    for (const [name, amount] of Object.entries(node.status?.[list] ?? {}))
      errors.push(...resourceAmountErrors(name, amount, `status.${list}.${name}`))
  const cidrs = node.spec?.podCIDRs ?? []
  cidrs.forEach((cidr, index) => {
    if (!isCidr(cidr))
      errors.push(invalid(`spec.podCIDRs[${index}]`, cidr, 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'))
  })
  const families = new Set(cidrs.map((cidr) => cidr.includes(':')))
  if (cidrs.length > families.size) errors.push(invalid('spec.podCIDRs', cidrs, 'may specify no more than one CIDR for each IP family'))
  const addresses = new Set<string>()
  node.status?.addresses?.forEach(({ type, address }, index) => {
    if (!address) errors.push(required(`status.addresses[${index}].address`))
    const identity = `${type} ${address}`
    if (addresses.has(identity)) errors.push(duplicate(`status.addresses[${index}]`, { type, address }))
    addresses.add(identity)
  })
  return errors
}

export function nodeUpdateErrors(next: Node, previous: Node): FieldError[] {
  const errors: FieldError[] = []
  if (previous.spec?.providerID && next.spec?.providerID !== previous.spec.providerID)
    errors.push(forbidden('spec.providerID', 'node updates may not change providerID except from "" to valid'))
  if (previous.spec?.podCIDRs?.length)
    errors.push(
      ...immutableErrors(
        next.spec?.podCIDRs,
        previous.spec.podCIDRs,
        'spec.podCIDRs',
        'node updates may not change podCIDR except from "" to valid',
      ).map((e) => forbidden(e.field, 'node updates may not change podCIDR except from "" to valid')),
    )
  return errors
}
