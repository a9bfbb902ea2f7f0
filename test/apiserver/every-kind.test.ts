/* biome-ignore-all lint/suspicious/noExplicitAny: answers of the API are looked at field by field */
// What holds for every kind that is stored, whoever acts on it: each verb, each kind of patch, at both doors, and what watchers see.
import { generateKeyPairSync, sign } from 'node:crypto'
import t, { type Test } from 'tap'
import { type ResourceType, resourceTypes } from '../../src/api/index.js'
import { systemClock, systemRandom } from '../../src/lib/index.js'
import { createCa, createCsr } from '../../src/pki/index.js'
import { defaultAccount, startServer, type TestServer } from './harness.js'
import { POD_UID, type Sample, samples } from './samples.js'

// Some sixty lives, on a machine that may be busy.
t.setTimeout(300_000)

const PATCHES = ['strategic-merge-patch+json', 'merge-patch+json', 'json-patch+json', 'apply-patch+yaml'] as const

interface Subject {
  readonly type: ResourceType
  readonly sample: Sample
  readonly collection: string
  readonly everywhere: string
}

const object = ({ type, sample }: Subject, name: string): Record<string, any> => ({
  apiVersion: type.apiVersion,
  kind: type.kind,
  metadata: { name, labels: { every: 'kind' } },
  ...sample.body,
})

/** The same small change in the form of each patch. */
function patchBody({ type }: Subject, kind: (typeof PATCHES)[number], name: string, mark: string): unknown {
  if (kind === 'json-patch+json') return [{ op: 'add', path: '/metadata/annotations', value: { mark } }]
  const metadata = { annotations: { mark } }
  if (kind === 'apply-patch+yaml') return { apiVersion: type.apiVersion, kind: type.kind, metadata: { ...metadata, name } }
  return { metadata }
}

/** Their status is written without a word about the rest: labels, annotations, owners and finalizers stay. */
const STATUS_ALONE = new Set([
  'apiservices',
  'flowschemas',
  'prioritylevelconfigurations',
  'resourceclaims',
  'storageversionmigrations',
  'validatingadmissionpolicies',
  'volumeattachments',
])

async function patches(t: Test, { ask }: TestServer, subject: Subject, name: string, door: string): Promise<void> {
  for (const kind of PATCHES) {
    const mark = `${door}${kind}`
    const apply = kind === 'apply-patch+yaml'
    const path = `${subject.collection}/${name}${door}?fieldManager=m${apply ? '&force=true' : ''}`
    const { status, body } = await ask('PATCH', path, patchBody(subject, kind, name, mark), {
      headers: { 'content-type': `application/${kind}` },
    })
    t.equal(status, 200, `${kind} at ${door || 'the object'}: ${body.message}`)
    const kept = door === '/status' && STATUS_ALONE.has(subject.type.plural)
    t.equal(body.metadata?.annotations?.mark, kept ? undefined : mark, `${kind} at ${door || 'the object'}`)
  }
}

async function lifeOf(t: Test, server: TestServer, subject: Subject): Promise<void> {
  const { ask } = server
  const { type, collection, everywhere, sample } = subject
  const name = sample.name ?? 'first'
  const selected = `${everywhere}?labelSelector=every%3Dkind`
  const before = await ask('GET', selected)
  t.match(before, { status: 200, body: { kind: type.listKind, apiVersion: type.apiVersion } })
  const abort = new AbortController()
  const events = follow(server, `${selected}&watch=1&resourceVersion=${before.body.metadata.resourceVersion}`, abort.signal)

  const created = await ask('POST', `${collection}?fieldValidation=Strict`, object(subject, name))
  t.equal(created.status, 201, JSON.stringify(created.body))
  t.match(created.body, { kind: type.kind, apiVersion: type.apiVersion, metadata: { name, uid: /-/, managedFields: [{}] } })
  const mine = `${collection}/${name}`
  t.match(await ask('GET', mine), { status: 200, body: { metadata: { name } } })
  t.equal((await ask('GET', selected)).body.items.length, 1)
  await patches(t, server, subject, name, '')

  const { body: present } = await ask('GET', mine)
  const updated = await ask('PUT', mine, { ...present, metadata: { ...present.metadata, annotations: { by: 'update' } } })
  t.match(updated, { status: 200, body: { metadata: { annotations: { by: 'update' } } } }, JSON.stringify(updated.body.message))
  t.equal((await ask('PUT', mine, { ...present, metadata: { ...present.metadata, annotations: {} } })).status, 409)

  if (type.subresources.includes('status')) {
    const { status, body } = await ask('GET', `${mine}/status`)
    t.equal(status, 200)
    const annotated = { ...body, metadata: { ...body.metadata, annotations: { by: 'status' } } }
    const written = await ask('PUT', `${mine}/status`, annotated)
    t.equal(written.status, 200)
    t.equal(written.body.metadata.annotations.by, STATUS_ALONE.has(type.plural) ? 'update' : 'status')
    await patches(t, server, subject, name, '/status')
  }

  t.equal((await ask('DELETE', `${mine}?gracePeriodSeconds=0`)).status < 300, true)
  await gone(server, mine)
  t.equal((await ask('GET', mine)).status, 404)
  if (type.verbs.includes('deletecollection') && !sample.name) {
    for (const one of ['second', 'third']) t.equal((await ask('POST', collection, object(subject, one))).status, 201)
    t.equal((await ask('DELETE', `${collection}?labelSelector=every%3Dkind&gracePeriodSeconds=0`)).status, 200)
    for (const one of ['second', 'third']) await gone(server, `${collection}/${one}`)
    t.equal((await ask('GET', selected)).body.items.length, 0)
  }
  abort.abort()
  const seen = (await events).filter((event) => event.object.metadata.name === name)
  t.match(seen.map((event) => event.type).join(' '), /^ADDED( MODIFIED)+ DELETED$/)
  const versions = seen.map((event) => Number(event.object.metadata.resourceVersion))
  t.ok(
    versions.every((version, at) => at === 0 || version > (versions[at - 1] as number)),
    'versions go up',
  )
}

/** What holds it back in a cluster (finalizers whose controllers do not run here) is let go. */
async function gone({ ask }: TestServer, path: string): Promise<void> {
  for (let tries = 0; tries < 2000; tries++) {
    const { status, body } = await ask('GET', path)
    if (status === 404) return
    if (body.kind === 'Namespace') await ask('PUT', `${path}/finalize`, { ...body, spec: { finalizers: [] } })
    else if (body.kind !== 'CustomResourceDefinition') await ask('PATCH', path, { metadata: { finalizers: null } })
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  throw new Error(`${path} stays`)
}

async function follow(server: TestServer, url: string, signal: AbortSignal): Promise<{ type: string; object: any }[]> {
  const response = await server.handler({
    method: 'GET',
    url,
    headers: {},
    signal,
    peer: { inProcessUser: { name: 'w', groups: ['system:masters'] } },
  })
  let text = ''
  if (!(response.body instanceof Uint8Array)) for await (const chunk of response.body) text += Buffer.from(chunk).toString()
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as { type: string; object: any })
}

void t.test('every kind', { timeout: 280_000 }, async (t) => {
  const server = await startServer(t)
  await server.ask(...defaultAccount())
  const ca = await createCa('every', { clock: systemClock, random: systemRandom })
  const pair = generateKeyPairSync('ed25519')
  const table = samples({
    pem: ca.cert,
    csr: Buffer.from(createCsr({ commonName: 'x' }, pair)).toString('base64'),
    publicKey: pair.publicKey.export({ type: 'spki', format: 'der' }).toString('base64'),
    proof: sign(null, Buffer.from(POD_UID), pair.privateKey).toString('base64'),
  })
  const stored = resourceTypes.filter(({ verbs }) => verbs.includes('create') && verbs.includes('list'))
  for (const type of stored) {
    await t.test(`${type.plural} ${type.apiVersion}`, async (t) => {
      const sample = table[`${type.group}/${type.plural}`]
      if (!sample) throw new Error('there is no sample of it')
      const root = type.group ? `/apis/${type.apiVersion}` : '/api/v1'
      const everywhere = `${root}/${type.plural}`
      const collection = type.namespaced ? `${root}/namespaces/default/${type.plural}` : everywhere
      await lifeOf(t, server, { type, sample, collection, everywhere })
    })
  }
})
