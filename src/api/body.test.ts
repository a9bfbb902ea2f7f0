import t from 'tap'
import { ApiError } from '../lib/index.js'
import { decodeBody, decodeObject, type FieldValidation } from './body.js'
import type { JsonObject } from './json/value.js'
import { findResource, resourceTypes } from './resources/table.js'

const deployments = findResource('apps', 'v1', 'deployments')
const secrets = findResource('', 'v1', 'secrets')
if (!deployments || !secrets) throw new Error('kinds are missing')
const types = { deployments, secrets }

function refusal(run: () => unknown): string {
  try {
    run()
    return ''
  } catch (error) {
    if (error instanceof ApiError) return `${error.code} ${error.message}`
    throw error
  }
}

const read = (text: string, mode: FieldValidation, media = 'application/json') =>
  decodeObject(types.deployments, decodeBody(Buffer.from(text), media), mode)
const sloppy =
  '{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"a","wrong":1},"spec":{"replicas":1,"replicas":2,"extra":{},"template":{"spec":{"containers":[{"name":"c","image":"i","image":"j","more":1}]}}}}'

t.test('unknown and repeated fields: refused, told, or ignored', async (t) => {
  const problems = [
    'unknown field "metadata.wrong"',
    'duplicate field "spec.replicas"',
    'unknown field "spec.extra"',
    'duplicate field "spec.template.spec.containers[0].image"',
    'unknown field "spec.template.spec.containers[0].more"',
  ]
  t.equal(
    refusal(() => read(sloppy, 'Strict')),
    `400 Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: ${problems.join(', ')}`,
  )
  const warned = read(sloppy, 'Warn')
  t.same(warned.warnings, problems)
  t.match(warned.object, { spec: { replicas: 2, template: { spec: { containers: [{ name: 'c', image: 'j' }] } } } })
  t.equal((warned.object.spec as JsonObject).extra, undefined, 'unknown fields are dropped')
  t.same(read(sloppy, 'Ignore').warnings, [])
})

t.test('YAML tells lines', async (t) => {
  const text = 'apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: a\nspec:\n  replicas: 1\n  replicas: 2\n  nope: 1\n'
  t.same(read(text, 'Warn', 'application/yaml').warnings, ['line 7: key "replicas" already set in map', 'unknown field "spec.nope"'])
})

t.test('values of the wrong type', async (t) => {
  const cases: [string, string][] = [
    ['{"spec":{"replicas":"two"}}', 'json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32'],
    ['{"spec":{"replicas":1.5}}', 'json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32'],
    [
      '{"spec":{"replicas":2147483648}}',
      'json: cannot unmarshal number 2147483648 into Go struct field DeploymentSpec.spec.replicas of type int32',
    ],
    ['{"metadata":{"labels":{"a":1}}}', 'json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string'],
    [
      '{"spec":{"template":{"spec":{"containers":{}}}}}',
      'json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container',
    ],
    [
      '{"spec":{"template":{"spec":{"containers":[{"resources":{"limits":{"cpu":"lots"}}}]}}}}',
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    ],
    ['[]', 'json: cannot unmarshal array into Go value of type v1.Deployment'],
  ]
  for (const [text, detail] of cases)
    t.equal(
      refusal(() => read(text, 'Ignore')),
      `400 Deployment in version "v1" cannot be handled as a Deployment: ${detail}`,
    )
  t.match(
    refusal(() => decodeObject(types.secrets, decodeBody(Buffer.from('{"data":{"a":"%"}}')), 'Warn')),
    /illegal base64 data at input byte 0$/,
  )
})

t.test('other kinds, broken texts, other media types', async (t) => {
  t.equal(
    refusal(() => read('{"apiVersion":"apps/v1beta1","kind":"Deployment"}', 'Warn')),
    '400 the API version in the data (apps/v1beta1) does not match the expected API version (apps/v1)',
  )
  t.equal(
    refusal(() => read('{"apiVersion":"apps/v1","kind":"ReplicaSet"}', 'Warn')),
    '400 ReplicaSet in version "v1" cannot be handled as a Deployment',
  )
  t.equal(
    refusal(() => read('{"a":', 'Warn')),
    '400 unexpected end of JSON input',
  )
  t.equal(
    refusal(() => read('{a:1}', 'Warn')),
    `400 invalid character 'a' looking for beginning of object key string`,
  )
  t.match(
    refusal(() => read('x', 'Warn', 'text/html')),
    /^415 the body of the request was in an unknown format/,
  )
  t.equal(
    refusal(() => read('{}', 'Strict')),
    '',
    'apiVersion and kind may be left to the path',
  )
})

t.test('canonical values', async (t) => {
  const { object } = read(
    '{"metadata":{"creationTimestamp":"2026-01-02T03:04:05.678+01:00"},"spec":{"paused":null,"template":{"spec":{"containers":[{"resources":{"limits":{"cpu":1,"memory":"1024Mi"}}}]}}}}',
    'Strict',
  )
  t.same((object.metadata as JsonObject).creationTimestamp, '2026-01-02T02:04:05Z')
  t.match(object, { spec: { template: { spec: { containers: [{ resources: { limits: { cpu: '1', memory: '1Gi' } } }] } } } })
  t.notOk(Object.hasOwn(object.spec as object, 'paused'))
})

t.test('prototype names do no harm in any kind', async (t) => {
  const text =
    '{"metadata":{"name":"a","labels":{"__proto__":"x","constructor":"y"}},"__proto__":{"polluted":1},"spec":{"__proto__":{"polluted":1},"constructor":{}},"data":{"__proto__":"eA=="}}'
  for (const type of resourceTypes) {
    const { object } = decodeObject(type, decodeBody(Buffer.from(text)), 'Ignore')
    type.setDefaults(object)
  }
  t.equal(({} as Record<string, unknown>).polluted, undefined)
  const { object } = decodeObject(types.secrets, decodeBody(Buffer.from('{"data":{"__proto__":"eA=="}}')), 'Ignore')
  t.same(Object.keys(object.data as object), ['__proto__'])
})

t.test('defaults: what Kubernetes fills in', async (t) => {
  const { object } = read(
    '{"metadata":{"name":"a"},"spec":{"selector":{"matchLabels":{"a":"b"}},"paused":false,"template":{"spec":{"hostNetwork":false,"containers":[{"name":"c","image":"nginx","ports":[{"containerPort":80}],"livenessProbe":{"httpGet":{"port":80}}}]}}}}',
    'Strict',
  )
  types.deployments.setDefaults(object)
  t.same(object.spec, {
    selector: { matchLabels: { a: 'b' } },
    replicas: 1,
    revisionHistoryLimit: 10,
    progressDeadlineSeconds: 600,
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '25%', maxSurge: '25%' } },
    template: {
      spec: {
        containers: [
          {
            name: 'c',
            image: 'nginx',
            ports: [{ containerPort: 80, protocol: 'TCP' }],
            livenessProbe: {
              httpGet: { port: 80, path: '/', scheme: 'HTTP' },
              timeoutSeconds: 1,
              periodSeconds: 10,
              successThreshold: 1,
              failureThreshold: 3,
            },
            resources: {},
            imagePullPolicy: 'Always',
            terminationMessagePath: '/dev/termination-log',
            terminationMessagePolicy: 'File',
          },
        ],
        dnsPolicy: 'ClusterFirst',
        restartPolicy: 'Always',
        schedulerName: 'default-scheduler',
        terminationGracePeriodSeconds: 30,
        securityContext: {},
      },
    },
  })
})
