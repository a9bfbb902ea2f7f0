import t from 'tap'
import { decodeProtobuf } from './protobuf.js'

/** A varint; negative numbers take ten bytes, as protobuf's int64 does. */
function varint(value: number): Buffer {
  const bytes: number[] = []
  let left = BigInt.asUintN(64, BigInt(value))
  for (; left > 0x7fn; left >>= 7n) bytes.push(Number(left & 0x7fn) | 0x80)
  return Buffer.from([...bytes, Number(left)])
}

/** A message from its fields by number: numbers are varints, the rest has a length. */
const message = (fields: Readonly<Record<number, number | string | Buffer>>): Buffer =>
  Buffer.concat(
    Object.entries(fields).flatMap(([number, value]) => {
      if (typeof value === 'number') return [varint(Number(number) << 3), varint(value)]
      const bytes = Buffer.from(value as string)
      return [varint((Number(number) << 3) | 2), varint(bytes.length), bytes]
    }),
  )

const body = (apiVersion: string, kind: string, raw: Buffer): Buffer =>
  Buffer.concat([Buffer.from('k8s\0'), message({ 1: message({ 1: apiVersion, 2: kind }), 2: raw })])

const lease = (time: Buffer): unknown =>
  decodeProtobuf(body('coordination.k8s.io/v1', 'Lease', message({ 1: message({ 1: 'held' }), 2: message({ 1: 'me', 2: 30, 4: time }) })))
    .value

t.test('times: every second that RFC 3339 can write, and the zero instant of Go', async (t) => {
  const renewTime = (seconds: number, nanos = 0): unknown =>
    (lease(message({ 1: seconds, 2: nanos })) as { spec: { renewTime?: string } }).spec.renewTime
  t.equal(renewTime(1_767_323_045, 6_000), '2026-01-02T03:04:05.000006Z')
  t.equal(renewTime(-62_135_596_798), '0001-01-01T00:00:02.000000Z')
  t.equal(renewTime(253_402_300_799), '9999-12-31T23:59:59.000000Z')
  t.equal(renewTime(-62_135_596_800), undefined)
  t.equal(renewTime(0), undefined)
  t.match(lease(Buffer.alloc(0)), { kind: 'Lease', metadata: { name: 'held' }, spec: { holderIdentity: 'me', leaseDurationSeconds: 30 } })
  for (const seconds of [253_402_300_800, -62_135_596_801, Number.MAX_SAFE_INTEGER])
    t.throws(() => renewTime(seconds), { message: `the body is not valid protobuf: a time of ${seconds} seconds` })
})

t.test('what is no message is refused', async (t) => {
  t.throws(() => decodeProtobuf(Buffer.from('{}')), { message: /does not begin with k8s/ })
  t.throws(() => decodeProtobuf(body('v1', 'Nonsense', Buffer.alloc(0))), { message: /^Nonsense of v1 cannot be read/ })
  const whole = body('v1', 'ConfigMap', message({ 1: message({ 1: 'map' }) }))
  for (let cut = 1; cut < 8; cut++)
    t.throws(() => decodeProtobuf(whole.subarray(0, -cut)), { message: /ends too early|not valid protobuf/ })
})
