// Who a container runs as, and what holds it back.
import { type FieldError, invalid, required } from '../field-error.js'
import type { SecurityContext } from '../generated/kinds.js'
import { localPathErrors, oneOfErrors } from './common.js'

export function seccompErrors(
  profile: { readonly type: string; readonly localhostProfile?: string | undefined } | undefined,
  path: string,
): FieldError[] {
  if (!profile) return []
  const errors = oneOfErrors(profile.type, ['Localhost', 'RuntimeDefault', 'Unconfined'], `${path}.type`)
  if (profile.type === 'Localhost') {
    if (!profile.localhostProfile) errors.push(required(`${path}.localhostProfile`, 'must be set when seccomp type is Localhost'))
    else errors.push(...localPathErrors(profile.localhostProfile, `${path}.localhostProfile`))
  } else if (profile.localhostProfile)
    errors.push(invalid(`${path}.localhostProfile`, profile.localhostProfile, 'can only be set when seccomp type is Localhost'))
  return errors
}

export function securityErrors(context: SecurityContext | undefined, path: string): FieldError[] {
  if (!context) return []
  const errors: FieldError[] = []
  for (const name of ['runAsUser', 'runAsGroup'] as const) {
    const id = context[name]
    if (id !== undefined && (id < 0 || id > 2147483647))
      errors.push(invalid(`${path}.${name}`, id, 'must be between 0 and 2147483647, inclusive'))
  }
  if (context.procMount) errors.push(...oneOfErrors(context.procMount, ['Default', 'Unmasked'], `${path}.procMount`))
  if (context.allowPrivilegeEscalation === false) {
    if (context.privileged) errors.push(invalid(path, context, 'cannot set `allowPrivilegeEscalation` to false and `privileged` to true'))
    if (context.capabilities?.add?.includes('CAP_SYS_ADMIN'))
      errors.push(invalid(path, context, 'cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN'))
  }
  errors.push(...seccompErrors(context.seccompProfile, `${path}.seccompProfile`))
  errors.push(...appArmorErrors(context.appArmorProfile, `${path}.appArmorProfile`))
  return errors
}

/** As seccomp: a profile of the runtime, of the node, or none. */
export function appArmorErrors(
  profile: { readonly type: string; readonly localhostProfile?: string | undefined } | undefined,
  path: string,
): FieldError[] {
  if (!profile) return []
  const errors = oneOfErrors(profile.type, ['Localhost', 'RuntimeDefault', 'Unconfined'], `${path}.type`)
  const local = profile.localhostProfile
  const at = `${path}.localhostProfile`
  if (profile.type !== 'Localhost') {
    if (local !== undefined) errors.push(invalid(at, local, 'can only be set when AppArmor type is Localhost'))
  } else if (local === undefined) errors.push(required(at, 'must be set when AppArmor type is Localhost'))
  else if (local.trim() === '') errors.push(required(at, 'must be set when AppArmor type is Localhost'))
  else if (local !== local.trim()) errors.push(invalid(at, local, 'must not be padded with whitespace'))
  return errors
}
