// The limits that a container gets: the spec's, and the devices that every container may use.
import type { DeviceRule, Resources, Spec } from './spec.js'

const character = (major: number | undefined, minor: number | undefined, access: string): DeviceRule => ({
  allow: true,
  type: 'c',
  ...(major === undefined ? {} : { major }),
  ...(minor === undefined ? {} : { minor }),
  access,
})

/** Allowed whatever the spec says, as in every OCI runtime: making nodes, the default devices, terminals. */
const ALWAYS: readonly DeviceRule[] = [
  character(undefined, undefined, 'm'),
  { allow: true, type: 'b', access: 'm' },
  character(1, 3, 'rwm'),
  character(1, 5, 'rwm'),
  character(1, 7, 'rwm'),
  character(1, 8, 'rwm'),
  character(1, 9, 'rwm'),
  character(5, 0, 'rwm'),
  character(5, 2, 'rwm'),
  character(136, undefined, 'rwm'),
]

/** What to put in force for a new container, or undefined when the spec limits nothing. */
export function resourcesOf(spec: Spec): Resources | undefined {
  const resources = spec.linux?.resources
  if (!resources?.devices || resources.devices.length === 0) return resources
  return { ...resources, devices: [...resources.devices, ...ALWAYS] }
}
