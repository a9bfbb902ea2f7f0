// What may change in a pod that exists, and through which door.
import { type FieldError, forbidden, invalid } from '../field-error.js'
import type { Container, Pod, PodSpec, ResourceRequirements } from '../generated/kinds.js'
import { cloneJson, equalJson, isObject, type Json, type JsonObject } from '../json/value.js'
import { qosClass } from '../qos.js'
import { canonicalQuantity } from '../quantity.js'

/** Each door lets only its own part through. In place. */
export function preparePodUpdate(next: JsonObject, previous: JsonObject, door: string): void {
  if (door === '') {
    const before = isObject(previous.spec) ? previous.spec : {}
    const spec = isObject(next.spec) ? next.spec : {}
    // Ephemeral containers have their own door; the plain one keeps them silently.
    if (before.ephemeralContainers === undefined) delete spec.ephemeralContainers
    else spec.ephemeralContainers = cloneJson(before.ephemeralContainers)
    return
  }
  if (door === 'ephemeralcontainers') keepAllBut(next, previous, takeEphemeral)
  else if (door === 'resize') keepAllBut(next, previous, takeResources)
}

function keepAllBut(next: JsonObject, previous: JsonObject, take: (kept: JsonObject, wanted: JsonObject) => void): void {
  const wanted = isObject(next.spec) ? next.spec : {}
  const kept = cloneJson(isObject(previous.spec) ? previous.spec : {})
  take(kept, wanted)
  const resourceVersion = isObject(next.metadata) ? next.metadata.resourceVersion : undefined
  next.spec = kept
  next.metadata = cloneJson(previous.metadata as Json)
  if (isObject(next.metadata) && resourceVersion !== undefined) next.metadata.resourceVersion = resourceVersion
  if (previous.status !== undefined) next.status = cloneJson(previous.status)
}

function takeEphemeral(kept: JsonObject, wanted: JsonObject): void {
  if (wanted.ephemeralContainers === undefined) delete kept.ephemeralContainers
  else kept.ephemeralContainers = wanted.ephemeralContainers
}

function takeResources(kept: JsonObject, wanted: JsonObject): void {
  for (const list of ['containers', 'initContainers']) {
    const before = kept[list]
    const after = wanted[list]
    if (!Array.isArray(before) || !Array.isArray(after)) continue
    for (const container of before) {
      const match = isObject(container) ? after.find((c) => isObject(c) && c.name === container.name) : undefined
      if (!isObject(container) || !isObject(match)) continue
      for (const field of ['resources', 'resizePolicy']) {
        const value = match[field]
        if (value === undefined) delete container[field]
        else container[field] = value
      }
    }
  }
  if (wanted.resources !== undefined) kept.resources = wanted.resources
}

const changeable =
  'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)'

/** The spec without what the plain door lets change. */
function fixedPart(spec: PodSpec | undefined): unknown {
  if (!spec) return {}
  const {
    activeDeadlineSeconds: _a,
    tolerations: _t,
    terminationGracePeriodSeconds: _g,
    ephemeralContainers: _e,
    schedulingGates: _s,
    containers,
    initContainers,
    ...rest
  } = spec
  const withoutImage = (list: readonly Container[] | undefined) => list?.map(({ image: _, ...container }) => container)
  return { ...rest, containers: withoutImage(containers), initContainers: withoutImage(initContainers) }
}

/** While gates hold a pod back, its place may still be narrowed down. */
function withoutPlacement(spec: unknown): unknown {
  const { nodeSelector: _n, affinity, ...rest } = spec as { nodeSelector?: unknown; affinity?: { nodeAffinity?: unknown } }
  const { nodeAffinity: _a, ...others } = affinity ?? {}
  return { ...rest, affinity: Object.keys(others).length > 0 ? others : undefined }
}

function specUpdateErrors(next: Pod, previous: Pod): FieldError[] {
  const errors: FieldError[] = []
  const before = previous.spec
  const after = next.spec
  for (const list of ['containers', 'initContainers'] as const)
    if ((after?.[list]?.length ?? 0) !== (before?.[list]?.length ?? 0))
      return [forbidden(`spec.${list}`, 'pod updates may not add or remove containers')]
  if (before?.activeDeadlineSeconds !== undefined) {
    if (after?.activeDeadlineSeconds === undefined)
      errors.push(invalid('spec.activeDeadlineSeconds', null, 'must not update from a positive integer to nil value'))
    else if (after.activeDeadlineSeconds > before.activeDeadlineSeconds)
      errors.push(invalid('spec.activeDeadlineSeconds', after.activeDeadlineSeconds, 'must be less than or equal to previous value'))
  }
  const kept = (before?.tolerations ?? []).every((old) =>
    (after?.tolerations ?? []).some((t) => {
      const { tolerationSeconds: _n, ...a } = t
      const { tolerationSeconds: _o, ...b } = old
      return equalJson(a, b)
    }),
  )
  if (!kept) errors.push(forbidden('spec.tolerations', 'existing toleration can not be modified except its tolerationSeconds'))
  const gates = new Set((before?.schedulingGates ?? []).map((g) => g.name))
  for (const [index, gate] of (after?.schedulingGates ?? []).entries())
    if (!gates.has(gate.name))
      errors.push(forbidden(`spec.schedulingGates[${index}]`, `only deletion is allowed, but found new scheduling gate '${gate.name}'`))
  const grace = { before: before?.terminationGracePeriodSeconds, after: after?.terminationGracePeriodSeconds }
  const graceAllowed = grace.before === grace.after || ((grace.before ?? 0) < 0 && grace.after === 1)
  const gated = gates.size > 0
  const a = fixedPart(after)
  const b = fixedPart(before)
  const same = gated ? equalJson(withoutPlacement(a), withoutPlacement(b)) : equalJson(a, b)
  if (!same || !graceAllowed) errors.push(forbidden('spec', changeable))
  return errors
}

function sameAmounts(a: ResourceRequirements | undefined, b: ResourceRequirements | undefined): boolean {
  const plain = (list: Readonly<Record<string, string>> | undefined) =>
    Object.fromEntries(Object.entries(list ?? {}).map(([n, v]) => [n, canonicalQuantity(v)]))
  return equalJson(plain(a?.requests), plain(b?.requests)) && equalJson(plain(a?.limits), plain(b?.limits))
}

function resizeErrors(next: Pod, previous: Pod): FieldError[] {
  if (previous.metadata.annotations?.['kubernetes.io/config.mirror'] !== undefined)
    return [forbidden('[]', 'static pods cannot be resized')]
  if (previous.spec?.os?.name === 'windows') return [forbidden('[]', 'windows pods cannot be resized')]
  const errors: FieldError[] = []
  const qos = previous.status?.qosClass ?? qosClass(previous)
  if (qosClass(next) !== qos) errors.push(invalid('spec', qos, 'Pod QOS Class may not change as a result of resizing'))
  for (const list of ['containers', 'initContainers'] as const)
    next.spec?.[list]?.forEach((container, index) => {
      const old = previous.spec?.[list]?.[index]
      const at = `spec.${list}[${index}]`
      if (list === 'initContainers' && container.restartPolicy !== 'Always' && !sameAmounts(container.resources, old?.resources))
        errors.push(forbidden(`${at}.resources`, 'resources for non-sidecar init containers are immutable'))
      for (const part of ['requests', 'limits'] as const) {
        const before = old?.resources?.[part] ?? {}
        const after = container.resources?.[part] ?? {}
        for (const name of Object.keys({ ...before, ...after })) {
          if (name !== 'cpu' && name !== 'memory' && before[name] !== after[name])
            errors.push(forbidden(`${at}.resources.${part}[${name}]`, 'only cpu and memory resources are mutable'))
          else if (before[name] !== undefined && after[name] === undefined)
            errors.push(forbidden(`${at}.resources.${part}`, `resource ${part} cannot be removed`))
        }
      }
    })
  return errors
}

function statusErrors(next: Pod, previous: Pod): FieldError[] {
  const errors: FieldError[] = []
  const policy = previous.spec?.restartPolicy
  for (const [field, list] of [
    ['containerStatuses', previous.status?.containerStatuses],
    ['initContainerStatuses', previous.status?.initContainerStatuses],
  ] as const) {
    if (policy === 'Always') continue
    list?.forEach((old) => {
      const terminated = old.state?.terminated
      if (!terminated || (policy === 'OnFailure' && terminated.exitCode !== 0)) return
      const now = next.status?.[field]?.findIndex((s) => s.name === old.name) ?? -1
      const sidecar = previous.spec?.initContainers?.some((c) => c.name === old.name && c.restartPolicy === 'Always')
      const ruled = [...(previous.spec?.containers ?? []), ...(previous.spec?.initContainers ?? [])].some(
        (c) => c.name === old.name && (c.restartPolicy || c.restartPolicyRules?.length),
      )
      if (now >= 0 && !sidecar && !ruled && !next.status?.[field]?.[now]?.state?.terminated)
        errors.push(forbidden(`status.${field}[${now}].state`, 'may not be transitioned to non-terminated state'))
    })
  }
  if (previous.status?.nominatedNodeName === undefined && next.status?.nominatedNodeName === '')
    errors.push(invalid('status.nominatedNodeName', '', 'must not be empty'))
  return errors
}

export function podUpdateErrors(next: Pod, previous: Pod, door: string): FieldError[] {
  if (door === '') return specUpdateErrors(next, previous)
  if (door === 'status') return statusErrors(next, previous)
  if (door === 'resize') return resizeErrors(next, previous)
  if (door === 'ephemeralcontainers') {
    const before = previous.spec?.ephemeralContainers ?? []
    const after = next.spec?.ephemeralContainers ?? []
    return before.flatMap((old) => {
      const index = after.findIndex((c) => c.name === old.name)
      if (index < 0)
        return [forbidden('spec.ephemeralContainers', `existing ephemeral containers ${JSON.stringify(old.name)} may not be removed`)]
      return equalJson(after[index], old)
        ? []
        : [forbidden('spec.ephemeralContainers', `existing ephemeral containers ${JSON.stringify(old.name)} may not be changed`)]
    })
  }
  return []
}
