// Device rules as an eBPF program for cgroup v2, which has no devices controller of its own. Pure: rules in, instructions out.
import { accessOf, type DeviceRule } from './resources.js'

const ACCESS = { m: 1, r: 2, w: 4 } as const
const TYPE = { b: 1, c: 2 } as const

/** What an ordered rule list means: a default, and devices that differ from it. -1 stands for every number. */
export interface DevicePolicy {
  readonly defaultAllow: boolean
  readonly exceptions: readonly { readonly type: 'b' | 'c'; readonly major: number; readonly minor: number; readonly access: number }[]
}

const accessBits = (rule: DeviceRule): number =>
  [...accessOf(rule)].reduce((bits, letter) => bits | ACCESS[letter as keyof typeof ACCESS], 0)

/** Plays the rules as the v1 devices controller does: a rule for everything starts over, others add or take exceptions. */
export function devicePolicy(rules: readonly DeviceRule[]): DevicePolicy {
  let defaultAllow = true
  const exceptions = new Map<string, DevicePolicy['exceptions'][number]>()
  for (const rule of rules) {
    const type = rule.type === undefined || rule.type === '' ? 'a' : rule.type === 'u' ? 'c' : rule.type
    const major = rule.major ?? -1
    const minor = rule.minor ?? -1
    const access = accessBits(rule)
    if (type === 'a' && major === -1 && minor === -1) {
      defaultAllow = rule.allow
      exceptions.clear()
      continue
    }
    if (type !== 'a' && type !== 'b' && type !== 'c') throw new Error(`device rule: type "${type}" is not one of a, b, c`)
    const types: readonly ('b' | 'c')[] = type === 'a' ? ['b', 'c'] : [type]
    for (const one of types) {
      const key = `${one} ${major}:${minor}`
      const before = exceptions.get(key)?.access ?? 0
      const bits = rule.allow === defaultAllow ? before & ~access : before | access
      if (bits === 0) exceptions.delete(key)
      else exceptions.set(key, { type: one, major, minor, access: bits })
    }
  }
  return { defaultAllow, exceptions: [...exceptions.values()] }
}

/** One eBPF instruction: opcode, destination and source register, jump offset, immediate. */
function instruction(code: number, dst: number, src = 0, offset = 0, immediate = 0): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt8(code, 0)
  bytes.writeUInt8((src << 4) | dst, 1)
  bytes.writeInt16LE(offset, 2)
  bytes.writeInt32LE(immediate | 0, 4)
  return bytes
}

// Opcodes (linux/bpf.h): class | size or operation | source.
const LDX_W = 0x61
const MOV32_REG = 0xbc
const MOV_IMM = 0xb7
const AND32_IMM = 0x54
const RSH32_IMM = 0x74
const JEQ_IMM = 0x15
const JNE_IMM = 0x55
const EXIT = 0x95

/**
 * The program (BPF_PROG_TYPE_CGROUP_DEVICE). Its context is `{u32 access << 16 | type, u32 major, u32 minor}`; it returns 1 to allow.
 * r2 type, r3 access, r4 major, r5 minor, r1 scratch.
 */
export function deviceProgram(policy: DevicePolicy): Buffer {
  const code: Buffer[] = [
    instruction(LDX_W, 2, 1, 0),
    instruction(AND32_IMM, 2, 0, 0, 0xffff),
    instruction(LDX_W, 3, 1, 0),
    instruction(RSH32_IMM, 3, 0, 0, 16),
    instruction(LDX_W, 4, 1, 4),
    instruction(LDX_W, 5, 1, 8),
  ]
  for (const { type, major, minor, access } of policy.exceptions) {
    // Tests jump to the next exception; the offsets are known once the block's length is.
    const tests: ((skip: number) => Buffer)[] = [(skip) => instruction(JNE_IMM, 2, 0, skip, TYPE[type])]
    if (access !== 7) {
      tests.push(() => instruction(MOV32_REG, 1, 3))
      if (policy.defaultAllow) {
        // Denied is every request that asks for one of the denied bits.
        tests.push(() => instruction(AND32_IMM, 1, 0, 0, access))
        tests.push((skip) => instruction(JEQ_IMM, 1, 0, skip, 0))
      } else {
        // Allowed is a request that asks for allowed bits only.
        tests.push(() => instruction(AND32_IMM, 1, 0, 0, 7 & ~access))
        tests.push((skip) => instruction(JNE_IMM, 1, 0, skip, 0))
      }
    }
    if (major !== -1) tests.push((skip) => instruction(JNE_IMM, 4, 0, skip, major))
    if (minor !== -1) tests.push((skip) => instruction(JNE_IMM, 5, 0, skip, minor))
    const length = tests.length + 2
    code.push(...tests.map((test, i) => test(length - i - 1)))
    code.push(instruction(MOV_IMM, 0, 0, 0, policy.defaultAllow ? 0 : 1), instruction(EXIT, 0))
  }
  code.push(instruction(MOV_IMM, 0, 0, 0, policy.defaultAllow ? 1 : 0), instruction(EXIT, 0))
  return Buffer.concat(code)
}
