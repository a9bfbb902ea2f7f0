// Containers: names, images, ports, environment, mounts, resources, probes, security.
import { duplicate, type FieldError, forbidden, invalid, notFound, notSupported, required } from '../field-error.js'
import type {
  Container,
  ContainerPort,
  EnvFromSource,
  EnvVar,
  EphemeralContainer,
  Lifecycle,
  LifecycleHandler,
  Probe,
  ResourceRequirements,
  VolumeMount,
} from '../generated/kinds.js'
import { isIP } from '../ip.js'
import {
  configKeyErrors,
  dnsLabelErrors,
  dnsSubdomainErrors,
  envNameErrors,
  portNameErrors,
  portNumberErrors,
  qualifiedNameErrors,
} from '../names.js'
import { compareQuantities, parseQuantity } from '../quantity.js'
import { localPathErrors, nonNegativeErrors, oneOfErrors, requiredText, textErrors } from './common.js'
import { securityErrors } from './security.js'

export const protocols = ['TCP', 'UDP', 'SCTP'] as const

export interface PodContext {
  readonly volumes: ReadonlySet<string>
  /** Volumes that are block devices or may be: claims. */
  readonly claims: ReadonlySet<string>
  readonly resourceClaims: ReadonlySet<string>
  readonly hostNetwork: boolean
  readonly restartPolicy: string
  /** Set while a pod waits for its gates; templates are checked as pods are. */
  readonly graceSeconds: number | undefined
}

function portErrors(ports: readonly ContainerPort[], path: string, context: PodContext): FieldError[] {
  const errors: FieldError[] = []
  const names = new Set<string>()
  ports.forEach((port, index) => {
    const at = `${path}[${index}]`
    if (port.name) {
      const wrong = textErrors(port.name, portNameErrors, `${at}.name`)
      errors.push(...wrong)
      if (wrong.length === 0 && names.has(port.name)) errors.push(duplicate(`${at}.name`, port.name))
      names.add(port.name)
    }
    if (!port.containerPort) errors.push(required(`${at}.containerPort`))
    else for (const detail of portNumberErrors(port.containerPort)) errors.push(invalid(`${at}.containerPort`, port.containerPort, detail))
    if (port.hostPort) {
      for (const detail of portNumberErrors(port.hostPort)) errors.push(invalid(`${at}.hostPort`, port.hostPort, detail))
      if (context.hostNetwork && port.hostPort !== port.containerPort)
        errors.push(invalid(`${at}.hostPort`, port.hostPort, 'must match `containerPort` when `hostNetwork` is true'))
    }
    errors.push(...oneOfErrors(port.protocol, protocols, `${at}.protocol`))
    if (port.hostIP && !isIP(port.hostIP))
      errors.push(invalid(`${at}.hostIP`, port.hostIP, 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'))
  })
  return errors
}

const fieldPaths = [
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
  'spec.nodeName',
  'spec.serviceAccountName',
  'status.hostIP',
  'status.hostIPs',
  'status.podIP',
  'status.podIPs',
]
const resourceFields = [
  'limits.cpu',
  'limits.memory',
  'limits.ephemeral-storage',
  'requests.cpu',
  'requests.memory',
  'requests.ephemeral-storage',
]

/** Which fields of the pod the downward API may show; `keys` are those of labels and annotations. */
export function fieldRefErrors(
  reference: { readonly apiVersion?: string | undefined; readonly fieldPath?: string | undefined },
  path: string,
  allowed: readonly string[],
): FieldError[] {
  const { fieldPath } = reference
  if (!reference.apiVersion) return [required(`${path}.apiVersion`)]
  if (!fieldPath) return [required(`${path}.fieldPath`)]
  const subscript = /^(metadata\.(?:labels|annotations))\['(.*)'\]$/.exec(fieldPath)
  if (subscript)
    return textErrors(
      subscript[1] === 'metadata.annotations' ? (subscript[2] ?? '').toLowerCase() : (subscript[2] ?? ''),
      qualifiedNameErrors,
      path,
    )
  if (reference.apiVersion !== 'v1')
    return [invalid(`${path}.fieldPath`, fieldPath, `error converting fieldPath: unsupported pod version: ${reference.apiVersion}`)]
  return allowed.includes(fieldPath) ? [] : [notSupported(`${path}.fieldPath`, fieldPath, allowed)]
}

export function resourceFieldRefErrors(
  reference: { readonly containerName?: string | undefined; readonly resource?: string | undefined; readonly divisor?: string | undefined },
  path: string,
  options: { readonly volume: boolean },
): FieldError[] {
  const errors: FieldError[] = []
  if (options.volume && !reference.containerName) errors.push(required(`${path}.containerName`))
  if (!reference.resource) errors.push(required(`${path}.resource`))
  else if (!resourceFields.includes(reference.resource) && !/^(limits|requests)\.hugepages-/.test(reference.resource))
    errors.push(notSupported(`${path}.resource`, reference.resource, resourceFields))
  return errors
}

function envErrors(env: readonly EnvVar[], path: string): FieldError[] {
  const errors: FieldError[] = []
  env.forEach((variable, index) => {
    const at = `${path}[${index}]`
    errors.push(...requiredText(variable.name, envNameErrors, `${at}.name`))
    const source = variable.valueFrom
    if (!source) return
    const from = `${at}.valueFrom`
    const set = [source.fieldRef, source.resourceFieldRef, source.configMapKeyRef, source.secretKeyRef, source.fileKeyRef].filter(
      Boolean,
    ).length
    if (set === 0)
      errors.push(
        invalid(from, '', 'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`'),
      )
    else if (variable.value) errors.push(invalid(from, '', 'may not be specified when `value` is not empty'))
    else if (set > 1) errors.push(invalid(from, '', 'may not have more than one field specified at a time'))
    if (source.fieldRef) errors.push(...fieldRefErrors(source.fieldRef, `${from}.fieldRef`, fieldPaths))
    if (source.resourceFieldRef)
      errors.push(...resourceFieldRefErrors(source.resourceFieldRef, `${from}.resourceFieldRef`, { volume: false }))
    for (const name of ['configMapKeyRef', 'secretKeyRef'] as const) {
      const reference = source[name]
      if (!reference) continue
      if (!reference.name) errors.push(required(`${from}.${name}.name`))
      errors.push(...requiredText(reference.key, configKeyErrors, `${from}.${name}.key`))
    }
  })
  return errors
}

function envFromErrors(sources: readonly EnvFromSource[], path: string): FieldError[] {
  const errors: FieldError[] = []
  sources.forEach((source, index) => {
    const at = `${path}[${index}]`
    if (source.prefix) errors.push(...textErrors(source.prefix, envNameErrors, `${at}.prefix`))
    const set = [source.configMapRef, source.secretRef].filter(Boolean).length
    if (set === 0) errors.push(invalid(at, '', 'must specify one of: `configMapRef` or `secretRef`'))
    if (set > 1) errors.push(invalid(at, '', 'may not have more than one field specified at a time'))
    for (const name of ['configMapRef', 'secretRef'] as const) {
      const reference = source[name]
      if (reference) errors.push(...requiredText(reference.name, dnsSubdomainErrors, `${at}.${name}.name`))
    }
  })
  return errors
}

function mountErrors(mounts: readonly VolumeMount[], path: string, context: PodContext): FieldError[] {
  const errors: FieldError[] = []
  const places = new Set<string>()
  mounts.forEach((mount, index) => {
    const at = `${path}[${index}]`
    if (!mount.name) errors.push(required(`${at}.name`))
    if (!context.volumes.has(mount.name)) errors.push(notFound(`${at}.name`, mount.name))
    if (!mount.mountPath) errors.push(required(`${at}.mountPath`))
    else if (places.has(mount.mountPath)) errors.push(invalid(`${at}.mountPath`, mount.mountPath, 'must be unique'))
    places.add(mount.mountPath)
    if (mount.subPath) errors.push(...localPathErrors(mount.subPath, `${at}.subPath`))
    if (mount.subPathExpr) {
      if (mount.subPath) errors.push(invalid(`${at}.subPathExpr`, mount.subPathExpr, 'subPathExpr and subPath are mutually exclusive'))
      errors.push(...localPathErrors(mount.subPathExpr, `${at}.subPathExpr`))
    }
    if (mount.mountPropagation)
      errors.push(...oneOfErrors(mount.mountPropagation, ['None', 'HostToContainer', 'Bidirectional'], `${at}.mountPropagation`))
    if (mount.recursiveReadOnly) {
      errors.push(...oneOfErrors(mount.recursiveReadOnly, ['Disabled', 'Enabled', 'IfPossible'], `${at}.recursiveReadOnly`))
      if (mount.recursiveReadOnly !== 'Disabled' && !mount.readOnly)
        errors.push(forbidden(`${at}.recursiveReadOnly`, 'may only be specified when readOnly is true'))
    }
  })
  return errors
}

const standardResources = new Set(['cpu', 'memory', 'ephemeral-storage'])

function resourceNameErrors(name: string, path: string): FieldError[] {
  const errors = textErrors(name, qualifiedNameErrors, path)
  if (errors.length > 0) return errors
  if (!name.includes('/') && !standardResources.has(name) && !name.startsWith('hugepages-'))
    errors.push(invalid(path, name, 'must be a standard resource for containers'))
  return errors
}

export function resourcesErrors(
  resources: ResourceRequirements | undefined,
  path: string,
  context?: Pick<PodContext, 'resourceClaims'>,
): FieldError[] {
  const errors: FieldError[] = []
  const amountErrors = (name: string, amount: string, at: string): void => {
    errors.push(...resourceNameErrors(name, at))
    const quantity = parseQuantity(amount)
    if (quantity && quantity.nanos < 0n) errors.push(invalid(at, amount, 'must be greater than or equal to 0'))
    if (quantity && name.includes('/') && quantity.nanos % 1_000_000_000n !== 0n) errors.push(invalid(at, amount, 'must be an integer'))
  }
  const limits = resources?.limits ?? {}
  const requests = resources?.requests ?? {}
  for (const [name, amount] of Object.entries(limits)) amountErrors(name, amount, `${path}.limits[${name}]`)
  for (const [name, amount] of Object.entries(requests)) {
    amountErrors(name, amount, `${path}.requests[${name}]`)
    const limit = limits[name]
    const exact = name.includes('/') || name.startsWith('hugepages-')
    if (limit !== undefined) {
      if (exact && compareQuantities(amount, limit) !== 0)
        errors.push(invalid(`${path}.requests`, amount, `must be equal to ${name} limit of ${limit}`))
      else if (!exact && compareQuantities(amount, limit) > 0)
        errors.push(invalid(`${path}.requests`, amount, `must be less than or equal to ${name} limit of ${limit}`))
    } else if (exact && name.includes('/')) errors.push(required(`${path}.limits`, 'Limit must be set for non overcommitable resources'))
  }
  const claims = new Set<string>()
  resources?.claims?.forEach((claim, index) => {
    const at = `${path}.claims[${index}]`
    if (!claim.name) errors.push(required(`${at}.name`))
    else if (context && !context.resourceClaims.has(claim.name)) errors.push(notFound(`${at}.name`, claim.name))
    const identity = `${claim.name}/${claim.request ?? ''}`
    if (claims.has(identity)) errors.push(duplicate(at, identity))
    claims.add(identity)
  })
  return errors
}

type Handler = LifecycleHandler | Probe

function handlerErrors(handler: Handler, path: string, kinds: readonly string[]): FieldError[] {
  const errors: FieldError[] = []
  const set = kinds.filter((name) => (handler as Readonly<Record<string, unknown>>)[name] !== undefined)
  set.slice(1).forEach((name) => {
    errors.push(forbidden(`${path}.${name}`, 'may not specify more than 1 handler type'))
  })
  if (handler.exec && !handler.exec.command?.length) errors.push(required(`${path}.exec.command`))
  const portOf = (port: number | string | undefined, at: string): void => {
    if (typeof port === 'string') errors.push(...textErrors(port, portNameErrors, at))
    else for (const detail of portNumberErrors(port ?? 0)) errors.push(invalid(at, port ?? 0, detail))
  }
  if (handler.httpGet) {
    const at = `${path}.httpGet`
    if (!handler.httpGet.path) errors.push(required(`${at}.path`))
    portOf(handler.httpGet.port, `${at}.port`)
    errors.push(...oneOfErrors(handler.httpGet.scheme, ['HTTP', 'HTTPS'], `${at}.scheme`))
    handler.httpGet.httpHeaders?.forEach(({ name }, index) => {
      if (!/^[-A-Za-z0-9]+$/.test(name ?? ''))
        errors.push(
          invalid(
            `${at}.httpHeaders[${index}].name`,
            name,
            "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')",
          ),
        )
    })
  }
  if (handler.tcpSocket) portOf(handler.tcpSocket.port, `${path}.tcpSocket.port`)
  if ('grpc' in handler && handler.grpc) portOf(handler.grpc.port, `${path}.grpc.port`)
  if (set.length === 0) errors.push(required(path, 'must specify a handler type'))
  return errors
}

function probeErrors(probe: Probe | undefined, path: string, kind: 'liveness' | 'readiness' | 'startup'): FieldError[] {
  if (!probe) return []
  const errors = handlerErrors(probe, path, ['exec', 'httpGet', 'tcpSocket', 'grpc'])
  for (const name of ['initialDelaySeconds', 'timeoutSeconds', 'periodSeconds', 'successThreshold', 'failureThreshold'] as const)
    errors.push(...nonNegativeErrors(probe[name], `${path}.${name}`))
  if (kind !== 'readiness' && (probe.successThreshold ?? 1) !== 1)
    errors.push(invalid(`${path}.successThreshold`, probe.successThreshold, 'must be 1'))
  if (probe.terminationGracePeriodSeconds !== undefined) {
    if (kind === 'readiness')
      errors.push(
        invalid(`${path}.terminationGracePeriodSeconds`, probe.terminationGracePeriodSeconds, 'must not be set for readinessProbes'),
      )
    else if (probe.terminationGracePeriodSeconds <= 0)
      errors.push(invalid(`${path}.terminationGracePeriodSeconds`, probe.terminationGracePeriodSeconds, 'must be greater than 0'))
  }
  return errors
}

function lifecycleErrors(lifecycle: Lifecycle | undefined, path: string): FieldError[] {
  const errors: FieldError[] = []
  for (const hook of ['postStart', 'preStop'] as const) {
    const handler = lifecycle?.[hook]
    if (handler) errors.push(...handlerErrors(handler, `${path}.${hook}`, ['exec', 'httpGet', 'tcpSocket', 'sleep']))
  }
  return errors
}

function resizePolicyErrors(policies: NonNullable<Container['resizePolicy']>, path: string): FieldError[] {
  const errors: FieldError[] = []
  const seen = new Set<string>()
  policies.forEach(({ resourceName, restartPolicy }, index) => {
    const at = `${path}[${index}]`
    errors.push(...oneOfErrors(resourceName, ['cpu', 'memory'], `${at}.resourceName`))
    errors.push(...oneOfErrors(restartPolicy, ['NotRequired', 'RestartContainer'], `${at}.restartPolicy`))
    if (seen.has(resourceName)) errors.push(duplicate(at, resourceName))
    seen.add(resourceName)
  })
  return errors
}

type AnyContainer = Container | EphemeralContainer

function commonErrors(container: AnyContainer, path: string, context: PodContext): FieldError[] {
  const errors = requiredText(container.name, dnsLabelErrors, `${path}.name`)
  if (!container.image) errors.push(required(`${path}.image`))
  else if (container.image !== container.image.trim())
    errors.push(invalid(`${path}.image`, container.image, 'must not have leading or trailing whitespace'))
  if ('resizePolicy' in container) errors.push(...resizePolicyErrors(container.resizePolicy ?? [], `${path}.resizePolicy`))
  errors.push(...oneOfErrors(container.terminationMessagePolicy, ['File', 'FallbackToLogsOnError'], `${path}.terminationMessagePolicy`))
  errors.push(...portErrors(container.ports ?? [], `${path}.ports`, context))
  errors.push(...envErrors(container.env ?? [], `${path}.env`))
  errors.push(...envFromErrors(container.envFrom ?? [], `${path}.envFrom`))
  errors.push(...mountErrors(container.volumeMounts ?? [], `${path}.volumeMounts`, context))
  const mounted = new Set((container.volumeMounts ?? []).map((m) => m.name))
  container.volumeDevices?.forEach((device, index) => {
    const at = `${path}.volumeDevices[${index}]`
    if (!context.volumes.has(device.name)) errors.push(notFound(`${at}.name`, device.name))
    else if (!context.claims.has(device.name))
      errors.push(
        invalid(`${at}.name`, device.name, 'can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode'),
      )
    if (!device.devicePath) errors.push(required(`${at}.devicePath`))
    if (mounted.has(device.name)) errors.push(invalid(`${at}.name`, device.name, 'must not already exist in volumeMounts'))
  })
  errors.push(...oneOfErrors(container.imagePullPolicy, ['Always', 'IfNotPresent', 'Never'], `${path}.imagePullPolicy`))
  errors.push(...resourcesErrors(container.resources, `${path}.resources`, context))
  errors.push(...securityErrors(container.securityContext, `${path}.securityContext`))
  return errors
}

function probesErrors(container: Container, path: string): FieldError[] {
  return [
    ...lifecycleErrors(container.lifecycle, `${path}.lifecycle`),
    ...probeErrors(container.livenessProbe, `${path}.livenessProbe`, 'liveness'),
    ...probeErrors(container.readinessProbe, `${path}.readinessProbe`, 'readiness'),
    ...probeErrors(container.startupProbe, `${path}.startupProbe`, 'startup'),
  ]
}

/** Two containers cannot have one port of the host. */
function hostPortErrors(containers: readonly Container[], path: string): FieldError[] {
  const errors: FieldError[] = []
  const seen = new Set<string>()
  containers.forEach((container, index) => {
    container.ports?.forEach((port, i) => {
      if (!port.hostPort) return
      const identity = `${port.protocol}/${port.hostIP ?? ''}/${port.hostPort}`
      if (seen.has(identity)) errors.push(duplicate(`${path}[${index}].ports[${i}].hostPort`, identity))
      seen.add(identity)
    })
  })
  return errors
}

export function containersErrors(containers: readonly Container[], path: string, context: PodContext): FieldError[] {
  if (containers.length === 0) return [required(path)]
  const errors: FieldError[] = []
  const names = new Set<string>()
  containers.forEach((container, index) => {
    const at = `${path}[${index}]`
    errors.push(...commonErrors(container, at, context))
    if (names.has(container.name)) errors.push(duplicate(`${at}.name`, container.name))
    names.add(container.name)
    errors.push(...probesErrors(container, at))
    if (
      container.restartPolicy &&
      !container.restartPolicyRules?.length &&
      !['Always', 'OnFailure', 'Never'].includes(container.restartPolicy)
    )
      errors.push(notSupported(`${at}.restartPolicy`, container.restartPolicy, ['Always', 'OnFailure', 'Never']))
  })
  return [...errors, ...hostPortErrors(containers, path)]
}

export function initContainersErrors(
  containers: readonly Container[],
  path: string,
  context: PodContext,
  taken: ReadonlySet<string>,
): FieldError[] {
  const errors: FieldError[] = []
  const names = new Set(taken)
  containers.forEach((container, index) => {
    const at = `${path}[${index}]`
    errors.push(...commonErrors(container, at, context))
    if (container.name && names.has(container.name)) errors.push(duplicate(`${at}.name`, container.name))
    names.add(container.name)
    if (container.restartPolicy === 'Always') {
      errors.push(...probesErrors(container, at))
      return
    }
    for (const name of ['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe'] as const)
      if (container[name]) errors.push(forbidden(`${at}.${name}`, 'may not be set for init containers without restartPolicy=Always'))
  })
  return errors
}

const ephemeralForbidden = ['ports', 'livenessProbe', 'readinessProbe', 'startupProbe', 'lifecycle', 'resizePolicy'] as const

export function ephemeralContainersErrors(
  containers: readonly EphemeralContainer[],
  path: string,
  context: PodContext,
  pod: { readonly names: ReadonlySet<string>; readonly others: ReadonlySet<string> },
): FieldError[] {
  const errors: FieldError[] = []
  const names = new Set(pod.others)
  containers.forEach((container, index) => {
    const at = `${path}[${index}]`
    errors.push(...commonErrors(container, at, context))
    if (container.name && names.has(container.name)) errors.push(duplicate(`${at}.name`, container.name))
    names.add(container.name)
    if (container.targetContainerName && !pod.names.has(container.targetContainerName))
      errors.push(notFound(`${at}.targetContainerName`, container.targetContainerName))
    for (const name of ephemeralForbidden)
      if (container[name] !== undefined) errors.push(forbidden(`${at}.${name}`, 'cannot be set for an Ephemeral Container'))
    if (Object.keys(container.resources ?? {}).length > 0)
      errors.push(forbidden(`${at}.resources`, 'cannot be set for an Ephemeral Container'))
    container.volumeMounts?.forEach((mount, i) => {
      if (mount.subPath) errors.push(forbidden(`${at}.volumeMounts[${i}].subPath`, 'cannot be set for an Ephemeral Container'))
      if (mount.subPathExpr) errors.push(forbidden(`${at}.volumeMounts[${i}].subPathExpr`, 'cannot be set for an Ephemeral Container'))
    })
  })
  return errors
}
