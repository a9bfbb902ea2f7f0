import t from 'tap'
import { ApiError } from '../../lib/index.js'
import { decodeObject } from '../body.js'
import type { JsonObject } from '../json/value.js'
import type { ResourceType } from '../resource-type.js'
import { findResource } from '../resources/table.js'
import { prepareCreate, prepareUpdate, validateCreate, validateUpdate } from '../strategy.js'

function resource(path: string): ResourceType {
  const [group = '', version = '', plural = ''] = path.split(' ')
  const type = findResource(group === 'core' ? '' : group, version, plural)
  if (!type) throw new Error(`no ${path}`)
  return type
}

const context = {
  now: Date.UTC(2026, 0, 2),
  uid: () => '00000000-0000-4000-8000-000000000000',
  suffix: () => 'abcde',
  namespace: 'default',
}

/** As the server makes it: decoded, defaulted, prepared. */
function made(type: ResourceType, object: unknown): JsonObject {
  const { object: decoded } = decodeObject(type, { value: JSON.parse(JSON.stringify(object)), duplicates: [] }, 'Strict')
  type.setDefaults(decoded)
  prepareCreate(type, decoded, context)
  return decoded
}

function message(run: () => void): string {
  try {
    run()
    return ''
  } catch (error) {
    if (error instanceof ApiError) return error.message
    throw error
  }
}

const create = (path: string, object: unknown): string => {
  const type = resource(path)
  return message(() => validateCreate(type, made(type, object)))
}

function update(
  path: string,
  object: unknown,
  change: (next: JsonObject) => void,
  door = '',
): { readonly error: string; readonly next: JsonObject; readonly previous: JsonObject } {
  const type = resource(path)
  const previous = made(type, object)
  const metadata = previous.metadata as JsonObject
  metadata.resourceVersion = '7'
  const next = JSON.parse(JSON.stringify(previous)) as JsonObject
  change(next)
  type.setDefaults(next)
  prepareUpdate(type, next, previous, door)
  return { error: message(() => validateUpdate(type, next, previous, door)), next, previous }
}

const pod = (spec: object = {}, metadata: object = {}) => ({
  metadata: { name: 'web', ...metadata },
  spec: { containers: [{ name: 'main', image: 'nginx' }], ...spec },
})

t.test('metadata', async (t) => {
  const cases: [object, string][] = [
    [
      { name: 'Web' },
      `Pod "Web" is invalid: metadata.name: Invalid value: "Web": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`,
    ],
    [{ name: '' }, 'Pod "" is invalid: metadata.name: Required value: name or generateName is required'],
    [{ name: '', generateName: 'web-' }, ''],
    [
      { labels: { 'a b': 'c' } },
      `Pod "web" is invalid: metadata.labels: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`,
    ],
    [
      { finalizers: ['mine'] },
      'Pod "web" is invalid: metadata.finalizers[0]: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified',
    ],
    [
      { ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'x', uid: '' }] },
      'Pod "web" is invalid: metadata.ownerReferences[0].uid: Invalid value: "": must not be empty',
    ],
    [
      { annotations: { big: 'x'.repeat(300_000) } },
      'Pod "web" is invalid: metadata.annotations: Too long: may not be more than 262144 bytes',
    ],
  ]
  for (const [metadata, expected] of cases) t.equal(create('core v1 pods', pod({}, metadata)), expected)
  t.equal(
    message(() => made(resource('core v1 pods'), pod({}, { namespace: 'other' }))),
    'the namespace of the provided object does not match the namespace sent on the request',
  )
})

t.test('pods', async (t) => {
  const container = (extra: object) => ({ containers: [{ name: 'main', image: 'nginx', ...extra }] })
  const cases: [object, string][] = [
    [{}, ''],
    [{ containers: [] }, 'spec.containers: Required value'],
    [{ containers: [{ name: 'main' }] }, 'spec.containers[0].image: Required value'],
    [
      {
        containers: [
          { name: 'a', image: 'x' },
          { name: 'a', image: 'x' },
        ],
      },
      'spec.containers[1].name: Duplicate value: "a"',
    ],
    [container({ volumeMounts: [{ name: 'v', mountPath: '/x' }] }), 'spec.containers[0].volumeMounts[0].name: Not found: "v"'],
    [
      container({ ports: [{ containerPort: 70000 }] }),
      'spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive',
    ],
    [
      container({ ports: [{ containerPort: 80, protocol: 'HTTP' }] }),
      'spec.containers[0].ports[0].protocol: Unsupported value: "HTTP": supported values: "SCTP", "TCP", "UDP"',
    ],
    [
      container({ resources: { limits: { cpu: '1' }, requests: { cpu: '2' } } }),
      'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
    ],
    [
      container({ imagePullPolicy: 'Sometimes' }),
      'spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"',
    ],
    [
      container({ env: [{ name: 'a=b' }] }),
      `spec.containers[0].env[0].name: Invalid value: "a=b": a valid environment variable name must consist only of printable ASCII characters other than '='`,
    ],
    [container({ livenessProbe: {} }), 'spec.containers[0].livenessProbe: Required value: must specify a handler type'],
    [{ restartPolicy: 'Maybe' }, 'spec.restartPolicy: Unsupported value: "Maybe": supported values: "Always", "Never", "OnFailure"'],
    [
      { tolerations: [{ operator: 'Equal' }] },
      'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which means "match all values and all keys"',
    ],
    [
      { volumes: [{ name: 'v', secret: { secretName: 's' }, configMap: { name: 'c' } }] },
      'spec.volumes[0].configMap: Forbidden: may not specify more than 1 volume type',
    ],
    [{ dnsPolicy: 'None' }, 'spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None'],
    [{ activeDeadlineSeconds: 0 }, 'spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive'],
    [
      { initContainers: [{ name: 'i', image: 'x', readinessProbe: { exec: { command: ['a'] } } }] },
      'spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always',
    ],
  ]
  for (const [spec, expected] of cases) t.equal(create('core v1 pods', pod(spec)), expected && `Pod "web" is invalid: ${expected}`)
})

t.test('several causes are listed', async (t) => {
  const type = resource('core v1 pods')
  try {
    validateCreate(type, made(type, { metadata: { name: 'x' }, spec: { containers: [{ name: 'A' }] } }))
    t.fail('accepted')
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    t.equal(error.code, 422)
    t.equal(error.reason, 'Invalid')
    t.match(
      error.message,
      /^Pod "x" is invalid: \[spec\.containers\[0\]\.name: Invalid value: "A": .*, spec\.containers\[0\]\.image: Required value\]$/,
    )
    t.same(
      error.details?.causes?.map((cause) => [cause.reason, cause.field]),
      [
        ['FieldValueInvalid', 'spec.containers[0].name'],
        ['FieldValueRequired', 'spec.containers[0].image'],
      ],
    )
  }
})

t.test('pods that exist', async (t) => {
  const changed = update('core v1 pods', pod(), (next) => {
    ;(next.spec as { containers: { image: string }[] }).containers[0] = {
      ...(next.spec as { containers: { image: string }[] }).containers[0],
      image: 'nginx:2',
    }
  })
  t.equal(changed.error, '')
  t.equal((changed.next.metadata as JsonObject).generation, 2)
  t.match(
    update('core v1 pods', pod(), (next) => {
      ;(next.spec as JsonObject).nodeName = 'other'
    }).error,
    /^Pod "web" is invalid: spec: Forbidden: pod updates may not change fields other than `spec\.containers\[\*\]\.image`/,
  )
  t.equal(
    update('core v1 pods', pod(), (next) => {
      ;(next.metadata as JsonObject).uid = 'x'
    }).error,
    'Pod "web" is invalid: metadata.uid: Invalid value: "x": field is immutable',
  )
  const status = update(
    'core v1 pods',
    pod(),
    (next) => {
      next.status = { phase: 'Running' }
      next.spec = { containers: [] }
    },
    'status',
  )
  t.equal(status.error, '')
  t.same(status.next.spec, status.previous.spec, 'the status door leaves the spec alone')
  t.equal((status.next.metadata as JsonObject).generation, 1)
  const spec = update('core v1 pods', pod(), (next) => {
    next.status = { phase: 'Failed' }
  })
  t.same(spec.next.status, spec.previous.status, 'the plain door leaves the status alone')
})

const template = { metadata: { labels: { app: 'a' } }, spec: { containers: [{ name: 'c', image: 'i' }] } }
const workload = (spec: object) => ({ metadata: { name: 'w' }, spec: { selector: { matchLabels: { app: 'a' } }, template, ...spec } })

t.test('workloads', async (t) => {
  const cases: [string, object, string][] = [
    ['apps v1 deployments', workload({}), ''],
    [
      'apps v1 deployments',
      workload({ selector: { matchLabels: { app: 'b' } } }),
      'Deployment.apps "w" is invalid: spec.template.metadata.labels: Invalid value: {"app":"a"}: `selector` does not match template `labels`',
    ],
    [
      'apps v1 deployments',
      workload({ replicas: -1 }),
      'Deployment.apps "w" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0',
    ],
    [
      'apps v1 deployments',
      workload({ strategy: { type: 'Recreate', rollingUpdate: {} } }),
      'Deployment.apps "w" is invalid: spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is \'Recreate\'',
    ],
    [
      'apps v1 deployments',
      workload({ template: { ...template, spec: { ...template.spec, restartPolicy: 'Never' } } }),
      'Deployment.apps "w" is invalid: spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
    ],
    ['apps v1 statefulsets', workload({ serviceName: 's' }), ''],
    ['apps v1 daemonsets', workload({}), ''],
    ['batch v1 jobs', { metadata: { name: 'j' }, spec: { template: { spec: { ...template.spec, restartPolicy: 'Never' } } } }, ''],
    [
      'batch v1 jobs',
      { metadata: { name: 'j' }, spec: { template: { spec: template.spec } } },
      'Job.batch "j" is invalid: spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
    ],
    [
      'batch v1 cronjobs',
      {
        metadata: { name: 'c' },
        spec: { schedule: '61 * * * *', jobTemplate: { spec: { template: { spec: { ...template.spec, restartPolicy: 'Never' } } } } },
      },
      'CronJob.batch "c" is invalid: spec.schedule: Invalid value: "61 * * * *": end of range (61) above maximum (59): 61',
    ],
    [
      'policy v1 poddisruptionbudgets',
      { metadata: { name: 'p' }, spec: { minAvailable: '101%' } },
      'PodDisruptionBudget.policy "p" is invalid: spec.minAvailable: Invalid value: "101%": must not be greater than 100%',
    ],
  ]
  for (const [path, object, expected] of cases) t.equal(create(path, object), expected, path)
  t.match(
    update('apps v1 deployments', workload({}), (next) => {
      ;(next.spec as JsonObject).selector = { matchLabels: { app: 'a', b: 'c' } }
      ;((next.spec as JsonObject).template as { metadata: object }).metadata = { labels: { app: 'a', b: 'c' } }
    }).error,
    /spec\.selector: Invalid value: .*: field is immutable$/,
  )
  t.match(
    update('apps v1 statefulsets', workload({ serviceName: 's' }), (next) => Object.assign(next.spec as JsonObject, { serviceName: 'z' }))
      .error,
    /^StatefulSet\.apps "w" is invalid: spec: Forbidden: updates to statefulset spec for fields other than/,
  )
})

t.test('services, configuration, roles', async (t) => {
  const cases: [string, object, string][] = [
    ['core v1 services', { metadata: { name: 's' }, spec: { ports: [{ port: 80 }] } }, ''],
    [
      'core v1 services',
      { metadata: { name: '1s' }, spec: { ports: [{ port: 80 }] } },
      `Service "1s" is invalid: metadata.name: Invalid value: "1s": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')`,
    ],
    ['core v1 services', { metadata: { name: 's' }, spec: {} }, 'Service "s" is invalid: spec.ports: Required value'],
    [
      'core v1 services',
      { metadata: { name: 's' }, spec: { type: 'ExternalName' } },
      'Service "s" is invalid: spec.externalName: Required value',
    ],
    [
      'core v1 services',
      { metadata: { name: 's' }, spec: { ports: [{ port: 80 }, { port: 81 }] } },
      'Service "s" is invalid: [spec.ports[0].name: Required value, spec.ports[1].name: Required value]',
    ],
    [
      'core v1 configmaps',
      { metadata: { name: 'c' }, data: { 'a/b': '' } },
      `ConfigMap "c" is invalid: data[a/b]: Invalid value: "a/b": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')`,
    ],
    [
      'core v1 secrets',
      { metadata: { name: 's' }, type: 'kubernetes.io/tls' },
      'Secret "s" is invalid: [data[tls.crt]: Required value, data[tls.key]: Required value]',
    ],
    [
      'rbac.authorization.k8s.io v1 roles',
      { metadata: { name: 'system:x' }, rules: [{ verbs: [], apiGroups: [''], resources: ['pods'] }] },
      'Role.rbac.authorization.k8s.io "system:x" is invalid: rules[0].verbs: Required value: verbs must contain at least one value',
    ],
    [
      'networking.k8s.io v1 networkpolicies',
      { metadata: { name: 'n' }, spec: { podSelector: {}, ingress: [{ from: [{}] }] } },
      'NetworkPolicy.networking.k8s.io "n" is invalid: spec.ingress[0].from[0]: Required value: must specify a peer',
    ],
    [
      'networking.k8s.io v1 ingresses',
      { metadata: { name: 'i' }, spec: { rules: [{ host: '1.2.3.4' }] } },
      'Ingress.networking.k8s.io "i" is invalid: spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address',
    ],
  ]
  for (const [path, object, expected] of cases) t.equal(create(path, object), expected, path)
  t.equal(
    update('core v1 configmaps', { metadata: { name: 'c' }, data: { a: '1' }, immutable: true }, (next) => {
      next.data = { a: '2' }
    }).error,
    'ConfigMap "c" is invalid: data: Forbidden: field is immutable when `immutable` is set',
  )
  const role = { metadata: { name: 'r' }, roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'x' } }
  t.match(
    update('rbac.authorization.k8s.io v1 rolebindings', role, (next) => Object.assign(next.roleRef as JsonObject, { name: 'y' })).error,
    /roleRef: Invalid value: .*: cannot change roleRef$/,
  )
})

t.test('every kind survives an object with nothing in it', async (t) => {
  const { resourceTypes } = await import('../resources/table.js')
  for (const type of resourceTypes) {
    const object = made(type, { apiVersion: type.apiVersion, kind: type.kind, metadata: { name: 'x' } })
    t.doesNotThrow(() => type.validate(object as never), `${type.group}/${type.kind}`)
    for (const column of type.columns) t.doesNotThrow(() => column.value(object as never, context.now), `${type.kind} ${column.name}`)
    for (const [name, read] of type.selectableFields) t.equal(typeof read(object as never), 'string', `${type.kind} ${name}`)
  }
})
