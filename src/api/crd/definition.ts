// CustomResourceDefinitions themselves: names, versions, what may change.
import { duplicate, type FieldError, forbidden, invalid, notSupported, required } from '../field-error.js'
import type { CustomResourceDefinition } from '../generated/kinds.js'
import { isObject, type JsonObject } from '../json/value.js'
import { dns1035LabelErrors, dnsSubdomainErrors } from '../names.js'
import { immutableErrors, oneOfErrors, requiredText, textErrors } from '../validation/common.js'
import { schemaErrors } from './schema-rules.js'

/** Stored versions are known from the start. In place. */
export function prepareCrdCreate(object: JsonObject): void {
  const spec = isObject(object.spec) ? object.spec : {}
  const versions = Array.isArray(spec.versions) ? spec.versions : []
  const stored = versions.find((v) => isObject(v) && v.storage === true)
  object.status = {
    conditions: [],
    acceptedNames: { plural: '', kind: '' },
    storedVersions: isObject(stored) && typeof stored.name === 'string' ? [stored.name] : [],
  }
}

function namesErrors(crd: CustomResourceDefinition): FieldError[] {
  const names = crd.spec?.names
  const errors = requiredText(names?.plural, dns1035LabelErrors, 'spec.names.plural')
  if (names?.singular) errors.push(...textErrors(names.singular, dns1035LabelErrors, 'spec.names.singular'))
  if (!names?.kind) errors.push(required('spec.names.kind'))
  else
    errors.push(
      ...dns1035LabelErrors(names.kind.toLowerCase()).map((d) =>
        invalid('spec.names.kind', names.kind, `may have mixed case, but should otherwise match: ${d}`),
      ),
    )
  if (!names?.listKind) errors.push(required('spec.names.listKind'))
  else if (names.listKind === names.kind)
    errors.push(invalid('spec.names.listKind', names.listKind, 'kind and listKind may not be the same'))
  names?.shortNames?.forEach((name, index) => {
    errors.push(...textErrors(name, dns1035LabelErrors, `spec.names.shortNames[${index}]`))
  })
  names?.categories?.forEach((name, index) => {
    errors.push(...textErrors(name, dns1035LabelErrors, `spec.names.categories[${index}]`))
  })
  return errors
}

const columnTypes = ['integer', 'number', 'string', 'boolean', 'date']
const columnFormats = ['int32', 'int64', 'float', 'double', 'byte', 'date', 'date-time', 'password']

type Version = CustomResourceDefinition['spec']['versions'][number]

/** Only what is one word for every object can be selected by. */
function selectableErrors(path: string, schema: JsonObject, at: string): FieldError[] {
  let found: JsonObject = schema
  for (const name of path.slice(1).split('.')) {
    const next = isObject(found.properties) ? found.properties[name] : undefined
    if (!isObject(next)) return [invalid(at, path, 'is an invalid path: does not refer to a valid field')]
    found = next
  }
  return ['string', 'boolean', 'integer'].includes(String(found.type))
    ? []
    : [
        invalid(
          at,
          path,
          'must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.',
        ),
      ]
}

function versionErrors(version: Version, path: string): FieldError[] {
  const errors = requiredText(version.name, dns1035LabelErrors, `${path}.name`)
  const schema = version.schema?.openAPIV3Schema
  if (!schema) errors.push(required(`${path}.schema.openAPIV3Schema`, 'schemas are required'))
  else errors.push(...schemaErrors(schema as unknown as JsonObject, `${path}.schema.openAPIV3Schema`))
  const scale = version.subresources?.scale
  if (scale) {
    if (!scale.specReplicasPath) errors.push(required(`${path}.subresources.scale.specReplicasPath`))
    else if (!scale.specReplicasPath.startsWith('.spec.'))
      errors.push(invalid(`${path}.subresources.scale.specReplicasPath`, scale.specReplicasPath, 'should be a json path under .spec'))
    if (!scale.statusReplicasPath) errors.push(required(`${path}.subresources.scale.statusReplicasPath`))
    else if (!scale.statusReplicasPath.startsWith('.status.'))
      errors.push(invalid(`${path}.subresources.scale.statusReplicasPath`, scale.statusReplicasPath, 'should be a json path under .status'))
    if (scale.labelSelectorPath && !/^\.(spec|status)\./.test(scale.labelSelectorPath))
      errors.push(
        invalid(
          `${path}.subresources.scale.labelSelectorPath`,
          scale.labelSelectorPath,
          'should be a json path under either .status or .spec',
        ),
      )
  }
  version.additionalPrinterColumns?.forEach((column, index) => {
    const at = `${path}.additionalPrinterColumns[${index}]`
    if (!column.name) errors.push(required(`${at}.name`))
    if (!column.type) errors.push(required(`${at}.type`, `must be one of ${columnTypes.join(',')}`))
    else if (!columnTypes.includes(column.type)) errors.push(invalid(`${at}.type`, column.type, `must be one of ${columnTypes.join(',')}`))
    if (column.format && !columnFormats.includes(column.format))
      errors.push(invalid(`${at}.format`, column.format, `must be one of ${columnFormats.join(',')}`))
    if (!column.jsonPath) errors.push(required(`${at}.JSONPath`))
    else if (!column.jsonPath.startsWith('.')) errors.push(invalid(`${at}.jsonPath`, column.jsonPath, 'should begin with .'))
  })
  if ((version.selectableFields?.length ?? 0) > 8)
    errors.push({
      reason: 'FieldValueTooMany',
      field: `${path}.selectableFields`,
      message: `Too many: ${version.selectableFields?.length}: must have at most 8 items`,
    })
  version.selectableFields?.forEach((field, index) => {
    const at = `${path}.selectableFields[${index}].jsonPath`
    if (!field.jsonPath) errors.push(required(at))
    else if (!field.jsonPath.startsWith('.')) errors.push(invalid(at, field.jsonPath, 'is an invalid path: must start with .'))
    else if (field.jsonPath.startsWith('.metadata')) errors.push(invalid(at, field.jsonPath, 'must not point to fields in metadata'))
    else if (schema) errors.push(...selectableErrors(field.jsonPath, schema as unknown as JsonObject, at))
    if (version.selectableFields?.findIndex(({ jsonPath }) => jsonPath === field.jsonPath) !== index)
      errors.push(duplicate(at, field.jsonPath))
  })
  return errors
}

export function crdErrors(crd: CustomResourceDefinition): FieldError[] {
  const { spec, metadata } = crd
  if (!spec) return [required('spec')]
  const errors: FieldError[] = []
  const wanted = `${spec.names?.plural ?? ''}.${spec.group ?? ''}`
  if (metadata.name !== wanted) errors.push(invalid('metadata.name', metadata.name, 'must be spec.names.plural+"."+spec.group'))
  if (!spec.group) errors.push(required('spec.group'))
  else {
    errors.push(...textErrors(spec.group, dnsSubdomainErrors, 'spec.group'))
    if (spec.group.split('.').length < 2) errors.push(invalid('spec.group', spec.group, 'should be a domain with at least one dot'))
    if (/(^|\.)(k8s\.io|kubernetes\.io)$/.test(spec.group) && !metadata.annotations?.['api-approved.kubernetes.io'])
      errors.push(
        required(
          'metadata.annotations[api-approved.kubernetes.io]',
          'protected groups must have approval annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111',
        ),
      )
  }
  errors.push(...oneOfErrors(spec.scope, ['Cluster', 'Namespaced'], 'spec.scope'))
  errors.push(...namesErrors(crd))
  if (!spec.versions?.length) errors.push(required('spec.versions'))
  const stored = (spec.versions ?? []).filter((v) => v.storage).length
  if (stored !== 1) errors.push(invalid('spec.versions', spec.versions, 'must have exactly one version marked as storage version'))
  const seen = new Set<string>()
  spec.versions?.forEach((version, index) => {
    errors.push(...versionErrors(version, `spec.versions[${index}]`))
    if (seen.has(version.name)) errors.push(invalid('spec.versions', spec.versions, 'must contain unique version names'))
    seen.add(version.name)
  })
  const conversion = spec.conversion
  if (conversion) {
    if (!['None', 'Webhook'].includes(conversion.strategy))
      errors.push(notSupported('spec.conversion.strategy', conversion.strategy, ['None', 'Webhook']))
    if (conversion.strategy === 'Webhook') {
      if (!conversion.webhook?.clientConfig)
        errors.push(required('spec.conversion.webhookClientConfig', 'required when strategy is set to Webhook'))
      if (spec.preserveUnknownFields)
        errors.push(invalid('spec.conversion.strategy', 'Webhook', 'must be None if spec.preserveUnknownFields is true'))
    } else if (conversion.webhook?.clientConfig)
      errors.push(forbidden('spec.conversion.webhookClientConfig', 'should not be set when strategy is not set to Webhook'))
  }
  if (spec.preserveUnknownFields)
    errors.push(
      invalid(
        'spec.preserveUnknownFields',
        true,
        'cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead',
      ),
    )
  for (const version of crd.status?.storedVersions ?? [])
    if (crd.metadata.resourceVersion && !seen.has(version))
      errors.push(
        invalid(
          `status.storedVersions[${crd.status?.storedVersions?.indexOf(version)}]`,
          version,
          'missing from spec.versions; ' +
            version +
            ' was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in ' +
            version +
            ' and removes ' +
            version +
            ' from status.storedVersions',
        ),
      )
  return errors
}

export function crdUpdateErrors(next: CustomResourceDefinition, previous: CustomResourceDefinition): FieldError[] {
  const established = previous.status?.conditions?.some((c) => c.type === 'Established' && c.status === 'True')
  const errors = immutableErrors(next.spec?.group, previous.spec?.group, 'spec.group')
  errors.push(...immutableErrors(next.spec?.names?.plural, previous.spec?.names?.plural, 'spec.names.plural'))
  if (!established) return errors
  return [
    ...errors,
    ...immutableErrors(next.spec?.scope, previous.spec?.scope, 'spec.scope'),
    ...immutableErrors(next.spec?.names?.kind, previous.spec?.names?.kind, 'spec.names.kind'),
  ]
}
