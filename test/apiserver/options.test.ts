/* biome-ignore-all lint/suspicious/noExplicitAny: answers of the API are looked at field by field */
// What queries and bodies of options may say: each refusal in the words of kube-apiserver.
import t from 'tap'
import { configMap, startServer } from './harness.js'

const maps = '/api/v1/namespaces/default/configmaps'
const token = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

const FORBIDDEN = 'resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden'
const list = (errors: string): string => `ListOptions.meta.k8s.io "" is invalid: ${errors}`
const number = (text: string): string => `strconv.ParseInt: parsing "${text}": invalid syntax`

const revision = (text: string, problem = 'invalid syntax'): string =>
  `resourceVersion: Invalid value: "${text}": strconv.ParseUint: parsing "${text}": ${problem}`

/** resourceVersion × resourceVersionMatch × limit × continue × sendInitialEvents. */
const LISTS: Readonly<Record<string, [number, string?]>> = {
  '': [200],
  'resourceVersion=': [200],
  'resourceVersion=0': [200],
  'resourceVersion=0&limit=1': [200],
  'resourceVersion=RV&limit=1': [200],
  'resourceVersion=RV&resourceVersionMatch=Exact': [200],
  'resourceVersion=RV&resourceVersionMatch=Exact&limit=1': [200],
  'resourceVersion=RV&resourceVersionMatch=NotOlderThan': [200],
  'resourceVersion=0&resourceVersionMatch=NotOlderThan': [200],
  'limit=-1': [200],
  'resourceVersionMatch=Exact': [422, list(`${FORBIDDEN} unless resourceVersion is provided`)],
  'resourceVersion=0&resourceVersionMatch=Exact': [
    422,
    list('resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'),
  ],
  'resourceVersion=1&resourceVersionMatch=Some': [
    422,
    list('resourceVersionMatch: Unsupported value: "Some": supported values: "Exact", "NotOlderThan", ""'),
  ],
  'resourceVersionMatch=Some': [
    422,
    list(
      `[${FORBIDDEN} unless resourceVersion is provided, resourceVersionMatch: Unsupported value: "Some": supported values: "Exact", "NotOlderThan", ""]`,
    ),
  ],
  'resourceVersion=1&resourceVersionMatch=NotOlderThan&continue=TOKEN': [422, list(`${FORBIDDEN} when continue is provided`)],
  'sendInitialEvents=true': [422, list('sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list')],
  'continue=TOKEN&resourceVersion=1': [400, 'specifying resource version is not allowed when using continue'],
  'continue=TOKEN&resourceVersion=0': [200],
  [`continue=${token({ v: 'meta.k8s.io/v2', rv: 1, start: 'a' })}`]: [
    400,
    'invalid continue token: continue key is not valid: server does not recognize this encoded version meta.k8s.io/v2',
  ],
  [`continue=${token({ v: 'meta.k8s.io/v1', rv: 0, start: 'a' })}`]: [
    400,
    'invalid continue token: continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)',
  ],
  [`continue=${token({ v: 'meta.k8s.io/v1', rv: 1, start: '' })}`]: [
    400,
    'invalid continue token: continue key is not valid: encoded start key empty (version meta.k8s.io/v1)',
  ],
  [`continue=${token({ v: 'meta.k8s.io/v1', rv: 1, start: '../secrets' })}`]: [
    400,
    'invalid continue token: continue key is not valid: ../secrets',
  ],
  [`continue=${token({ v: 'meta.k8s.io/v1', rv: 1, start: 'a//b' })}`]: [400, 'invalid continue token: continue key is not valid: a//b'],
  [`continue=${token(null)}`]: [400, 'invalid continue token: continue key is not valid: server does not recognize this encoded version '],
  'resourceVersion=x': [400, `invalid resource version: ${revision('x')}`],
  'resourceVersion=-1': [400, `invalid resource version: ${revision('-1')}`],
  'resourceVersion=1.5&limit=1': [400, `invalid resource version: ${revision('1.5')}`],
  'resourceVersion=18446744073709551616': [400, `invalid resource version: ${revision('18446744073709551616', 'value out of range')}`],
  'watch=1&resourceVersion=x': [400, revision('x')],
  'resourceVersion=9007199254740991': [504],
  'resourceVersion=18446744073709551615': [504],
  'resourceVersion=99999999&resourceVersionMatch=Exact': [504],
  'resourceVersion=99999999&limit=1': [504],
  'watch=1&resourceVersion=99999999': [504],
  'limit=x': [400, number('x')],
  'timeoutSeconds=1.5': [400, number('1.5')],
  'watch=1&timeoutSeconds=x': [400, number('x')],
  'watch=1&resourceVersionMatch=NotOlderThan': [422, list(`${FORBIDDEN} for watch unless sendInitialEvents is provided`)],
  'watch=1&sendInitialEvents=true': [
    422,
    list('resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan'),
  ],
  'watch=1&sendInitialEvents=false&resourceVersionMatch=Exact': [
    422,
    list(
      '[resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan, resourceVersionMatch: Unsupported value: "Exact": supported values: "NotOlderThan"]',
    ),
  ],
}

void t.test('lists and watches', async (t) => {
  const { ask } = await startServer(t)
  await ask('POST', maps, configMap('a'))
  await ask('POST', maps, configMap('b'))
  const { metadata } = (await ask('GET', `${maps}?limit=1`)).body
  for (const [query, [status, message]] of Object.entries(LISTS)) {
    const said = query.replace('RV', metadata.resourceVersion).replace('TOKEN', metadata.continue)
    const answer = await ask('GET', `${maps}?${said}`)
    t.equal(answer.status, status, query)
    if (message !== undefined) t.equal(answer.body.message, message, query)
  }
  t.match(await ask('GET', `${maps}/a?resourceVersion=x`), { status: 400, body: { message: revision('x') } })
  for (const path of [`${maps}?resourceVersion=99999999`, `${maps}/a?resourceVersion=99999999`])
    t.match(await ask('GET', path), {
      status: 504,
      headers: { 'retry-after': '1' },
      body: {
        reason: 'Timeout',
        message: /^Timeout: Too large resource version: 99999999, current: \d+$/,
        details: { retryAfterSeconds: 1, causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }] },
      },
    })
  const { body } = await ask('GET', `${maps}?resourceVersionMatch=Exact`)
  t.same(body.details, {
    group: 'meta.k8s.io',
    kind: 'ListOptions',
    causes: [
      {
        reason: 'FieldValueForbidden',
        message: 'Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided',
        field: 'resourceVersionMatch',
      },
    ],
  })
})

void t.test('writes', async (t) => {
  const { ask } = await startServer(t)
  await ask('POST', maps, configMap('a'))
  const cases: readonly [string, string, number, string][] = [
    ['POST', 'dryRun=Some', 422, 'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All"'],
    ['PUT', 'dryRun=Some', 422, 'UpdateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All"'],
    ['PATCH', 'dryRun=Some', 422, 'PatchOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All"'],
    ['PATCH', 'force=false', 422, 'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch'],
    [
      'PUT',
      'fieldValidation=Loud',
      422,
      'UpdateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "Loud": supported values: "", "Ignore", "Strict", "Warn"',
    ],
    [
      'POST',
      `fieldManager=${'x'.repeat(129)}`,
      422,
      'CreateOptions.meta.k8s.io "" is invalid: fieldManager: Too long: may not be more than 128 bytes',
    ],
    [
      'POST',
      'fieldManager=%C3%A9%07',
      422,
      'CreateOptions.meta.k8s.io "" is invalid: fieldManager: Invalid value: "é\\u0007": invalid character U+0007 (at position 2)',
    ],
    ['DELETE', 'gracePeriodSeconds=soon', 400, number('soon')],
    ['DELETE', 'dryRun=Some', 422, 'DeleteOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All"'],
    [
      'DELETE',
      'propagationPolicy=Some&orphanDependents=true',
      422,
      'DeleteOptions.meta.k8s.io "" is invalid: [propagationPolicy: Invalid value: "Some": orphanDependents and deletionPropagation cannot be both set, propagationPolicy: Unsupported value: "Some": supported values: "Foreground", "Background", "Orphan", "nil"]',
    ],
  ]
  for (const [method, query, status, message] of cases) {
    const body = method === 'DELETE' ? undefined : configMap(method === 'POST' ? 'new' : 'a')
    const answer = await ask(method, `${maps}${method === 'POST' ? '' : '/a'}?${query}`, body)
    t.same([answer.status, answer.body.message], [status, message], `${method} ${query}`)
  }
  t.equal((await ask('POST', `${maps}?fieldManager=%C3%A9t%C3%A9&dryRun=All`, configMap('new'))).status, 201, 'letters of any language')
  for (const [body, status, message] of [
    [{ kind: 'Pod', apiVersion: 'v1' }, 400, 'Pod in version "v1" cannot be handled as a DeleteOptions'],
    [
      { gracePeriodSeconds: 'soon' },
      400,
      'DeleteOptions in version "v1" cannot be handled as a DeleteOptions: json: cannot unmarshal string into Go struct field DeleteOptions.gracePeriodSeconds of type int64',
    ],
  ] as const) {
    const answer = await ask('DELETE', `${maps}/a`, body)
    t.same([answer.status, answer.body.message], [status, message])
  }
})

void t.test('preconditions, and whose identity a body claims', async (t) => {
  const { ask } = await startServer(t)
  const { uid, resourceVersion } = (await ask('POST', maps, configMap('a'))).body.metadata
  const other = '00000000-0000-0000-0000-000000000000'
  const conflict = async (answer: Promise<any>, what: string, detail: string): Promise<void> => {
    const { status, body } = await answer
    t.same([status, body.message], [409, `Operation cannot be fulfilled on ${what} "a": ${detail}`])
  }
  await conflict(
    ask('DELETE', `${maps}/a`, { preconditions: { uid: other } }),
    'ConfigMap',
    `the UID in the precondition (${other}) does not match the UID in record (${uid}). The object might have been deleted and then recreated`,
  )
  await conflict(
    ask('DELETE', `${maps}/a`, { preconditions: { uid, resourceVersion: '1' } }),
    'ConfigMap',
    `the ResourceVersion in the precondition (1) does not match the ResourceVersion in record (${resourceVersion}). The object might have been modified`,
  )
  await conflict(
    ask('PUT', `${maps}/a`, { ...configMap('a'), metadata: { name: 'a', uid: other } }),
    'configmaps',
    `StorageError: invalid object, Code: 4, Key: /registry/configmaps/default/a, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: ${other}, UID in object meta: ${uid}`,
  )
  const patched = await ask('PATCH', `${maps}/a`, { metadata: { uid: other } })
  t.same(
    [patched.status, patched.body.message],
    [422, `ConfigMap "a" is invalid: metadata.uid: Invalid value: "${other}": field is immutable`],
  )
  const apply = (body: unknown) =>
    ask('PATCH', `${maps}/a?fieldManager=x`, body, { headers: { 'content-type': 'application/apply-patch+yaml' } })
  const { status, body } = await apply({ kind: 'ConfigMap', metadata: { name: 'a' } })
  t.same([status, body.message], [400, 'Incorrect version specified in apply patch. Specified patch version: , expected: v1'])
  t.match((await apply('a: [')).body, { code: 400, message: /^error decoding YAML: / })
  t.equal((await ask('DELETE', `${maps}/a`, { preconditions: { uid, resourceVersion } })).status, 200)
})
