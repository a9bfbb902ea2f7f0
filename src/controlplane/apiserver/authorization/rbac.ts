// RBAC: bindings give users the rules of roles.
import {
  ClusterRole,
  ClusterRoleBinding,
  findResource,
  type Kind,
  type PolicyRule,
  type Resource,
  type ResourceType,
  Role,
  RoleBinding,
  type RoleRef,
} from '../../../api/index.js'
import type { User } from '../http/context.js'
import { keyFor, rememberedObject } from '../registry/backend.js'
import type { ResourceCache } from '../registry/cache.js'
import type { Feed } from '../registry/feed.js'
import type { Authorizer } from './authorizer.js'
import { ruleAllows } from './rules.js'

interface Grant {
  /** '' is everywhere. */
  readonly namespace: string
  readonly roleRef: RoleRef
}

export interface RulesOf {
  readonly rules: readonly PolicyRule[]
  /** Roles that bindings name and that are not there. */
  readonly problems: readonly string[]
}

export interface Rbac extends Authorizer {
  /** All rules a user has in a namespace ('' for those of the cluster alone). */
  rulesFor(user: User, namespace: string): Promise<RulesOf>
  /** The rules of the role that a binding (in `namespace`) refers to; undefined when it is not there. */
  resolve(roleRef: RoleRef, namespace: string): Promise<readonly PolicyRule[] | undefined>
}

type Binding = RoleBinding | ClusterRoleBinding

const typeOf = (kind: Kind): ResourceType => findResource(kind.group, kind.version, kind.plural) as ResourceType

/** Whom a subject of a binding means, as one word. */
function subjectKey(subject: NonNullable<Binding['subjects']>[number], namespace: string): string {
  if (subject.kind === 'ServiceAccount') return `User system:serviceaccount:${subject.namespace || namespace}:${subject.name}`
  return `${subject.kind} ${subject.name}`
}

/** Bindings by subject; made anew when a binding changed. */
function bindingIndex(cache: ResourceCache): () => ReadonlyMap<string, readonly Grant[]> {
  let changed = -1
  let index = new Map<string, Grant[]>()
  return () => {
    if (changed === cache.changed) return index
    changed = cache.changed
    index = new Map()
    for (const entry of cache.slice()) {
      const binding = rememberedObject(entry) as Binding
      const grant: Grant = { namespace: entry.namespace, roleRef: binding.roleRef }
      for (const subject of binding.subjects ?? []) {
        const key = subjectKey(subject, entry.namespace)
        const grants = index.get(key)
        if (grants) grants.push(grant)
        else index.set(key, [grant])
      }
    }
    return index
  }
}

export function createRbac(feed: Feed): Rbac {
  const indexes = new WeakMap<ResourceCache, () => ReadonlyMap<string, readonly Grant[]>>()
  const indexOf = async (kind: Kind): Promise<ReadonlyMap<string, readonly Grant[]>> => {
    const cache = await feed.cache(typeOf(kind).storagePrefix)
    let index = indexes.get(cache)
    if (!index) {
      index = bindingIndex(cache)
      indexes.set(cache, index)
    }
    return index()
  }
  const find = async (kind: Kind, namespace: string, name: string): Promise<Resource | undefined> => {
    const type = typeOf(kind)
    const entry = (await feed.cache(type.storagePrefix)).get(keyFor(type, namespace, name))
    return entry && rememberedObject(entry)
  }
  const resolve: Rbac['resolve'] = async ({ kind, name }, namespace) => {
    const role = (kind === 'ClusterRole' ? await find(ClusterRole, '', name) : await find(Role, namespace, name)) as ClusterRole | undefined
    return role && (role.rules ?? [])
  }

  /** Grants of a user that hold in `namespace`, cluster-wide ones first. */
  async function* grants(user: User, namespace: string): AsyncGenerator<Grant> {
    const keys = [`User ${user.name}`, ...user.groups.map((group) => `Group ${group}`)]
    const everywhere = await indexOf(ClusterRoleBinding)
    for (const key of keys) yield* everywhere.get(key) ?? []
    if (!namespace) return
    const inNamespaces = await indexOf(RoleBinding)
    for (const key of keys) for (const grant of inNamespaces.get(key) ?? []) if (grant.namespace === namespace) yield grant
  }

  const missing = ({ kind, name }: RoleRef): string => `${kind.toLowerCase()}.rbac.authorization.k8s.io ${JSON.stringify(name)} not found`

  return {
    resolve,
    async rulesFor(user, namespace) {
      const rules: PolicyRule[] = []
      const problems: string[] = []
      for await (const { roleRef, namespace: at } of grants(user, namespace)) {
        const found = await resolve(roleRef, at)
        if (found) rules.push(...found)
        else problems.push(missing(roleRef))
      }
      return { rules, problems }
    },
    async authorize(attributes) {
      const problems: string[] = []
      for await (const { roleRef, namespace } of grants(attributes.user, attributes.isResource ? attributes.namespace : '')) {
        const rules = await resolve(roleRef, namespace)
        if (!rules) problems.push(missing(roleRef))
        else if (rules.some((rule) => ruleAllows(rule, attributes))) {
          return { allowed: true, reason: `RBAC: allowed by ${roleRef.kind} ${JSON.stringify(roleRef.name)}` }
        }
      }
      return {
        allowed: false,
        reason: problems.length > 0 ? `RBAC: ${problems.length > 1 ? `[${problems.join(', ')}]` : problems[0]}` : '',
      }
    },
  }
}
