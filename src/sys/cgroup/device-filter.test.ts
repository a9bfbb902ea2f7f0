import fc from 'fast-check'
import t from 'tap'
import { devicePolicy, deviceProgram } from './device-filter.js'
import type { DeviceRule } from './resources.js'

/** Runs the program as the kernel would: a small interpreter for the instructions that it may hold. */
function run(code: Buffer, request: { type: number; access: number; major: number; minor: number }): number {
  const context = [request.type | (request.access << 16), request.major, request.minor]
  const r = [0, 0, 0, 0, 0, 0]
  for (let at = 0, steps = 0; steps < 1000; at++, steps++) {
    const op = code.readUInt8(at * 8)
    const [dst, src] = [code.readUInt8(at * 8 + 1) & 15, code.readUInt8(at * 8 + 1) >> 4]
    const [offset, imm] = [code.readInt16LE(at * 8 + 2), code.readInt32LE(at * 8 + 4)]
    const d = r[dst] ?? 0
    if (op === 0x61) r[dst] = context[offset / 4] ?? 0
    else if (op === 0xbc) r[dst] = r[src] ?? 0
    else if (op === 0xb7) r[dst] = imm
    else if (op === 0x54) r[dst] = d & imm
    else if (op === 0x74) r[dst] = d >>> imm
    else if (op === 0x15) at += d === imm ? offset : 0
    else if (op === 0x55) at += d !== imm ? offset : 0
    else if (op === 0x95) return r[0] ?? -1
    else throw new Error(`opcode ${op}`)
  }
  throw new Error('did not end')
}

const allowed = (rules: readonly DeviceRule[], type: 'b' | 'c', major: number, minor: number, access: string): boolean => {
  const bits = [...access].reduce((sum, letter) => sum | { m: 1, r: 2, w: 4 }[letter as 'm' | 'r' | 'w'], 0)
  return run(deviceProgram(devicePolicy(rules)), { type: type === 'b' ? 1 : 2, access: bits, major, minor }) === 1
}

t.test('the usual container: nothing but what is listed', async (t) => {
  const rules: DeviceRule[] = [
    { allow: false, access: 'rwm' },
    { allow: true, type: 'c', access: 'm' },
    { allow: true, type: 'c', major: 1, minor: 3, access: 'rw' },
    { allow: true, type: 'c', major: 136, access: 'rwm' },
  ]
  t.ok(allowed(rules, 'c', 1, 3, 'rw'))
  t.ok(allowed(rules, 'c', 1, 3, 'r'))
  t.ok(allowed(rules, 'c', 9, 9, 'm'))
  t.ok(allowed(rules, 'c', 136, 7, 'rwm'))
  t.notOk(allowed(rules, 'c', 1, 4, 'r'))
  t.notOk(allowed(rules, 'b', 1, 3, 'r'))
  t.notOk(allowed(rules, 'b', 8, 0, 'm'))
})

t.test('a later rule for everything starts over; taking back works in both directions', async (t) => {
  t.ok(allowed([{ allow: false }, { allow: true }], 'b', 8, 0, 'rwm'))
  const open: DeviceRule[] = [{ allow: true }, { allow: false, type: 'c', major: 1, minor: 3, access: 'w' }]
  t.notOk(allowed(open, 'c', 1, 3, 'rw'))
  t.ok(allowed(open, 'c', 1, 3, 'r'))
  const back: DeviceRule[] = [...open, { allow: true, type: 'c', major: 1, minor: 3, access: 'w' }]
  t.ok(allowed(back, 'c', 1, 3, 'rw'))
})

t.test('random rule lists: the program says what the rules say', async () => {
  const rule = fc.record({
    allow: fc.boolean(),
    type: fc.constantFrom('b', 'c'),
    major: fc.integer({ min: 0, max: 2 }),
    minor: fc.integer({ min: 0, max: 2 }),
    access: fc.constantFrom('r', 'w', 'm', 'rw', 'rwm'),
  })
  fc.assert(
    fc.property(
      fc.boolean(),
      fc.array(rule, { maxLength: 12 }),
      rule,
      fc.constantFrom('r', 'w', 'm', 'rw', 'rwm'),
      (start, rules, device, access) => {
        // Without wildcards the meaning is plain: the last rule for each letter of access decides.
        const expected = [...access].every((letter) => {
          const last = rules.findLast(
            (one) => one.type === device.type && one.major === device.major && one.minor === device.minor && one.access.includes(letter),
          )
          return last ? last.allow : start
        })
        return allowed([{ allow: start }, ...rules], device.type as 'b' | 'c', device.major, device.minor, access) === expected
      },
    ),
  )
})
