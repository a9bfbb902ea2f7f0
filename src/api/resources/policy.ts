// Admission webhooks and policies, flow control, priorities, runtime classes, leases.
import { ageOf, column } from '../columns.js'
import { ALL_METADATA, defineResource } from '../define-resource.js'
import {
  FlowSchema,
  Lease,
  MutatingAdmissionPolicy,
  MutatingAdmissionPolicyBinding,
  MutatingWebhookConfiguration,
  type ParamKind,
  type ParamRef,
  PriorityClass,
  PriorityLevelConfiguration,
  RuntimeClass,
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
  ValidatingWebhookConfiguration,
} from '../generated/kinds.js'
import { flowSchemaErrors, priorityLevelErrors } from '../validation/flow-control.js'
import {
  admissionPolicyErrors,
  leaseErrors,
  policyBindingErrors,
  priorityClassErrors,
  priorityClassUpdateErrors,
  runtimeClassErrors,
  runtimeClassUpdateErrors,
  webhookConfigurationErrors,
} from '../validation/policy.js'

const integer = { type: 'integer' } as const

export const mutatingWebhookResource = defineResource<MutatingWebhookConfiguration>({
  of: MutatingWebhookConfiguration,
  categories: ['api-extensions'],
  generation: 'all',
  columns: [column('Webhooks', ({ webhooks }) => webhooks?.length ?? 0, integer), ageOf()],
  validate: webhookConfigurationErrors,
})

export const validatingWebhookResource = defineResource<ValidatingWebhookConfiguration>({
  of: ValidatingWebhookConfiguration,
  categories: ['api-extensions'],
  generation: 'all',
  columns: [column('Webhooks', ({ webhooks }) => webhooks?.length ?? 0, integer), ageOf()],
  validate: webhookConfigurationErrors,
})

const paramKind = (kind: ParamKind | undefined): string => (kind ? `${kind.apiVersion}/${kind.kind}` : '<unset>')
const paramRef = (reference: ParamRef | undefined): string => {
  if (!reference) return '<unset>'
  return reference.namespace ? `${reference.namespace}/${reference.name ?? '*'}` : (reference.name ?? '*')
}

export const validatingPolicyResource = defineResource<ValidatingAdmissionPolicy>({
  of: ValidatingAdmissionPolicy,
  statusKeeps: ALL_METADATA,
  categories: ['api-extensions'],
  generation: 'spec',
  columns: [
    column('Validations', ({ spec }) => spec?.validations?.length ?? 0, integer),
    column('ParamKind', ({ spec }) => paramKind(spec?.paramKind)),
    ageOf(),
  ],
  validate: admissionPolicyErrors,
})

export const validatingPolicyBindingResource = defineResource<ValidatingAdmissionPolicyBinding>({
  of: ValidatingAdmissionPolicyBinding,
  categories: ['api-extensions'],
  generation: 'spec',
  columns: [
    column('PolicyName', ({ spec }) => spec?.policyName ?? ''),
    column('ParamRef', ({ spec }) => paramRef(spec?.paramRef)),
    ageOf(),
  ],
  validate: policyBindingErrors,
})

export const mutatingPolicyResource = defineResource<MutatingAdmissionPolicy>({
  of: MutatingAdmissionPolicy,
  categories: ['api-extensions'],
  generation: 'spec',
  columns: [
    column('Mutations', ({ spec }) => spec?.mutations?.length ?? 0, integer),
    column('ParamKind', ({ spec }) => paramKind(spec?.paramKind)),
    ageOf(),
  ],
  validate: admissionPolicyErrors,
})

export const mutatingPolicyBindingResource = defineResource<MutatingAdmissionPolicyBinding>({
  of: MutatingAdmissionPolicyBinding,
  categories: ['api-extensions'],
  generation: 'spec',
  columns: [
    column('PolicyName', ({ spec }) => spec?.policyName ?? ''),
    column('ParamRef', ({ spec }) => paramRef(spec?.paramRef)),
    ageOf(),
  ],
  validate: policyBindingErrors,
})

export const flowSchemaResource = defineResource<FlowSchema>({
  of: FlowSchema,
  statusKeeps: ALL_METADATA,
  generation: 'spec',
  columns: [
    column('PriorityLevel', ({ spec }) => spec?.priorityLevelConfiguration?.name ?? ''),
    column('MatchingPrecedence', ({ spec }) => spec?.matchingPrecedence ?? 0, integer),
    column('DistinguisherMethod', ({ spec }) => spec?.distinguisherMethod?.type ?? '<none>'),
    ageOf(),
    column('MissingPL', ({ status }) => status?.conditions?.find((c) => c.type === 'Dangling')?.status ?? '?'),
  ],
  validate: flowSchemaErrors,
})

const queuing = ({ spec }: PriorityLevelConfiguration) => spec?.limited?.limitResponse?.queuing

export const priorityLevelResource = defineResource<PriorityLevelConfiguration>({
  of: PriorityLevelConfiguration,
  statusKeeps: ALL_METADATA,
  generation: 'spec',
  columns: [
    column('Type', ({ spec }) => spec?.type ?? ''),
    column('NominalConcurrencyShares', ({ spec }) => String((spec?.limited ?? spec?.exempt)?.nominalConcurrencyShares ?? '<none>')),
    column('Queues', (level) => String(queuing(level)?.queues ?? '<none>')),
    column('HandSize', (level) => String(queuing(level)?.handSize ?? '<none>')),
    column('QueueLengthLimit', (level) => String(queuing(level)?.queueLengthLimit ?? '<none>')),
    ageOf(),
  ],
  validate: priorityLevelErrors,
})

export const priorityClassResource = defineResource<PriorityClass>({
  of: PriorityClass,
  shortNames: ['pc'],
  generation: 'all',
  columns: [
    column('Value', ({ value }) => value ?? 0, integer),
    column('Global-Default', ({ globalDefault }) => globalDefault ?? false, { type: 'boolean' }),
    ageOf(),
    column('PreemptionPolicy', ({ preemptionPolicy }) => preemptionPolicy ?? ''),
  ],
  validate: priorityClassErrors,
  validateUpdate: priorityClassUpdateErrors,
})

export const runtimeClassResource = defineResource<RuntimeClass>({
  of: RuntimeClass,
  columns: [column('Handler', ({ handler }) => handler), ageOf()],
  validate: runtimeClassErrors,
  validateUpdate: runtimeClassUpdateErrors,
})

export const leaseResource = defineResource<Lease>({
  of: Lease,
  allowCreateOnUpdate: true,
  allowUnconditionalUpdate: false,
  columns: [column('Holder', ({ spec }) => spec?.holderIdentity ?? ''), ageOf()],
  validate: leaseErrors,
})
