import fc from 'fast-check'
import t from 'tap'
import { ApiError } from '../../lib/index.js'
import { findResource } from '../resources/table.js'
import { parseFieldSelector } from './fields.js'
import { formatLabelSelector, labelSelector, labelSelectorErrors, parseLabelSelector } from './labels.js'

/** The answer that a call is refused with. */
function refusal(run: () => unknown): { readonly reason?: string; readonly message?: string } {
  try {
    run()
    return {}
  } catch (error) {
    if (error instanceof ApiError) return { reason: error.reason, message: error.message }
    throw error
  }
}

t.test('label selectors', async (t) => {
  const labels = { app: 'web', tier: 'front', version: '3', empty: '' }
  const matching = [
    '',
    'app',
    'app=web',
    'app==web',
    'app!=db',
    'app in (web,db)',
    'tier notin (back)',
    '!gone',
    'version>2',
    'version<4',
    'empty=',
    'gone notin (a)',
    'app=web,tier',
    ' app = web , !x ',
  ]
  const others = [
    'gone',
    'app=db',
    'app!=web',
    'app in (db)',
    'app notin (web,db)',
    '!app',
    'version>3',
    'version<3',
    'app=web,gone',
    'tier>1',
  ]
  for (const text of matching) t.equal(parseLabelSelector(text).matches(labels), true, text)
  for (const text of others) t.equal(parseLabelSelector(text).matches(labels), false, text)
})

t.test('selectors that cannot be read are 400', async (t) => {
  for (const text of [
    '=',
    'a in',
    'a in b',
    'a in (b',
    'a=b=c',
    'a,,b',
    '-a',
    'a/b/c',
    'a=b c',
    'a>x',
    'a=-',
    ',',
    '(',
    '!',
    'a'.repeat(70),
  ])
    t.equal(refusal(() => parseLabelSelector(text)).reason, 'BadRequest', text)
})

t.test('what is formatted reads back the same', async (t) => {
  const key = fc.constantFrom('a', 'b/c', 'example.com/x-y')
  const value = fc.constantFrom('x', 'y.z', '1')
  const requirement = fc.oneof(
    fc.tuple(key, fc.constantFrom('=', '!='), value).map((parts) => parts.join('')),
    fc
      .tuple(key, fc.constantFrom('in', 'notin'), fc.uniqueArray(value, { minLength: 1 }))
      .map(([k, op, values]) => `${k} ${op} (${values.join(',')})`),
    key,
    key.map((k) => `!${k}`),
  )
  fc.assert(
    fc.property(fc.array(requirement, { maxLength: 4 }), fc.dictionary(key, value), (list, labels) => {
      const first = parseLabelSelector(list.join(','))
      const again = parseLabelSelector(formatLabelSelector(first))
      return first.matches(labels) === again.matches(labels)
    }),
    { seed: 4, numRuns: 500 },
  )
  t.pass('500 selectors')
})

t.test('selectors as objects', async (t) => {
  t.equal(labelSelector(undefined).matches({}), false)
  t.equal(labelSelector({}).matches({}), true)
  const selector = {
    matchLabels: { a: '1' },
    matchExpressions: [
      { key: 'b', operator: 'In', values: ['x'] },
      { key: 'c', operator: 'DoesNotExist' },
    ],
  }
  t.equal(labelSelector(selector).matches({ a: '1', b: 'x' }), true)
  t.equal(labelSelector(selector).matches({ a: '1', b: 'x', c: '' }), false)
  t.equal(formatLabelSelector(selector), 'a=1,b in (x),!c')
  const wrong = labelSelectorErrors(
    {
      matchExpressions: [
        { key: 'b', operator: 'In' },
        { key: 'c', operator: 'Near' },
      ],
    },
    'spec.selector',
  )
  t.same(
    wrong.map((e) => `${e.field}: ${e.message}`),
    [
      "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
      'spec.selector.matchExpressions[1].operator: Invalid value: "Near": not a valid selector operator',
    ],
  )
})

t.test('field selectors', async (t) => {
  const pods = findResource('', 'v1', 'pods')
  if (!pods) throw new Error('no pods')
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'a', namespace: 'n' },
    spec: { nodeName: 'k1' },
    status: { phase: 'Running' },
  }
  t.equal(parseFieldSelector(pods, 'spec.nodeName=k1,status.phase!=Failed').matches(pod), true)
  t.equal(parseFieldSelector(pods, 'spec.nodeName=k2').matches(pod), false)
  t.equal(parseFieldSelector(pods, 'metadata.name==a').name, 'a')
  t.equal(parseFieldSelector(pods, '').matches(pod), true)
  t.same(
    refusal(() => parseFieldSelector(pods, 'spec.foo=1')),
    { reason: 'BadRequest', message: 'field label not supported: spec.foo' },
  )
  t.equal(refusal(() => parseFieldSelector(pods, 'nonsense')).reason, 'BadRequest')
})
