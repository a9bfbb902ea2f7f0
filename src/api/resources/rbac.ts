// Roles and who has them.
import { ageOf, column } from '../columns.js'
import { defineResource } from '../define-resource.js'
import { ClusterRole, ClusterRoleBinding, type RbacV1Subject, Role, RoleBinding } from '../generated/kinds.js'
import { pathSegmentErrors } from '../names.js'
import { bindingErrors, bindingUpdateErrors, clusterRoleErrors, roleErrors } from '../validation/rbac.js'

interface Bound {
  readonly subjects?: readonly RbacV1Subject[] | undefined
}

const subjects = (binding: Bound, kind: string): string =>
  (binding.subjects ?? [])
    .filter((s) => s.kind === kind)
    .map((s) => (kind === 'ServiceAccount' ? `${s.namespace ?? ''}/${s.name}` : s.name))
    .join(', ')

const createdAt = <T extends Role | ClusterRole>() =>
  column<T>('Created At', ({ metadata }) => metadata.creationTimestamp ?? '', { type: 'date', description: 'When the object was made.' })

const bindingColumns = <T extends RoleBinding | ClusterRoleBinding>() => [
  column<T>('Role', ({ roleRef }) => `${roleRef?.kind}/${roleRef?.name}`),
  ageOf<T>(),
  column<T>('Users', (binding) => subjects(binding, 'User'), { wide: true }),
  column<T>('Groups', (binding) => subjects(binding, 'Group'), { wide: true }),
  column<T>('ServiceAccounts', (binding) => subjects(binding, 'ServiceAccount'), { wide: true }),
]

export const roleResource = defineResource<Role>({ of: Role, name: pathSegmentErrors, columns: [createdAt()], validate: roleErrors })

export const clusterRoleResource = defineResource<ClusterRole>({
  of: ClusterRole,
  name: pathSegmentErrors,
  columns: [createdAt()],
  validate: clusterRoleErrors,
})

export const roleBindingResource = defineResource<RoleBinding>({
  of: RoleBinding,
  name: pathSegmentErrors,
  columns: bindingColumns(),
  validate: (binding) => bindingErrors(binding, { cluster: false }),
  validateUpdate: bindingUpdateErrors,
})

export const clusterRoleBindingResource = defineResource<ClusterRoleBinding>({
  of: ClusterRoleBinding,
  name: pathSegmentErrors,
  columns: bindingColumns(),
  validate: (binding) => bindingErrors(binding, { cluster: true }),
  validateUpdate: bindingUpdateErrors,
})
