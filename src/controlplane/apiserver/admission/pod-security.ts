// Pod Security: a namespace's labels say which level its pods must keep, which is noted, and which is warned about.
import {
  equalJson,
  type FieldError,
  forbiddenError,
  invalid,
  isObject,
  type JsonObject,
  Namespace,
  Pod,
  type PodSpec,
  throwIfInvalid,
} from '../../../api/index.js'
import type { Reader } from '../registry/backend.js'
import type { AdmissionPlugin, AdmissionRequest } from './plugin.js'
import { describeViolations, type Level, type PodFacts, podViolations } from './pod-security-checks.js'

const PREFIX = 'pod-security.kubernetes.io/'
const LEVELS: readonly string[] = ['privileged', 'baseline', 'restricted']
const VERSION = /^(latest|v1\.(0|[1-9]\d*))$/

const levelOf = (labels: Readonly<Record<string, string>>, mode: 'enforce' | 'audit' | 'warn'): Level => {
  const level = labels[`${PREFIX}${mode}`]
  if (level === undefined) return 'privileged'
  // An unreadable wish is taken as the strictest one.
  return LEVELS.includes(level) ? (level as Level) : 'restricted'
}

/** Where the pod template of each workload kind is. */
const TEMPLATES: Readonly<Record<string, readonly string[]>> = {
  '/podtemplates': ['template'],
  '/replicationcontrollers': ['spec', 'template'],
  'apps/replicasets': ['spec', 'template'],
  'apps/deployments': ['spec', 'template'],
  'apps/statefulsets': ['spec', 'template'],
  'apps/daemonsets': ['spec', 'template'],
  'batch/jobs': ['spec', 'template'],
  'batch/cronjobs': ['spec', 'jobTemplate', 'spec', 'template'],
}

function factsOf(object: JsonObject | undefined, path: readonly string[]): PodFacts | undefined {
  let value: unknown = object
  for (const step of path) value = isObject(value) ? value[step] : undefined
  if (!isObject(value) || !isObject(value.spec)) return undefined
  const annotations = (isObject(value.metadata) ? value.metadata.annotations : undefined) ?? {}
  return { spec: value.spec as unknown as PodSpec, annotations: annotations as Record<string, string> }
}

const labelsOf = (object: unknown): Readonly<Record<string, string>> =>
  ((object as { metadata?: { labels?: Record<string, string> } } | undefined)?.metadata?.labels ?? {}) as Record<string, string>

function checkLabels({ object, type, name }: AdmissionRequest): void {
  const labels = labelsOf(object)
  const errors: FieldError[] = []
  for (const mode of ['enforce', 'audit', 'warn']) {
    const level = labels[`${PREFIX}${mode}`]
    const version = labels[`${PREFIX}${mode}-version`]
    const at = `metadata.labels[${PREFIX}${mode}`
    if (level !== undefined && !LEVELS.includes(level)) errors.push(invalid(`${at}]`, level, `must be one of ${LEVELS.join(', ')}`))
    if (version !== undefined && !VERSION.test(version)) errors.push(invalid(`${at}-version]`, version, 'must be "latest" or "v1.x"'))
  }
  throwIfInvalid({ group: type.group, kind: type.kind, name }, errors)
}

const versionOf = (labels: Readonly<Record<string, string>>, mode: string): string => labels[`${PREFIX}${mode}-version`] ?? 'latest'

/** What the pods that are there say to a stricter level: one sentence for each kind of trouble. */
function existingPods({ object, old, name }: AdmissionRequest, pods: () => Promise<readonly Pod[]>): Promise<string[]> {
  const labels = labelsOf(object)
  const before = labelsOf(old)
  const level = levelOf(labels, 'enforce')
  const sameVersion = versionOf(labels, 'enforce') === versionOf(before, 'enforce')
  if (level === 'privileged' || (sameVersion && LEVELS.indexOf(level) <= LEVELS.indexOf(levelOf(before, 'enforce'))))
    return Promise.resolve([])
  return pods().then((present) => {
    const found = new Map<string, string[]>()
    for (const { metadata, spec } of present) {
      const violations = podViolations({ spec: spec as PodSpec, annotations: metadata.annotations ?? {} }, level)
      if (violations.length === 0) continue
      const reasons = violations.map(({ reason }) => reason).join(', ')
      found.set(reasons, [...(found.get(reasons) ?? []), metadata.name])
    }
    const sentences = [...found].map(([reasons, [first, ...others]]) => {
      const more = others.length === 0 ? '' : ` (and ${others.length} other ${others.length === 1 ? 'pod' : 'pods'})`
      return `${first}${more}: ${reasons}`
    })
    if (sentences.length === 0) return []
    const wanted = JSON.stringify(`${level}:${versionOf(labels, 'enforce')}`)
    return [`existing pods in namespace ${JSON.stringify(name)} violate the new PodSecurity enforce level ${wanted}`, ...sentences.sort()]
  })
}

/** What an update of a pod may change without its being looked at again: neither images nor rights. */
const unchanged = (request: AdmissionRequest): boolean =>
  request.operation === 'UPDATE' &&
  equalJson((request.object as unknown as { spec?: unknown }).spec, (request.old as unknown as { spec?: unknown } | undefined)?.spec)

export function podSecurity(reader: Reader): AdmissionPlugin {
  return {
    name: 'PodSecurity',
    async validate(request) {
      const { operation, type, subresource, namespace, object, name, warnings } = request
      if (operation !== 'CREATE' && operation !== 'UPDATE') return
      const where = `${type.group}/${type.plural}`
      if (where === '/namespaces') {
        if (subresource !== '') return
        checkLabels(request)
        if (operation === 'UPDATE') warnings.push(...(await existingPods(request, () => reader.list(Pod, name))))
        return
      }
      const isPod = where === '/pods' && (subresource === '' || subresource === 'ephemeralcontainers' || subresource === 'resize')
      const template = subresource === '' ? TEMPLATES[where] : undefined
      if ((!isPod && !template) || unchanged(request)) return
      const labels = (await reader.find(Namespace, '', namespace))?.metadata.labels ?? {}
      const facts = factsOf(object, isPod ? [] : (template ?? []))
      if (!facts) return
      if (isPod) {
        const enforced = levelOf(labels, 'enforce')
        const violations = podViolations(facts, enforced)
        if (violations.length > 0) {
          const version = labels[`${PREFIX}enforce-version`] ?? 'latest'
          throw forbiddenError(type, name, `violates PodSecurity "${enforced}:${version}": ${describeViolations(violations)}`)
        }
      }
      const warned = levelOf(labels, 'warn')
      const found = podViolations(facts, warned)
      if (found.length > 0)
        warnings.push(`would violate PodSecurity "${warned}:${labels[`${PREFIX}warn-version`] ?? 'latest'}": ${describeViolations(found)}`)
    },
  }
}
