// Strategic, merge and JSON patches against kubectl's own code (`kubectl patch --local`): the same result, or both refuse.
// Needs kubectl; skips aloud without it.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { applyJsonPatch, applyMergePatch, applyStrategicPatch, type Json, type JsonObject, namedSchema } from '../../src/api/index.js'

// A process for each patch: slow on a busy machine.
t.setTimeout(300_000)

const folder = mkdtempSync(join(tmpdir(), 'knarr-api-patch-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

const present = spawnSync('kubectl', ['version', '--client']).status === 0

type Answer = { readonly ok: true; readonly value: JsonObject } | { readonly ok: false; readonly message: string }

function kubectl(document: JsonObject, patch: Json, type: string): Answer {
  const file = join(folder, 'document.json')
  writeFileSync(file, JSON.stringify(document))
  const run = spawnSync('kubectl', ['patch', '--local', '-f', file, `--type=${type}`, '-p', JSON.stringify(patch), '-o', 'json'], {
    encoding: 'utf8',
    env: { ...process.env, HOME: folder, KUBECONFIG: join(folder, 'none') },
  })
  return run.status === 0 ? { ok: true, value: JSON.parse(run.stdout) as JsonObject } : { ok: false, message: run.stderr }
}

function ours(patch: () => Json): Answer {
  try {
    return { ok: true, value: JSON.parse(JSON.stringify(patch())) as JsonObject }
  } catch (error) {
    return { ok: false, message: String(error) }
  }
}

const name = fc.constantFrom('a', 'b', 'c', 'd')
const word = fc.constantFrom('x', 'y', 'z')
const uniqueBy = <T>(arbitrary: fc.Arbitrary<T>, key: (item: T) => string) => fc.uniqueArray(arbitrary, { selector: key, maxLength: 4 })

const env = fc.record({ name, value: word })
const port = fc.record({ containerPort: fc.constantFrom(80, 81, 82), protocol: fc.constantFrom('TCP', 'UDP') })
const container = fc.record(
  {
    name,
    image: word,
    args: fc.array(word, { maxLength: 3 }),
    env: uniqueBy(env, (e) => e.name),
    ports: uniqueBy(port, (p) => String(p.containerPort)),
  },
  { requiredKeys: ['name', 'image'] },
)
const volume = fc.record({ name, emptyDir: fc.constant({}) })
const pod = fc.record({
  apiVersion: fc.constant('v1'),
  kind: fc.constant('Pod'),
  metadata: fc.record({
    name: fc.constant('p'),
    labels: fc.dictionary(name, word, { minKeys: 1, maxKeys: 3 }),
    finalizers: fc.uniqueArray(word, { minLength: 1 }),
  }),
  spec: fc.record({
    // Always a, b and c, in any order.
    containers: fc
      .tuple(fc.shuffledSubarray(['a', 'b', 'c'], { minLength: 3 }), fc.tuple(container, container, container))
      .map(([names, list]) => list.map((one, index) => ({ ...one, name: names[index] }))),
    volumes: fc.uniqueArray(volume, { selector: (v) => v.name, minLength: 1, maxLength: 3 }),
    tolerations: fc.array(fc.record({ key: word, operator: fc.constant('Exists') }), { minLength: 1, maxLength: 2 }),
  }),
})

const orNull = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null, freq: 5 })
const envPatch = fc.record({ name, value: orNull(word) }, { requiredKeys: ['name'] })
const containerChange = {
  image: orNull(word),
  args: orNull(fc.array(word, { maxLength: 2 })),
  env: orNull(uniqueBy(envPatch, (e) => e.name)),
  ports: orNull(uniqueBy(port, (p) => String(p.containerPort))),
}
const changes = uniqueBy(fc.record({ name, ...containerChange }, { requiredKeys: ['name'] }), (c) => c.name)
/** kubectl is not sure of the order when one patch both deletes and adds, so these do not add. */
const deletions = uniqueBy(
  fc.record({ name: fc.constantFrom('a', 'b', 'c'), ...containerChange, $patch: fc.constant('delete') }, { requiredKeys: ['name'] }),
  (c) => c.name,
)
const replaced = uniqueBy(container, (c) => c.name).map((list) => [{ $patch: 'replace' }, ...list])
const volumePatch = fc.record(
  {
    name,
    emptyDir: orNull(fc.constant({ medium: 'Memory' })),
    hostPath: fc.constant({ path: '/x' }),
    $retainKeys: fc.constantFrom(['name', 'hostPath'], ['name', 'emptyDir'], ['name', 'hostPath', 'emptyDir']),
  },
  { requiredKeys: ['name'] },
)
const labels = { labels: orNull(fc.dictionary(name, orNull(word), { maxKeys: 3 })) }
const podPatch = fc.record(
  {
    // Either, or: with both, kubectl's answer depends on the order of a Go map.
    metadata: fc.oneof(
      fc.record({ ...labels, finalizers: fc.uniqueArray(word) }, { requiredKeys: [] }),
      fc.record({ ...labels, '$deleteFromPrimitiveList/finalizers': fc.uniqueArray(word, { minLength: 1 }) }, { requiredKeys: [] }),
    ),
    spec: fc.record(
      {
        containers: fc.oneof(changes, deletions, replaced),
        volumes: uniqueBy(volumePatch, (v) => v.name),
        tolerations: fc.array(fc.record({ key: word, operator: fc.constant('Exists') }), { maxLength: 2 }),
        '$setElementOrder/containers': fc.uniqueArray(fc.record({ name }), { selector: (c) => c.name }),
        $patch: fc.constant('replace'),
      },
      { requiredKeys: [] },
    ),
  },
  { requiredKeys: [] },
)

/** kubectl prints through its types: what is empty disappears there, and nothing else may differ. */
function plain(value: Json | undefined): Json | undefined {
  if (Array.isArray(value)) return value.map((item) => plain(item) ?? null)
  if (typeof value !== 'object' || value === null) return value
  const result: JsonObject = {}
  for (const [field, inner] of Object.entries(value)) {
    // kubectl leaves directives in items that are new; the server drops them as unknown.
    if (field.startsWith('$')) continue
    const cleaned = plain(inner)
    if (cleaned === null || cleaned === undefined || (Array.isArray(cleaned) && cleaned.length === 0)) continue
    if (
      ['resources', 'status', 'creationTimestamp', 'metadata'].includes(field) &&
      typeof cleaned === 'object' &&
      Object.keys(cleaned).length === 0
    )
      continue
    result[field] = cleaned
  }
  return result
}

function sameAnswer(oracle: Answer, mine: Answer): boolean {
  if (!oracle.ok || !mine.ok) return oracle.ok === mine.ok
  return JSON.stringify(sorted(plain(oracle.value) ?? null)) === JSON.stringify(sorted(plain(mine.value) ?? null))
}

const sorted = (value: Json): Json =>
  Array.isArray(value)
    ? value.map(sorted)
    : typeof value === 'object' && value !== null
      ? Object.fromEntries(
          Object.entries(value)
            .sort(([a], [b]) => (a < b ? -1 : 1))
            .map(([k, v]) => [k, sorted(v ?? null)]),
        )
      : value

const json = (value: unknown): JsonObject => JSON.parse(JSON.stringify(value)) as JsonObject

interface Comparison {
  readonly type: string
  readonly apply: (document: JsonObject, patch: Json) => Json
  readonly patches: fc.Arbitrary<unknown>
  readonly runs: number
}

/** What differs, of so many documents and patches that are the same in every run. */
function differences({ type, apply, patches, runs }: Comparison): string[] {
  return fc.sample(fc.tuple(pod, patches), { numRuns: runs, seed: 20260101 }).flatMap(([document, patch]) => {
    const before = json(document)
    const change = json(patch) as Json
    const oracle = kubectl(before, change, type)
    const mine = ours(() => apply(before, change))
    if (sameAnswer(oracle, mine)) return []
    return [`${JSON.stringify(before)}\npatch ${JSON.stringify(change)}\nkubectl ${JSON.stringify(oracle)}\nours ${JSON.stringify(mine)}`]
  })
}

const skip = present ? false : 'kubectl is not on the PATH'

t.test('strategic merge patches', { skip }, async (t) => {
  t.same(
    differences({
      type: 'strategic',
      apply: (document, patch) => applyStrategicPatch(document, patch as JsonObject, namedSchema('Pod')),
      patches: podPatch,
      runs: 40,
    }),
    [],
  )
})

t.test('merge patches', { skip }, async (t) => {
  const patch = fc.record(
    {
      metadata: fc.record({ labels: orNull(fc.dictionary(name, orNull(word))) }, { requiredKeys: [] }),
      spec: fc.record(
        { containers: fc.uniqueArray(container, { selector: (c) => c.name, minLength: 1 }), volumes: orNull(fc.constant([])) },
        { requiredKeys: [] },
      ),
    },
    { requiredKeys: [] },
  )
  t.same(differences({ type: 'merge', apply: applyMergePatch, patches: patch, runs: 15 }), [])
})

t.test('JSON patches', { skip }, async (t) => {
  const path = fc.constantFrom(
    '/metadata/labels/a',
    '/metadata/labels/b',
    '/metadata/labels',
    '/metadata/finalizers/0',
    '/metadata/finalizers/1',
    '/metadata/finalizers/-',
    '/metadata/finalizers/9',
    '/metadata/annotations/x',
  )
  const operation = fc.oneof(
    fc.record({ op: fc.constantFrom('add', 'replace'), path, value: word }),
    fc.record({ op: fc.constant('test'), path, value: fc.constantFrom<Json>('x', 'y', null) }),
    fc.record({ op: fc.constant('remove'), path }),
    fc.record({ op: fc.constantFrom('move', 'copy'), path, from: path }),
  )
  t.same(differences({ type: 'json', apply: applyJsonPatch, patches: fc.array(operation, { minLength: 1, maxLength: 3 }), runs: 25 }), [])
})
