// Pods and pod templates.
import { duplicate, type FieldError, forbidden, invalid, required } from '../field-error.js'
import type { Pod, PodSpec, PodTemplateSpec } from '../generated/kinds.js'
import { isIP } from '../ip.js'
import { annotationErrors } from '../metadata.js'
import { dnsLabelErrors, dnsSubdomainErrors, qualifiedNameErrors } from '../names.js'
import { labelErrors } from '../selector/labels.js'
import { oneOfErrors, requiredText, textErrors } from './common.js'
import { containersErrors, ephemeralContainersErrors, initContainersErrors, type PodContext, resourcesErrors } from './container.js'
import { affinityErrors, spreadErrors, tolerationErrors } from './scheduling.js'
import { appArmorErrors, seccompErrors } from './security.js'
import { volumesErrors } from './volumes.js'

function contextOf(spec: PodSpec): PodContext {
  return {
    volumes: new Set((spec.volumes ?? []).map((v) => v.name)),
    claims: new Set((spec.volumes ?? []).filter((v) => v.persistentVolumeClaim || v.ephemeral).map((v) => v.name)),
    resourceClaims: new Set((spec.resourceClaims ?? []).map((c) => c.name)),
    hostNetwork: spec.hostNetwork ?? false,
    restartPolicy: spec.restartPolicy ?? '',
    graceSeconds: spec.terminationGracePeriodSeconds,
  }
}

const SYSCTL = /^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$/

function podSecurityErrors(spec: PodSpec, path: string): FieldError[] {
  const context = spec.securityContext
  if (!context) return []
  const errors: FieldError[] = []
  for (const name of ['runAsUser', 'runAsGroup', 'fsGroup'] as const) {
    const id = context[name]
    if (id !== undefined && (id < 0 || id > 2147483647))
      errors.push(invalid(`${path}.${name}`, id, 'must be between 0 and 2147483647, inclusive'))
  }
  context.supplementalGroups?.forEach((id, index) => {
    if (id < 0 || id > 2147483647)
      errors.push(invalid(`${path}.supplementalGroups[${index}]`, id, 'must be between 0 and 2147483647, inclusive'))
  })
  const names = new Set<string>()
  context.sysctls?.forEach(({ name }, index) => {
    const at = `${path}.sysctls[${index}].name`
    if (!name) errors.push(required(at))
    else if (name.length > 253 || !SYSCTL.test(name))
      errors.push(
        invalid(
          at,
          name,
          'must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$',
        ),
      )
    else if (names.has(name)) errors.push(duplicate(at, name))
    names.add(name)
  })
  if (context.fsGroupChangePolicy)
    errors.push(...oneOfErrors(context.fsGroupChangePolicy, ['Always', 'OnRootMismatch'], `${path}.fsGroupChangePolicy`))
  if (context.supplementalGroupsPolicy)
    errors.push(...oneOfErrors(context.supplementalGroupsPolicy, ['Merge', 'Strict'], `${path}.supplementalGroupsPolicy`))
  return [
    ...errors,
    ...seccompErrors(context.seccompProfile, `${path}.seccompProfile`),
    ...appArmorErrors(context.appArmorProfile, `${path}.appArmorProfile`),
  ]
}

function dnsErrors(spec: PodSpec, path: string): FieldError[] {
  const errors = oneOfErrors(spec.dnsPolicy, ['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None'], `${path}.dnsPolicy`)
  const config = spec.dnsConfig
  if (spec.dnsPolicy === 'None') {
    if (!config) return [...errors, required(`${path}.dnsConfig`, 'must provide `dnsConfig` when `dnsPolicy` is None')]
    if (!config.nameservers?.length)
      errors.push(required(`${path}.dnsConfig.nameservers`, 'must provide at least one DNS nameserver when `dnsPolicy` is None'))
  }
  if ((config?.nameservers?.length ?? 0) > 3)
    errors.push(invalid(`${path}.dnsConfig.nameservers`, config?.nameservers, 'must not have more than 3 nameservers'))
  config?.nameservers?.forEach((server, index) => {
    if (!isIP(server))
      errors.push(
        invalid(`${path}.dnsConfig.nameservers[${index}]`, server, 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'),
      )
  })
  if ((config?.searches?.length ?? 0) > 32)
    errors.push(invalid(`${path}.dnsConfig.searches`, config?.searches, 'must not have more than 32 search paths'))
  config?.searches?.forEach((search, index) => {
    if (search !== '.')
      errors.push(...textErrors(search.replace(/\.$/, '').replaceAll('_', 'a'), dnsSubdomainErrors, `${path}.dnsConfig.searches[${index}]`))
  })
  config?.options?.forEach((option, index) => {
    if (!option.name) errors.push(required(`${path}.dnsConfig.options[${index}]`, 'must not be empty'))
  })
  return errors
}

function hostErrors(spec: PodSpec, path: string): FieldError[] {
  const errors: FieldError[] = []
  spec.hostAliases?.forEach((alias, index) => {
    const at = `${path}.hostAliases[${index}]`
    if (!isIP(alias.ip ?? '')) errors.push(invalid(`${at}.ip`, alias.ip, 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'))
    for (const name of alias.hostnames ?? []) errors.push(...textErrors(name, dnsSubdomainErrors, `${at}.hostnames`))
  })
  if (spec.hostname) errors.push(...textErrors(spec.hostname, dnsLabelErrors, `${path}.hostname`))
  if (spec.subdomain) errors.push(...textErrors(spec.subdomain, dnsLabelErrors, `${path}.subdomain`))
  if (spec.shareProcessNamespace && spec.hostPID)
    errors.push(invalid(`${path}.shareProcessNamespace`, true, 'ShareProcessNamespace and HostPID cannot both be enabled'))
  if (spec.hostUsers === false) {
    if (spec.hostNetwork) errors.push(forbidden(`${path}.hostNetwork`, 'when `hostUsers` is false'))
    if (spec.hostPID) errors.push(forbidden(`${path}.hostPID`, 'when `pod.Spec.HostUsers` is false'))
    if (spec.hostIPC) errors.push(forbidden(`${path}.hostIPC`, 'when `pod.Spec.HostUsers` is false'))
  }
  return errors
}

function windowsErrors(spec: PodSpec, path: string): FieldError[] {
  if (!spec.os) return []
  return oneOfErrors(spec.os.name, ['linux', 'windows'], `${path}.os.name`)
}

function gatesErrors(spec: PodSpec, path: string): FieldError[] {
  const errors: FieldError[] = []
  const seen = new Set<string>()
  spec.schedulingGates?.forEach(({ name }, index) => {
    const at = `${path}.schedulingGates[${index}]`
    errors.push(...textErrors(name ?? '', qualifiedNameErrors, at))
    if (seen.has(name)) errors.push(duplicate(at, name))
    seen.add(name)
  })
  if (spec.nodeName && spec.schedulingGates?.length)
    errors.push(forbidden(`${path}.nodeName`, 'cannot be set until all schedulingGates have been cleared'))
  spec.readinessGates?.forEach(({ conditionType }, index) => {
    errors.push(...textErrors(conditionType ?? '', qualifiedNameErrors, `${path}.readinessGates[${index}].conditionType`))
  })
  return errors
}

function resourceClaimErrors(spec: PodSpec, path: string): FieldError[] {
  const errors: FieldError[] = []
  const seen = new Set<string>()
  spec.resourceClaims?.forEach((claim, index) => {
    const at = `${path}.resourceClaims[${index}]`
    errors.push(...requiredText(claim.name, dnsLabelErrors, `${at}.name`))
    if (seen.has(claim.name)) errors.push(duplicate(`${at}.name`, claim.name))
    seen.add(claim.name)
    if (claim.resourceClaimName && claim.resourceClaimTemplateName)
      errors.push(invalid(at, claim, 'at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified'))
    if (!claim.resourceClaimName && !claim.resourceClaimTemplateName)
      errors.push(invalid(at, claim, 'must specify one of: `resourceClaimName`, `resourceClaimTemplateName`'))
  })
  return errors
}

/** Everything about a spec; `path` is `spec` or `spec.template.spec`. */
export function podSpecErrors(spec: PodSpec | undefined, path: string): FieldError[] {
  if (!spec) return [required(path)]
  const context = contextOf(spec)
  const errors = volumesErrors(spec.volumes ?? [], `${path}.volumes`)
  errors.push(...resourceClaimErrors(spec, path))
  errors.push(...containersErrors(spec.containers ?? [], `${path}.containers`, context))
  const names = new Set((spec.containers ?? []).map((c) => c.name))
  errors.push(...initContainersErrors(spec.initContainers ?? [], `${path}.initContainers`, context, names))
  const others = new Set([...names, ...(spec.initContainers ?? []).map((c) => c.name)])
  errors.push(...ephemeralContainersErrors(spec.ephemeralContainers ?? [], `${path}.ephemeralContainers`, context, { names, others }))
  errors.push(...oneOfErrors(spec.restartPolicy, ['Always', 'OnFailure', 'Never'], `${path}.restartPolicy`))
  errors.push(...dnsErrors(spec, path))
  errors.push(...labelErrors(spec.nodeSelector, `${path}.nodeSelector`))
  errors.push(...podSecurityErrors(spec, `${path}.securityContext`))
  if (spec.nodeName) errors.push(...textErrors(spec.nodeName, dnsSubdomainErrors, `${path}.nodeName`))
  if (spec.serviceAccountName) errors.push(...textErrors(spec.serviceAccountName, dnsSubdomainErrors, `${path}.serviceAccountName`))
  if (spec.priorityClassName) errors.push(...textErrors(spec.priorityClassName, dnsSubdomainErrors, `${path}.priorityClassName`))
  if (spec.runtimeClassName) errors.push(...textErrors(spec.runtimeClassName, dnsSubdomainErrors, `${path}.runtimeClassName`))
  errors.push(...affinityErrors(spec.affinity, `${path}.affinity`))
  errors.push(...tolerationErrors(spec.tolerations ?? [], `${path}.tolerations`))
  errors.push(...spreadErrors(spec.topologySpreadConstraints ?? [], `${path}.topologySpreadConstraints`))
  errors.push(...gatesErrors(spec, path), ...hostErrors(spec, path), ...windowsErrors(spec, path))
  const deadline = spec.activeDeadlineSeconds
  if (deadline !== undefined && (deadline < 1 || deadline > 2147483647))
    errors.push(invalid(`${path}.activeDeadlineSeconds`, deadline, 'must be between 1 and 2147483647, inclusive'))
  if ((spec.terminationGracePeriodSeconds ?? 0) < 0)
    errors.push(invalid(`${path}.terminationGracePeriodSeconds`, spec.terminationGracePeriodSeconds, 'must be greater than or equal to 0'))
  if (spec.preemptionPolicy)
    errors.push(...oneOfErrors(spec.preemptionPolicy, ['PreemptLowerPriority', 'Never'], `${path}.preemptionPolicy`))
  if (spec.resources) errors.push(...resourcesErrors(spec.resources, `${path}.resources`, context))
  return errors
}

/** A template inside another object. */
export function templateErrors(template: PodTemplateSpec | undefined, path: string): FieldError[] {
  if (!template) return [required(path)]
  const errors = labelErrors(template.metadata?.labels, `${path}.labels`)
  errors.push(...annotationErrors(template.metadata?.annotations, `${path}.annotations`))
  errors.push(...podSpecErrors(template.spec, `${path}.spec`))
  if (template.spec?.ephemeralContainers?.length)
    errors.push(forbidden(`${path}.spec.ephemeralContainers`, 'ephemeral containers not allowed in pod template'))
  return errors
}

export const podErrors = (pod: Pod): FieldError[] => podSpecErrors(pod.spec, 'spec')

export const podCreateErrors = (pod: Pod): FieldError[] =>
  pod.spec?.ephemeralContainers?.length ? [forbidden('spec.ephemeralContainers', 'cannot be set on create')] : []

export { podUpdateErrors } from './pod-update.js'
