// Rules of RBAC as pure functions: what a rule allows, and whether some rules hold all that others do.
import type { PolicyRule } from '../../../api/index.js'

export interface RuleQuestion {
  readonly verb: string
  readonly isResource: boolean
  readonly group: string
  readonly resource: string
  readonly subresource: string
  readonly name: string
  readonly path: string
}

const holds = (list: readonly string[] | undefined, word: string): boolean =>
  list !== undefined && (list.includes('*') || list.includes(word))

function holdsResource(list: readonly string[] | undefined, resource: string, subresource: string): boolean {
  if (!list) return false
  const combined = subresource ? `${resource}/${subresource}` : resource
  return list.includes('*') || list.includes(combined) || (subresource !== '' && list.includes(`*/${subresource}`))
}

const holdsPath = (list: readonly string[] | undefined, path: string): boolean =>
  list?.some((pattern) => pattern === path || (pattern.endsWith('*') && path.startsWith(pattern.slice(0, -1)))) ?? false

export function ruleAllows(rule: PolicyRule, question: RuleQuestion): boolean {
  if (!holds(rule.verbs, question.verb)) return false
  if (!question.isResource) return holdsPath(rule.nonResourceURLs, question.path)
  if (!holds(rule.apiGroups, question.group) || !holdsResource(rule.resources, question.resource, question.subresource)) return false
  return !rule.resourceNames?.length || rule.resourceNames.includes(question.name)
}

/** One verb on one resource (of one name) of one group, or on one path. */
function* atoms(rule: PolicyRule): Generator<PolicyRule> {
  for (const verb of rule.verbs) {
    for (const path of rule.nonResourceURLs ?? []) yield { verbs: [verb], nonResourceURLs: [path] }
    for (const group of rule.apiGroups ?? []) {
      for (const resource of rule.resources ?? []) {
        const names = rule.resourceNames?.length ? rule.resourceNames : [undefined]
        for (const name of names)
          yield { verbs: [verb], apiGroups: [group], resources: [resource], ...(name !== undefined && { resourceNames: [name] }) }
      }
    }
  }
}

function coversAtom(owned: PolicyRule, atom: PolicyRule): boolean {
  if (!holds(owned.verbs, atom.verbs[0] ?? '')) return false
  const path = atom.nonResourceURLs?.[0]
  if (path !== undefined) return holdsPath(owned.nonResourceURLs, path)
  if (!holds(owned.apiGroups, atom.apiGroups?.[0] ?? '')) return false
  const [resource = '', subresource = ''] = (atom.resources?.[0] ?? '').split('/')
  if (!holdsResource(owned.resources, resource, subresource)) return false
  const name = atom.resourceNames?.[0]
  return !owned.resourceNames?.length || (name !== undefined && owned.resourceNames.includes(name))
}

/** Parts of `wanted` that `owned` does not hold. */
export function missingRules(owned: readonly PolicyRule[], wanted: readonly PolicyRule[]): PolicyRule[] {
  return wanted.flatMap((rule) => [...atoms(rule)].filter((atom) => !owned.some((own) => coversAtom(own, atom))))
}

const list = (words: readonly string[]): string => `[${words.map((word) => JSON.stringify(word)).join(' ')}]`.replaceAll('" "', '", "')

/** As Kubernetes prints rules in refusals. */
export function describeRule({ apiGroups, resources, resourceNames, nonResourceURLs, verbs }: PolicyRule): string {
  const parts = [
    apiGroups && `APIGroups:${list(apiGroups)}`,
    resources && `Resources:${list(resources)}`,
    resourceNames && `ResourceNames:${list(resourceNames)}`,
    nonResourceURLs && `NonResourceURLs:${list(nonResourceURLs)}`,
    `Verbs:${list(verbs)}`,
  ]
  return `{${parts.filter(Boolean).join(', ')}}`
}
