import fc from 'fast-check'
import t from 'tap'
import { parseLink } from './links.js'
import { Attributes, attributeList, MessageWriter, parseMessages } from './message.js'
import { parseAddress, parseForwarding, parseNeighbour, parseRoute, parseRule } from './routes.js'

t.test('what is written is read again, padded to four bytes', async (t) => {
  const w = new MessageWriter(16)
  w.begin(20, 5, 77).raw(Buffer.from([1, 2, 3]))
  w.u8(1, 9)
    .u16(2, 500)
    .u32(3, 70_000)
    .be16(4, 80)
    .be32(5, 1)
    .be64(6, 5n)
    .text(7, 'eth0')
    .bytes(8, Buffer.from([1, 2, 3, 4, 5]))
    .flag(9)
  w.nest(10, () => w.u32(1, 4))
  const [message] = parseMessages(w.end().done())
  t.match(message, { type: 20, flags: 5, sequence: 77 })
  t.equal(w.length % 4, 0)
  const attributes = new Attributes(message?.payload.subarray(4) ?? Buffer.alloc(0))
  t.same(
    [
      attributes.u8(1),
      attributes.u16(2),
      attributes.u32(3),
      attributes.be16(4),
      attributes.be32(5),
      attributes.be64(6),
      attributes.text(7),
    ],
    [9, 500, 70_000, 80, 1, 5n, 'eth0'],
  )
  t.same([...(attributes.bytes(8) ?? [])], [1, 2, 3, 4, 5])
  t.ok(attributes.has(9))
  t.equal(attributes.nested(10).u32(1), 4)
  t.equal(attributes.u32(99), undefined)
})

t.test('a long message grows its buffer and keeps its bytes', async () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 60 }), (parts) => {
      const w = new MessageWriter(16)
      w.begin(1, 0, 1)
      for (const part of parts) w.bytes(3, part)
      const payload = parseMessages(w.end().done())[0]?.payload ?? Buffer.alloc(0)
      const read = attributeList(payload)
      return read.length === parts.length && read.every(([, value], i) => Buffer.compare(value, parts[i] ?? Buffer.alloc(0)) === 0)
    }),
  )
})

t.test('bytes that are no messages end in an error or in nothing, never in a loop', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const buffer = Buffer.from(bytes)
      attributeList(buffer)
      try {
        parseMessages(buffer)
      } catch (error) {
        if (!(error instanceof Error) || !/netlink message of/.test(error.message)) throw error
      }
      for (const parse of [parseLink, parseAddress, parseRoute, parseNeighbour, parseForwarding, parseRule])
        try {
          parse({ type: 0, flags: 0, sequence: 0, port: 0, payload: buffer })
        } catch (error) {
          if (!(error instanceof RangeError)) throw error
        }
    }),
  )
})
