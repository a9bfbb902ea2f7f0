import fc from 'fast-check'
import t from 'tap'
import {
  addQuantities,
  canonicalQuantity,
  compareQuantities,
  formatQuantity,
  parseQuantity,
  quantityMillis,
  quantityValue,
  subtractQuantities,
} from './quantity.js'

t.test('canonical forms are those of Kubernetes', async (t) => {
  const forms: Readonly<Record<string, string>> = {
    '0': '0',
    '0.0': '0',
    '1000m': '1',
    '1500m': '1500m',
    '0.5': '500m',
    '1.5Gi': '1536Mi',
    '0.5Gi': '512Mi',
    '1024Mi': '1Gi',
    '1023': '1023',
    '1000': '1k',
    '1000k': '1M',
    '12345': '12345',
    '1e3': '1e3',
    '1E6': '1e6',
    '1000E': '9223372036854775807',
    '-1Gi': '-1Gi',
    '.1': '100m',
    '1.': '1',
    '100n': '100n',
    '0.1n': '1n',
    '512Ki': '512Ki',
    '1E': '1E',
  }
  for (const [text, canonical] of Object.entries(forms)) t.equal(canonicalQuantity(text), canonical, text)
})

t.test('what is no quantity is refused', async (t) => {
  for (const text of ['', '1 Gi', 'Gi', '1GiB', '1ki', '--1', '1e', 'e5', '0x1', '1.2.3', 'NaN', '١'])
    t.equal(parseQuantity(text), undefined, text)
})

t.test('values are rounded up', async (t) => {
  t.equal(quantityValue('1500m'), 2)
  t.equal(quantityValue('1Gi'), 2 ** 30)
  t.equal(quantityMillis('1500u'), 2)
  t.equal(quantityMillis('2'), 2000)
  t.equal(quantityValue(undefined), 0)
  t.ok(compareQuantities('1Gi', '1G') > 0)
  t.equal(compareQuantities('1000m', '1'), 0)
  t.equal(addQuantities('500m', '500m'), '1')
  t.equal(subtractQuantities('1Gi', '512Mi'), '512Mi')
})

t.test('the canonical form means the same and is its own canonical form', async (t) => {
  const suffix = fc.constantFrom('', 'n', 'u', 'm', 'k', 'M', 'G', 'T', 'Ki', 'Mi', 'Gi', 'Ti', 'e3', 'E-3')
  const number = fc.tuple(fc.constantFrom('', '-'), fc.nat(99999), fc.option(fc.nat(999), { nil: undefined }))
  fc.assert(
    fc.property(number, suffix, ([sign, whole, fraction], unit) => {
      const parsed = parseQuantity(`${sign}${whole}${fraction === undefined ? '' : `.${fraction}`}${unit}`)
      if (!parsed) return false
      const text = formatQuantity(parsed)
      const again = parseQuantity(text)
      return again !== undefined && again.nanos === parsed.nanos && formatQuantity(again) === text
    }),
    { seed: 1, numRuns: 2000 },
  )
  t.pass('2000 quantities')
})
