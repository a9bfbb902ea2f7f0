import fc from 'fast-check'
import t from 'tap'
import { encodeJson, JsonSyntaxError, jsonText, parseJson, parseJsonText } from './parse.js'
import { equalJson, type Json } from './value.js'
import { parseYaml } from './yaml.js'

/** As JSON.parse has numbers. */
const inDoubles = (value: Json): Json => JSON.parse(jsonText(value)) as Json

t.test('the same as JSON.parse wherever that is exact', async (t) => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 5 }), (text) => {
      const { value } = parseJsonText(text)
      return equalJson(inDoubles(value), JSON.parse(text) as Json)
    }),
    { seed: 2, numRuns: 1000 },
  )
  t.pass('1000 texts')
})

t.test('broken texts are refused by both', async (t) => {
  fc.assert(
    fc.property(
      fc.json({ maxDepth: 3 }),
      fc.nat(),
      fc.constantFrom('', '}', ']', '"', ',', '\\', '\u0000', 'x', '0'),
      (text, at, insert) => {
        const place = text.length === 0 ? 0 : at % text.length
        const broken = text.slice(0, place) + insert + text.slice(place + 1)
        // Numbers beyond all doubles are refused here and are Infinity there.
        fc.pre(!/e[+-]?\d{3}/i.test(broken))
        let reference: unknown
        let good = true
        try {
          reference = JSON.parse(broken)
        } catch {
          good = false
        }
        try {
          const value = inDoubles(parseJsonText(broken).value)
          return good && equalJson(value, reference)
        } catch (error) {
          return !good && error instanceof JsonSyntaxError
        }
      },
    ),
    { seed: 3, numRuns: 3000 },
  )
  t.pass('3000 texts')
})

t.test('fields that occur twice are named, the last one counts', async (t) => {
  const { value, duplicates } = parseJsonText('{"a":1,"b":[{"c":1,"c":2},{"d":{"e":1,"e":2,"e":3}}],"a":4}')
  t.same(
    duplicates.map(({ path }) => path),
    ['b[0].c', 'b[1].d.e', 'a'],
  )
  t.same(value, { a: 4, b: [{ c: 2 }, { d: { e: 3 } }] })
})

/** An object as a list of pairs: the only form that can say a name twice. */
type Pairs = readonly (readonly [string, Pairs | number])[]

const pairs = fc.letrec<{ pairs: Pairs; value: Pairs | number }>((tie) => ({
  pairs: fc.array(fc.tuple(fc.constantFrom('a', 'b', ':', '"', '\\', '\\"', '1'), tie('value')), { maxLength: 4 }),
  value: fc.oneof({ maxDepth: 4 }, fc.integer(), tie('pairs')),
})).pairs

const textOf = (value: Pairs | number): string =>
  typeof value === 'number' ? String(value) : `{${value.map(([name, field]) => `${JSON.stringify(name)} :${textOf(field)}`).join(' , ')}}`

const twice = (value: Pairs | number, path = ''): string[] => {
  if (typeof value === 'number') return []
  return value.flatMap(([name, field], index) => {
    const at = path ? `${path}.${name}` : name
    const seconds = value.slice(0, index).filter(([other]) => other === name).length
    return [...(seconds === 1 ? [at] : []), ...twice(field, at)]
  })
}

t.test('no field that occurs twice is missed', async (t) => {
  fc.assert(
    fc.property(pairs, (value) => {
      const found = parseJsonText(textOf(value))
      t.same(
        found.duplicates.map(({ path }) => path),
        twice(value),
      )
      return equalJson(found.value, JSON.parse(textOf(value)) as Json)
    }),
    { seed: 5, numRuns: 500 },
  )
})

t.test('integers beyond 2^53 stay exact, there and back', async (t) => {
  const text = '{"n":9223372036854775807,"m":-9007199254740993,"s":1}'
  const { value } = parseJsonText(text)
  t.equal((value as { n: bigint }).n, 9223372036854775807n)
  t.equal(jsonText(value), text)
  t.equal(jsonText(parseJson(encodeJson(value))), text)
})

t.test('names of the prototype are names', async (t) => {
  const { value } = parseJsonText('{"__proto__":{"polluted":true},"constructor":{"prototype":{"x":1}}}')
  t.equal(({} as Record<string, unknown>).polluted, undefined)
  t.same(Object.keys(value as object), ['__proto__', 'constructor'])
  t.equal(jsonText(value), '{"__proto__":{"polluted":true},"constructor":{"prototype":{"x":1}}}')
})

t.test('depth is bounded', async (t) => {
  t.throws(() => parseJsonText('['.repeat(100_000)), { message: 'exceeded max depth' })
  t.doesNotThrow(() => parseJsonText(`${'['.repeat(900)}${']'.repeat(900)}`))
})

t.test('YAML: types, keys twice, bombs', async (t) => {
  t.same(parseYaml('a: 1\nb: "1"\nc: [true, null, 1.5]\nd:\n  e: x\n').value, { a: 1, b: '1', c: [true, null, 1.5], d: { e: 'x' } })
  t.same(parseYaml('a: 1\nb:\n  c: 1\n  c: 2\n').duplicates, ['line 4: key "c" already set in map'])
  const bomb = `a: &a [x,x,x,x,x,x,x,x,x,x]\n${'bcdefgh'
    .split('')
    .map((c, i) => `${c}: &${c} [${Array(10).fill(`*${'abcdefgh'[i]}`).join(',')}]`)
    .join('\n')}`
  t.throws(() => parseYaml(bomb), { name: 'JsonSyntaxError' })
  t.throws(() => parseYaml('a: [1'), { name: 'JsonSyntaxError' })
  t.same(parseYaml('m: 0644\non: yes\ny: n\nt: 2001-01-01\n<<: {z: 1}').value, { m: 420, true: true, y: 'n', t: '2001-01-01', z: 1 })
  t.equal((parseYaml('n: 9223372036854775807').value as { n: bigint }).n, 9223372036854775807n)
})
