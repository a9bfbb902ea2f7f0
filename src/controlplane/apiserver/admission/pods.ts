// Plugins that complete pods: tolerations, priority, overhead, service account.
import {
  forbiddenError,
  type JsonObject,
  type Pod,
  PriorityClass,
  RuntimeClass,
  ServiceAccount,
  type Toleration,
  type VolumeMount,
} from '../../../api/index.js'
import { ApiError, nameSuffix, type Random } from '../../../lib/index.js'
import type { Reader } from '../registry/backend.js'
import type { AdmissionPlugin, AdmissionRequest } from './plugin.js'

const isPodCreate = ({ operation, type, subresource }: AdmissionRequest): boolean =>
  operation === 'CREATE' && type.group === '' && type.plural === 'pods' && subresource === ''

const specOf = (object: JsonObject | undefined): JsonObject => (object?.spec ?? {}) as JsonObject

/** What a refused pod is called: while its name is yet to be generated, what that will begin with. */
function shownName({ name, object }: AdmissionRequest): string {
  const generateName = (object?.metadata as JsonObject | undefined)?.generateName as string | undefined
  return name || generateName || 'Unknown'
}

/** Pods stay five minutes on a node that is not ready or cannot be reached, unless they say otherwise. */
export const defaultTolerationSeconds: AdmissionPlugin = {
  name: 'DefaultTolerationSeconds',
  admit(request) {
    if (!isPodCreate(request)) return
    const spec = specOf(request.object)
    const tolerations = (spec.tolerations ?? []) as unknown as Toleration[]
    const covers = (key: string): boolean =>
      tolerations.some(
        (toleration) => (toleration.key === key || !toleration.key) && (toleration.effect === 'NoExecute' || !toleration.effect),
      )
    const added = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable']
      .filter((key) => !covers(key))
      .map((key): Toleration => ({ key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 }))
    if (added.length > 0) spec.tolerations = [...tolerations, ...added] as unknown as JsonObject[]
  },
}

/** Memory pressure does not keep those away who asked for memory. */
export const podTolerationOfPressure: AdmissionPlugin = {
  name: 'PodTolerationOfPressure',
  admit(request) {
    if (!isPodCreate(request)) return
    const spec = specOf(request.object) as unknown as NonNullable<Pod['spec']>
    const asks = spec.containers?.some(({ resources }) =>
      Object.keys({ ...resources?.requests, ...resources?.limits }).some((name) => name === 'cpu' || name === 'memory'),
    )
    if (!asks) return
    const key = 'node.kubernetes.io/memory-pressure'
    if (spec.tolerations?.some((toleration) => toleration.key === key)) return
    ;(specOf(request.object) as { tolerations?: unknown }).tolerations = [
      ...(spec.tolerations ?? []),
      { key, operator: 'Exists', effect: 'NoSchedule' },
    ]
  },
}

const SYSTEM_PRIORITY = 1_000_000_000

export function priority(reader: Reader): AdmissionPlugin {
  return {
    name: 'Priority',
    async admit(request) {
      const { type, operation, object } = request
      if (isPodCreate(request)) {
        const spec = specOf(object)
        const named = (spec.priorityClassName ?? '') as string
        let found: PriorityClass | undefined
        if (named === '') {
          const defaults = (await reader.list(PriorityClass)).filter(({ globalDefault }) => globalDefault)
          found = defaults.sort((a, b) => (a.value ?? 0) - (b.value ?? 0))[0]
        } else {
          found = await reader.find(PriorityClass, '', named)
          if (!found) throw forbiddenError(type, shownName(request), `no PriorityClass with name ${named} was found`)
        }
        const value = found?.value ?? 0
        if (spec.priority !== undefined && spec.priority !== null && spec.priority !== value) {
          throw forbiddenError(
            type,
            shownName(request),
            `the integer value of priority (${String(spec.priority)}) must not be provided in pod spec; priority admission controller computed ${value} from the given PriorityClass name`,
          )
        }
        const policy = found?.preemptionPolicy ?? 'PreemptLowerPriority'
        if (spec.preemptionPolicy && spec.preemptionPolicy !== policy) {
          throw forbiddenError(
            type,
            shownName(request),
            `the string value of PreemptionPolicy (${String(spec.preemptionPolicy)}) must not be provided in pod spec; priority admission controller computed ${policy} from the given PriorityClass name`,
          )
        }
        if (found) spec.priorityClassName = found.metadata.name
        spec.priority = value
        spec.preemptionPolicy = policy
        return
      }
      if (type.group === 'scheduling.k8s.io' && type.plural === 'priorityclasses' && operation !== 'DELETE') {
        const wanted = object as unknown as PriorityClass
        if (wanted.globalDefault) {
          const other = (await reader.list(PriorityClass)).find(
            ({ globalDefault, metadata }) => globalDefault && metadata.name !== wanted.metadata.name,
          )
          if (other)
            throw forbiddenError(
              type,
              wanted.metadata.name,
              `PriorityClass ${other.metadata.name} is already marked as default. Only one default can exist`,
            )
        }
        const systemName = wanted.metadata.name?.startsWith('system-')
        if (operation === 'CREATE' && (wanted.value ?? 0) > SYSTEM_PRIORITY && !systemName) {
          throw new ApiError(
            'Forbidden',
            `priorityclasses.scheduling.k8s.io ${JSON.stringify(wanted.metadata.name)} is forbidden: maximum allowed value of a user defined priority is ${SYSTEM_PRIORITY}`,
          )
        }
      }
    },
  }
}

/** A pod's runtime class tells what the runtime itself costs, and where it is. */
export function runtimeClass(reader: Reader): AdmissionPlugin {
  return {
    name: 'RuntimeClass',
    async admit(request) {
      if (!isPodCreate(request)) return
      const spec = specOf(request.object)
      const name = spec.runtimeClassName as string | undefined
      const refuse = (detail: string): never => {
        throw forbiddenError(request.type, shownName(request), detail)
      }
      if (!name) {
        if (spec.overhead && Object.keys(spec.overhead).length > 0)
          refuse('pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead')
        return
      }
      const found = await reader.find(RuntimeClass, '', name)
      if (!found) return refuse(`pod rejected: RuntimeClass ${JSON.stringify(name)} not found`)
      const fixed = found.overhead?.podFixed
      if (fixed) {
        if (spec.overhead && JSON.stringify(spec.overhead) !== JSON.stringify(fixed))
          refuse("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
        spec.overhead = { ...fixed } as JsonObject
      }
      const { nodeSelector, tolerations } = found.scheduling ?? {}
      for (const [key, value] of Object.entries(nodeSelector ?? {})) {
        const selector = (spec.nodeSelector ?? {}) as Record<string, string>
        if (selector[key] !== undefined && selector[key] !== value)
          refuse(`conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${selector[key]}`)
        spec.nodeSelector = { ...selector, [key]: value }
      }
      if (tolerations?.length) {
        const present = (spec.tolerations ?? []) as JsonObject[]
        const missing = tolerations.filter((one) => !present.some((other) => JSON.stringify(other) === JSON.stringify(one)))
        spec.tolerations = [...present, ...(missing as unknown as JsonObject[])]
      }
    },
  }
}

const TOKEN_PATH = '/var/run/secrets/kubernetes.io/serviceaccount'
const MIRROR = 'kubernetes.io/config.mirror'

function tokenVolume(name: string): JsonObject {
  return {
    name,
    projected: {
      defaultMode: 420,
      sources: [
        { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        { downwardAPI: { items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }] } },
      ],
    },
  }
}

/** Each container that mounts nothing there gets the token. */
function mountToken(spec: JsonObject, random: Random): void {
  const volumes = (spec.volumes ?? []) as JsonObject[]
  const name = `kube-api-access-${nameSuffix(random)}`
  let used = false
  for (const list of [spec.initContainers, spec.containers] as (JsonObject[] | undefined)[]) {
    for (const container of list ?? []) {
      const mounts = (container.volumeMounts ?? []) as unknown as VolumeMount[]
      if (mounts.some(({ mountPath }) => mountPath === TOKEN_PATH)) continue
      container.volumeMounts = [...mounts, { name, readOnly: true, mountPath: TOKEN_PATH }] as unknown as JsonObject[]
      used = true
    }
  }
  if (used) spec.volumes = [...volumes, tokenVolume(name)]
}

/** Every pod runs as a service account and gets its token. */
export function serviceAccount(reader: Reader, random: Random): AdmissionPlugin {
  return {
    name: 'ServiceAccount',
    async admit(request) {
      if (!isPodCreate(request)) return
      const { object, namespace, type } = request
      const metadata = (object?.metadata ?? {}) as JsonObject
      const spec = specOf(object)
      const refuse = (detail: string): never => {
        throw forbiddenError(type, shownName(request), detail)
      }
      if ((metadata.annotations as Record<string, string> | undefined)?.[MIRROR] !== undefined) {
        if (spec.serviceAccountName) refuse('a mirror pod may not reference service accounts')
        return
      }
      const name = (spec.serviceAccountName || spec.serviceAccount || 'default') as string
      spec.serviceAccountName = name
      spec.serviceAccount = name
      const account = await reader.find(ServiceAccount, namespace, name)
      if (!account) return refuse(`error looking up service account ${namespace}/${name}: serviceaccount ${JSON.stringify(name)} not found`)
      const wanted = (spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true) as boolean
      if (wanted) mountToken(spec, random)
      if (!(spec.imagePullSecrets as unknown[] | undefined)?.length && account.imagePullSecrets?.length) {
        spec.imagePullSecrets = account.imagePullSecrets.map(({ name: secret }) => ({ name: secret ?? '' }))
      }
    },
  }
}
