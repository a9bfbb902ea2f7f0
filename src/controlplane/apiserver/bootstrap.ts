// What a cluster has before anybody asks: namespaces, roles and bindings, priority classes, the `kubernetes` Service.
import {
  ClusterRole,
  ClusterRoleBinding,
  ConfigMap,
  findResource,
  type JsonObject,
  type Kind,
  Namespace,
  type PolicyRule,
  PriorityClass,
  type ResourceType,
  Role,
  RoleBinding,
} from '../../api/index.js'
import { isStatus } from '../../lib/index.js'
import {
  type BindingDefinition,
  CLUSTER_ROLE_BINDINGS,
  CLUSTER_ROLES,
  parseRule,
  ROLE_BINDINGS,
  ROLES,
  type RoleDefinition,
} from './authorization/bootstrap-policy.js'
import { missingRules } from './authorization/rules.js'
import type { User } from './http/context.js'
import type { ApiServerOptions } from './options.js'
import { type Backend, keyFor, rememberedObject } from './registry/backend.js'
import type { WriteRequest, Writer } from './registry/writer.js'

export const LOOPBACK: User = { name: 'system:apiserver', groups: ['system:masters'], extra: {} }

export const SYSTEM_NAMESPACES = ['default', 'kube-system', 'kube-public', 'kube-node-lease'] as const

const POLICY_META = {
  labels: { 'kubernetes.io/bootstrapping': 'rbac-defaults' },
  annotations: { 'rbac.authorization.kubernetes.io/autoupdate': 'true' },
}

export const typeFor = (kind: Kind): ResourceType => {
  const type = findResource(kind.group, kind.version, kind.plural)
  if (!type) throw new Error(`${kind.apiVersion} ${kind.kind} is not in the table`)
  return type
}

export const systemRequest = (kind: Kind, namespace: string, name: string): WriteRequest => ({
  type: typeFor(kind),
  namespace,
  name,
  subresource: '',
  user: LOOPBACK,
  dryRun: false,
  fieldManager: 'kube-apiserver',
  warnings: [],
})

function roleObject(kind: Kind, { name, namespace, rules, labels, aggregate }: RoleDefinition): JsonObject {
  return {
    apiVersion: kind.apiVersion,
    kind: kind.kind,
    metadata: { name, ...(namespace && { namespace }), ...POLICY_META, labels: { ...POLICY_META.labels, ...labels } },
    ...(aggregate && { aggregationRule: { clusterRoleSelectors: [{ matchLabels: { [aggregate]: 'true' } }] } }),
    rules: rules.map(parseRule) as unknown as JsonObject[],
  }
}

function bindingObject(kind: Kind, { name, namespace, role, roleKind = 'ClusterRole', subjects }: BindingDefinition): JsonObject {
  return {
    apiVersion: kind.apiVersion,
    kind: kind.kind,
    metadata: { name, ...(namespace && { namespace }), ...POLICY_META },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: roleKind, name: role },
    subjects: subjects.map((subject) => {
      const [type = '', ...rest] = subject.split(':')
      const text = rest.join(':')
      if (type !== 'ServiceAccount') return { apiGroup: 'rbac.authorization.k8s.io', kind: type, name: text }
      const [space = '', account = ''] = text.split('/')
      return { kind: 'ServiceAccount', namespace: space, name: account }
    }),
  }
}

const priority = (name: string, value: number, description: string): JsonObject => ({
  apiVersion: PriorityClass.apiVersion,
  kind: 'PriorityClass',
  metadata: { name },
  value,
  description,
})

/** Makes what is missing; leaves what is there. */
async function ensure(backend: Backend, writer: Writer, kind: Kind, objects: readonly JsonObject[]): Promise<void> {
  const type = typeFor(kind)
  const cache = await backend.feed.fresh(type.storagePrefix)
  await Promise.all(
    objects.map(async (object) => {
      const { name, namespace = '' } = object.metadata as { name: string; namespace?: string }
      if (cache.get(keyFor(type, namespace, name))) return
      try {
        await writer.create(systemRequest(kind, namespace, ''), object)
      } catch (error) {
        if (!isStatus(error, 'AlreadyExists')) throw error
      }
    }),
  )
}

/** Roles that a newer version knows more rules for get them, unless an administrator turned that off. */
async function extendRoles(backend: Backend, writer: Writer, kind: Kind, definitions: readonly RoleDefinition[]): Promise<void> {
  const type = typeFor(kind)
  const cache = await backend.feed.fresh(type.storagePrefix)
  for (const { name, namespace = '', rules } of definitions) {
    const entry = cache.get(keyFor(type, namespace, name))
    if (!entry || rules.length === 0) continue
    const role = rememberedObject(entry) as ClusterRole
    if (role.metadata.annotations?.['rbac.authorization.kubernetes.io/autoupdate'] === 'false') continue
    const missing = missingRules(role.rules ?? [], rules.map(parseRule))
    if (missing.length === 0) continue
    await writer.update(
      systemRequest(kind, namespace, name),
      (previous) => {
        const present = (previous as ClusterRole).rules ?? []
        return { ...previous, rules: [...present, ...missing] as PolicyRule[] } as unknown as JsonObject
      },
      { exact: false },
    )
  }
}

export async function bootstrap(backend: Backend, writer: Writer): Promise<void> {
  const namespaces = SYSTEM_NAMESPACES.map((name): JsonObject => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } }))
  await ensure(backend, writer, Namespace, namespaces)
  await Promise.all([
    ensure(backend, writer, PriorityClass, [
      priority(
        'system-cluster-critical',
        2_000_000_000,
        'Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.',
      ),
      priority('system-node-critical', 2_000_001_000, 'Used for system critical pods that must not be moved from their current node.'),
    ]),
    ensure(
      backend,
      writer,
      ClusterRole,
      CLUSTER_ROLES.map((role) => roleObject(ClusterRole, role)),
    ),
    ensure(
      backend,
      writer,
      ClusterRoleBinding,
      CLUSTER_ROLE_BINDINGS.map((binding) => bindingObject(ClusterRoleBinding, binding)),
    ),
    ensure(
      backend,
      writer,
      Role,
      ROLES.map((role) => roleObject(Role, role)),
    ),
    ensure(
      backend,
      writer,
      RoleBinding,
      ROLE_BINDINGS.map((binding) => bindingObject(RoleBinding, binding)),
    ),
  ])
  await extendRoles(backend, writer, ClusterRole, CLUSTER_ROLES)
  await extendRoles(backend, writer, Role, ROLES)
}

/** Tells extension servers whom to believe: the authorities of clients, and of the proxy that names users in headers. */
export async function publishAuthentication(
  writer: Writer,
  { clientCa, frontProxy }: Pick<ApiServerOptions, 'clientCa' | 'frontProxy'>,
): Promise<void> {
  if (!clientCa && !frontProxy) return
  const list = (...words: readonly string[]): string => JSON.stringify(words)
  const data = {
    ...(clientCa && { 'client-ca-file': clientCa }),
    ...(frontProxy && {
      'requestheader-allowed-names': list(...(frontProxy.allowedNames ?? [])),
      'requestheader-client-ca-file': frontProxy.ca,
      'requestheader-extra-headers-prefix': list('X-Remote-Extra-'),
      'requestheader-group-headers': list('X-Remote-Group'),
      'requestheader-uid-headers': list('X-Remote-Uid'),
      'requestheader-username-headers': list('X-Remote-User'),
    }),
  }
  const name = 'extension-apiserver-authentication'
  const object = (): JsonObject => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'kube-system' }, data })
  await writer.update(systemRequest(ConfigMap, 'kube-system', name), (previous) => ({ ...(previous as unknown as JsonObject), data }), {
    exact: false,
    create: object,
  })
}
