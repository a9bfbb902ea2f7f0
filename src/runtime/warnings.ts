// What of a spec is carried out in part, and said instead of refused (runtime-spec config.md: capabilities). Pure.
import { capabilityNumber } from '../sys/index.js'
import type { Capabilities, Spec } from './spec.js'

export function warningsOf(spec: Spec): readonly string[] {
  const ownMounts = (spec.linux?.namespaces ?? []).some(({ type, path }) => type === 'mount' && !path)
  const unmade = spec.mounts?.length || spec.linux?.maskedPaths?.length || spec.linux?.readonlyPaths?.length || spec.linux?.devices?.length
  return [
    ...capabilityWarnings(spec.process?.capabilities ?? {}),
    ...(ownMounts || !unmade
      ? []
      : ['without a mount namespace of its own the container gets no mounts, devices, masked and read-only paths']),
  ]
}

function capabilityWarnings(sets: Capabilities): readonly string[] {
  const all = new Set(Object.values(sets).flat() as string[])
  const unknown = [...all].filter((name) => capabilityNumber(name) === undefined)
  const has = (set: readonly string[] | undefined, name: string): boolean =>
    (set ?? []).some((one) => capabilityNumber(one) === capabilityNumber(name))
  const unraised = (sets.ambient ?? []).filter(
    (name) => !unknown.includes(name) && !(has(sets.permitted, name) && has(sets.inheritable, name)),
  )
  return [
    ...(unknown.length > 0 ? [`ignoring unknown or unavailable capabilities: ${unknown.join(' ')}`] : []),
    ...unraised.map((name) => `can't raise ambient capability ${name}: it is not in the permitted and the inheritable set`),
  ]
}
