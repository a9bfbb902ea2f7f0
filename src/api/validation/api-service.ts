// APIServices: groups that another server answers for.
import { type FieldError, invalid, required } from '../field-error.js'
import type { APIService } from '../generated/kinds.js'
import { dns1035LabelErrors, dnsSubdomainErrors, portNumberErrors } from '../names.js'
import { requiredText } from './common.js'

export function apiServiceErrors({ metadata, spec }: APIService): FieldError[] {
  if (!spec) return [required('spec')]
  const errors: FieldError[] = []
  const wanted = `${spec.version ?? ''}.${spec.group ?? ''}`
  if (metadata.name !== wanted && !(spec.group === '' && metadata.name === `${spec.version}.`))
    errors.push(invalid('metadata.name', metadata.name, `must be \`spec.version+"."+spec.group\`: ${JSON.stringify(wanted)}`))
  if (spec.group) for (const detail of dnsSubdomainErrors(spec.group)) errors.push(invalid('spec.group', spec.group, detail))
  errors.push(...requiredText(spec.version, dns1035LabelErrors, 'spec.version'))
  if ((spec.groupPriorityMinimum ?? 0) <= 0 || spec.groupPriorityMinimum > 20_000)
    errors.push(invalid('spec.groupPriorityMinimum', spec.groupPriorityMinimum ?? 0, 'must be positive and less than 20000'))
  if ((spec.versionPriority ?? 0) <= 0 || spec.versionPriority > 1000)
    errors.push(invalid('spec.versionPriority', spec.versionPriority ?? 0, 'must be positive and less than 1000'))
  if (!spec.service) {
    if (spec.caBundle) errors.push(invalid('spec.caBundle', `${spec.caBundle.length} bytes`, 'local APIServices may not have a caBundle'))
    if (spec.insecureSkipTLSVerify)
      errors.push(invalid('spec.insecureSkipTLSVerify', true, 'local APIServices may not have insecureSkipTLSVerify'))
    return errors
  }
  if (!spec.service.namespace) errors.push(required('spec.service.namespace'))
  if (!spec.service.name) errors.push(required('spec.service.name'))
  const { port } = spec.service
  if (port !== undefined)
    for (const detail of portNumberErrors(port)) errors.push(invalid('spec.service.port', port, `port is not valid: ${detail}`))
  if (spec.insecureSkipTLSVerify && spec.caBundle)
    errors.push(invalid('spec.insecureSkipTLSVerify', true, 'may not be true if caBundle is present'))
  return errors
}
