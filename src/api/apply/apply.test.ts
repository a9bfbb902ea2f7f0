import fc from 'fast-check'
import t from 'tap'
import { ApiError } from '../../lib/index.js'
import { cloneJson, equalJson, isObject, type Json, type JsonObject } from '../json/value.js'
import { findResource, resourceTypes } from '../resources/table.js'
import type { Schema } from '../schema/schema.js'
import { namedSchema } from '../schema/table.js'
import { applyConfiguration, checkConfiguration, sameButTimes, trackUpdate } from './apply.js'
import { fieldsOfCreated } from './created.js'
import {
  decodeFieldSet,
  difference,
  emptySet,
  encodeFieldSet,
  type FieldSet,
  intersection,
  makeSet,
  pathsOf,
  recursiveDifference,
  union,
} from './field-set.js'
import { withoutServerFields } from './managers.js'
import { compare, emptyObject, fieldSetOf, mergeValues } from './typed.js'

const found = findResource('apps', 'v1', 'deployments')
if (!found) throw new Error('no deployments')
const deployments = found

const base: JsonObject = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', namespace: 'default', labels: { app: 'web' } },
  spec: {
    replicas: 2,
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: { containers: [{ name: 'c', image: 'nginx', ports: [{ containerPort: 80 }] }] },
    },
  },
}

/** As kubectl create leaves it. */
function created(): JsonObject {
  const object = cloneJson(base)
  deployments.setDefaults(object)
  trackUpdate(deployments, object, undefined, { manager: 'kubectl-create', time: 'T1' })
  return object
}

const entries = (object: JsonObject) =>
  (
    object.metadata as {
      managedFields: { manager: string; operation: string; time?: string; fieldsV1: JsonObject; subresource?: string }[]
    }
  ).managedFields
const ownedBy = (object: JsonObject, manager: string): JsonObject | undefined =>
  entries(object).find((entry) => entry.manager === manager)?.fieldsV1

const specOf = (object: JsonObject, manager: string): JsonObject => (ownedBy(object, manager)?.['f:spec'] ?? {}) as JsonObject

function conflict(run: () => unknown): ApiError {
  try {
    run()
  } catch (error) {
    if (error instanceof ApiError) return error
    throw error
  }
  throw new Error('no conflict')
}

/** A configuration that speaks of these only: without a spec when there is nothing in it. */
const wish = (spec: object, labels?: object): JsonObject =>
  JSON.parse(
    JSON.stringify({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web', ...(labels ? { labels } : {}) },
      ...(Object.keys(spec).length > 0 ? { spec } : {}),
    }),
  ) as JsonObject

t.test('what a create owns is what Kubernetes records', async (t) => {
  const container = {
    '.': {},
    'f:image': {},
    'f:imagePullPolicy': {},
    'f:name': {},
    'f:ports': { '.': {}, 'k:{"containerPort":80,"protocol":"TCP"}': { '.': {}, 'f:containerPort': {}, 'f:protocol': {} } },
    'f:resources': {},
    'f:terminationMessagePath': {},
    'f:terminationMessagePolicy': {},
  }
  t.same(ownedBy(created(), 'kubectl-create'), {
    'f:metadata': { 'f:labels': { '.': {}, 'f:app': {} } },
    'f:spec': {
      'f:progressDeadlineSeconds': {},
      'f:replicas': {},
      'f:revisionHistoryLimit': {},
      'f:selector': {},
      'f:strategy': { 'f:rollingUpdate': { '.': {}, 'f:maxSurge': {}, 'f:maxUnavailable': {} }, 'f:type': {} },
      'f:template': {
        'f:metadata': { 'f:labels': { '.': {}, 'f:app': {} } },
        'f:spec': {
          'f:containers': { 'k:{"name":"c"}': container },
          'f:dnsPolicy': {},
          'f:restartPolicy': {},
          'f:schedulerName': {},
          'f:securityContext': {},
          'f:terminationGracePeriodSeconds': {},
        },
      },
    },
  })
})

t.test('conflicts name manager and field, force takes the field', async (t) => {
  const live = created()
  const options = { manager: 'me', time: 'T2', force: false }
  const error = conflict(() => applyConfiguration(deployments, live, wish({ replicas: 3 }), options))
  t.equal(error.code, 409)
  t.equal(error.message, 'Apply failed with 1 conflict: conflict with "kubectl-create" using apps/v1: .spec.replicas')
  t.same(error.details?.causes, [
    { reason: 'FieldManagerConflict', message: 'conflict with "kubectl-create" using apps/v1', field: '.spec.replicas' },
  ])
  const two = conflict(() =>
    applyConfiguration(
      deployments,
      live,
      wish({ replicas: 3, template: { spec: { containers: [{ name: 'c', image: 'other' }] } } }),
      options,
    ),
  )
  t.equal(
    two.message,
    'Apply failed with 2 conflicts: conflicts with "kubectl-create" using apps/v1:\n- .spec.replicas\n- .spec.template.spec.containers[name="c"].image',
  )
  const taken = applyConfiguration(deployments, live, wish({ replicas: 3 }), { ...options, force: true })
  t.equal((taken.spec as JsonObject).replicas, 3)
  t.same(ownedBy(taken, 'me'), { 'f:spec': { 'f:replicas': {} } })
  t.equal(specOf(taken, 'kubectl-create')['f:replicas'], undefined)
  t.equal((live.spec as JsonObject).replicas, 2, 'the live object is not touched')
})

t.test('the same value is shared, not fought over', async (t) => {
  const shared = applyConfiguration(deployments, created(), wish({ replicas: 2 }), { manager: 'me', time: 'T2', force: false })
  t.ok(specOf(shared, 'kubectl-create')['f:replicas'])
  t.same(ownedBy(shared, 'me'), { 'f:spec': { 'f:replicas': {} } })
})

t.test('what is no longer applied goes, unless somebody else has it', async (t) => {
  const options = { manager: 'me', time: 'T2', force: true }
  const containers = [{ name: 'side', image: 'x' }]
  const first = applyConfiguration(deployments, created(), wish({ template: { spec: { containers } } }, { app: 'web', mine: '1' }), options)
  t.same((first.metadata as JsonObject).labels, { app: 'web', mine: '1' })
  t.equal((first.spec as { template: { spec: { containers: Json[] } } }).template.spec.containers.length, 2)
  const second = applyConfiguration(deployments, first, wish({}), { ...options, time: 'T3' })
  t.same((second.metadata as JsonObject).labels, { app: 'web' })
  t.equal((second.spec as { template: { spec: { containers: Json[] } } }).template.spec.containers.length, 1)
  t.equal(ownedBy(second, 'me'), undefined)
})

t.test('an apply that changes nothing keeps its time', async (t) => {
  const options = { manager: 'me', force: false }
  const first = applyConfiguration(deployments, undefined, base, { ...options, time: 'T1' })
  const second = applyConfiguration(deployments, first, base, { ...options, time: 'T2' })
  t.equal(entries(second)[0]?.time, 'T1')
  t.ok(sameButTimes(first, second))
})

t.test('what does not fit the schema is refused, with paths by keys', async (t) => {
  const complaint = (containers: Json): string =>
    conflict(() => checkConfiguration(deployments, wish({ template: { spec: { containers } } }))).message
  t.equal(
    complaint([{ name: 'a' }, { name: 'a' }]),
    'failed to create typed patch object (/web; apps/v1, Kind=Deployment): .spec.template.spec.containers: duplicate entries for key [name="a"]',
  )
  t.match(complaint([{ image: 'a' }]), /\.spec\.template\.spec\.containers: element 0: .* omits key field "name"/)
  t.match(
    complaint([{ name: 'a', wrong: 1, ports: [{ containerPort: 80, more: 1 }] }]),
    /: errors:\n {2}\.spec\.template\.spec\.containers\[name="a"\]\.wrong: field not declared in schema\n {2}.*\.ports\[containerPort=80,protocol="TCP"\]\.more: field not declared in schema$/,
  )
})

t.test('updates take what they change and drop what they remove', async (t) => {
  const live = created()
  const next = cloneJson(live)
  ;(next.spec as JsonObject).replicas = 9
  delete (next.metadata as JsonObject).labels
  trackUpdate(deployments, next, live, { manager: 'scaler', time: 'T2', subresource: 'scale' })
  t.same(
    entries(next).map((e) => [e.manager, e.subresource ?? '']),
    [
      ['kubectl-create', ''],
      ['scaler', 'scale'],
    ],
  )
  t.same(ownedBy(next, 'scaler'), { 'f:spec': { 'f:replicas': {} } })
  t.equal(ownedBy(next, 'kubectl-create')?.['f:metadata'], undefined)
})

t.test('many updaters are folded into one', async (t) => {
  let live = created()
  for (let i = 0; i < 14; i++) {
    const next = cloneJson(live)
    ;(next.metadata as JsonObject).annotations = { ...((next.metadata as JsonObject).annotations as JsonObject), [`a${i}`]: 'x' }
    trackUpdate(deployments, next, live, { manager: `m${i}`, time: `T${10 + i}` })
    live = next
  }
  t.equal(entries(live).length, 10)
  t.ok(ownedBy(live, 'ancient-changes'))
  const all = entries(live).reduce((sum, entry) => union(sum, decodeFieldSet(entry.fieldsV1)), emptySet)
  t.equal(pathsOf(all).filter((path) => path[1] === 'f:annotations' && path.length === 3).length, 14, 'nobody loses a field')
})

/** A set as a list of its paths: the slow way to compute with sets. */
const steps = fc.constantFrom('f:a', 'f:b', 'k:{"name":"x"}')
const someSet: fc.Arbitrary<FieldSet> = fc.array(fc.array(steps, { minLength: 1, maxLength: 3 }), { maxLength: 6 }).map((paths) =>
  paths.reduce(
    (sum, path) =>
      union(
        sum,
        path.reduceRight<FieldSet>((inner, step) => makeSet(false, [[step, inner]]), { own: true, children: new Map() }),
      ),
    emptySet,
  ),
)
const words = (set: FieldSet): string[] =>
  pathsOf(set)
    .map((path) => path.join(' '))
    .sort()

t.test('sets of paths: against lists', async (t) => {
  fc.assert(
    fc.property(someSet, someSet, (a, b) => {
      const left = words(a)
      const right = words(b)
      const under = (path: string): boolean => right.some((other) => path === other || path.startsWith(`${other} `))
      return (
        equalJson(words(union(a, b)), [...new Set([...left, ...right])].sort()) &&
        equalJson(
          words(intersection(a, b)),
          left.filter((path) => right.includes(path)),
        ) &&
        equalJson(
          words(difference(a, b)),
          left.filter((path) => !right.includes(path)),
        ) &&
        equalJson(
          words(recursiveDifference(a, b)),
          left.filter((path) => !under(path)),
        ) &&
        equalJson(words(decodeFieldSet(encodeFieldSet(a))), left)
      )
    }),
    { seed: 5, numRuns: 3000 },
  )
  t.pass('3000 pairs')
})

const name = fc.constantFrom('a', 'b', 'c')
const word = fc.constantFrom('x', 'y')
const some = <T extends Record<string, fc.Arbitrary<unknown>>>(fields: T) => fc.record(fields, { requiredKeys: [] })
const config = some({
  labels: fc.dictionary(name, word, { minKeys: 1 }),
  replicas: fc.nat(3),
  containers: fc.uniqueArray(fc.record({ name, image: word, args: fc.array(word, { maxLength: 2 }) }, { requiredKeys: ['name'] }), {
    selector: (c) => c.name,
    minLength: 1,
  }),
}).map(({ labels, replicas, containers }) =>
  wish(
    { ...(replicas === undefined ? {} : { replicas }), ...(containers ? { template: { spec: { containers } } } : {}) },
    labels as object | undefined,
  ),
)

/** Everything that `part` says, `whole` says too. */
function includes(whole: Json | undefined, part: Json | undefined): boolean {
  if (Array.isArray(part)) {
    if (!Array.isArray(whole)) return false
    return part.every((item) =>
      whole.some((other) =>
        isObject(item) && isObject(other) ? other.name === item.name && includes(other, item) : equalJson(other, item),
      ),
    )
  }
  if (isObject(part)) return isObject(whole) && Object.entries(part).every(([field, value]) => includes(whole[field], value))
  return equalJson(whole, part)
}
const bare = (object: JsonObject): JsonObject => {
  const { managedFields: _, ...metadata } = object.metadata as JsonObject
  return { ...object, metadata }
}

t.test('appliers in any order: each gets what it says, and all gone leaves nothing', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.constantFrom('p', 'q', 'r'), config), { minLength: 1, maxLength: 8 }), (applies) => {
      let live: JsonObject | undefined
      for (const [manager, wanted] of applies) {
        live = applyConfiguration(deployments, live, wanted, { manager, time: 'T', force: true })
        if (!includes(bare(live), wanted)) return false
        const again = applyConfiguration(deployments, live, wanted, { manager, time: 'U', force: false })
        if (!equalJson(again, live)) return false
      }
      for (const manager of ['p', 'q', 'r']) live = applyConfiguration(deployments, live, wish({}), { manager, time: 'T', force: false })
      const rest = live?.metadata as JsonObject
      return rest.managedFields === undefined && !includes(live?.spec, { replicas: 0 }) && JSON.stringify(live?.spec ?? {}).length < 40
    }),
    { seed: 6, numRuns: 300 },
  )
  t.pass('300 stories')
})

t.test('a comparison is empty exactly when two objects are the same', async (t) => {
  const schema = namedSchema('Deployment')
  fc.assert(
    fc.property(config, config, (a, b) => {
      const { added, modified, removed } = compare(schema, a, b)
      const nothing = [added, modified, removed].every((set) => pathsOf(set).length === 0)
      const merged = mergeValues(schema, a, b)
      return (
        nothing === equalJson(a, b) &&
        includes(merged, b) &&
        equalJson(mergeValues(schema, a, a), a) &&
        pathsOf(difference(fieldSetOf(schema, b), fieldSetOf(schema, merged))).length === 0
      )
    }),
    { seed: 7, numRuns: 1000 },
  )
  t.pass('1000 pairs')
})

/** Some value of a shape, chosen by `pick(n)` in [0, n). */
function someValue(schema: Schema, pick: (below: number) => number, depth: number): Json {
  if (pick(12) === 0) return null
  if (schema.type === 'scalar') return pick(2) ? `s${pick(3)}` : pick(3)
  if (schema.type === 'any') return [1, 'x', {}, { a: { b: 1 } }, [{ c: 1 }]][pick(5)] as Json
  if (depth > 7) return schema.type === 'list' ? [] : {}
  if (schema.type === 'list') return Array.from({ length: pick(4) }, () => someValue(schema.item, pick, depth + 1))
  const names = schema.type === 'map' ? ['a', 'b/c', '__proto__', 'constructor'] : [...schema.fields.keys()]
  const result: JsonObject = {}
  const count = names.length === 0 ? 0 : pick(depth < 2 ? 8 : 4)
  for (let i = 0; i < count; i++) {
    const name = names[pick(names.length)] as string
    const field = schema.type === 'map' ? schema.value : schema.fields.get(name)?.schema
    if (field) Object.defineProperty(result, name, { value: someValue(field, pick, depth + 1), enumerable: true, configurable: true })
  }
  return result
}

void t.test('the fields of a new object are those that a comparison with nothing finds', async (t) => {
  const types = resourceTypes.filter(({ schema }) => schema().fields.has('metadata'))
  fc.assert(
    fc.property(fc.nat(types.length - 1), fc.infiniteStream(fc.nat(1_000_000)), (at, numbers) => {
      const schema = types[at]?.schema()
      if (!schema) return
      const value = someValue(schema, (below) => (numbers.next().value as number) % below, 0)
      const object = isObject(value) ? value : {}
      const changes = compare(schema, emptyObject(schema), object)
      const set = withoutServerFields(union(changes.added, changes.modified))
      t.same(fieldsOfCreated(schema, object) ?? {}, encodeFieldSet(set))
    }),
    { numRuns: 400 },
  )
})

void t.test('kubectl goes over from its own side to the server without conflicts', async (t) => {
  const config = cloneJson(base)
  const annotation = 'kubectl.kubernetes.io/last-applied-configuration'
  const live = cloneJson(base)
  ;(live.metadata as JsonObject).annotations = { [annotation]: JSON.stringify(config) }
  deployments.setDefaults(live)
  trackUpdate(deployments, live, undefined, { manager: 'kubectl-client-side-apply', time: 'T1' })
  ;(config.spec as JsonObject).replicas = 5
  const as = (manager: string) => ({ manager, time: 'T2', force: false })
  t.match(
    conflict(() => applyConfiguration(deployments, live, config, as('other'))).message,
    /kubectl-client-side-apply.*: \.spec\.replicas/,
  )
  const applied = applyConfiguration(deployments, live, config, as('kubectl'))
  t.equal((applied.spec as JsonObject).replicas, 5)
  const noted = ((applied.metadata as JsonObject).annotations as JsonObject)[annotation]
  t.equal((JSON.parse(String(noted)) as { spec: JsonObject }).spec.replicas, 5, 'the annotation follows')
  // Somebody else changed it since: that is a conflict.
  const scaled = cloneJson(live)
  ;(scaled.spec as JsonObject).replicas = 9
  trackUpdate(deployments, scaled, live, { manager: 'hand', time: 'T3' })
  t.match(
    conflict(() => applyConfiguration(deployments, scaled, config, as('kubectl'))).message,
    /conflict with "hand" using apps\/v1: \.spec\.replicas/,
  )
})
