// An OCI seccomp profile compiled to a BPF filter: for each architecture a binary search over the calls' numbers. Pure.
import { type FilterArchitecture, filterArchitectures, syscallsOf } from './architectures.js'

/** The `linux.seccomp` object of an OCI spec, as far as a filter carries it out. */
export interface SeccompProfile {
  readonly defaultAction: string
  readonly defaultErrnoRet?: number
  readonly architectures?: readonly string[]
  readonly flags?: readonly string[]
  readonly syscalls?: readonly {
    readonly names: readonly string[]
    readonly action: string
    readonly errnoRet?: number
    readonly args?: readonly SeccompArgument[]
  }[]
}

export interface SeccompArgument {
  readonly index: number
  readonly value: number
  readonly valueTwo?: number
  readonly op: string
}

export interface SeccompFilter {
  /** Instructions of eight bytes each (struct sock_filter). */
  readonly filter: Buffer
  readonly flags: number
  /** Some action asks a supervisor: the load returns a listener. */
  readonly notify: boolean
}

type Instruction = readonly [code: number, jumpTrue: number, jumpFalse: number, k: number]

const LOAD = 0x20
const AND = 0x54
const JUMP = 0x05
const JUMP_EQ = 0x15
const JUMP_GT = 0x25
const JUMP_GE = 0x35
const RETURN = 0x06

const OFFSET_NUMBER = 0
const OFFSET_ARCH = 4
const OFFSET_ARGS = 16

const EPERM = 1
const ENOSYS = 38
const RET_ERRNO = 0x50000
const RET_KILL_PROCESS = 0x80000000
const RET_NOTIFY = 0x7fc00000

const actions: Readonly<Record<string, { readonly value: number; readonly data?: boolean }>> = {
  SCMP_ACT_KILL: { value: 0 },
  SCMP_ACT_KILL_THREAD: { value: 0 },
  SCMP_ACT_KILL_PROCESS: { value: RET_KILL_PROCESS },
  SCMP_ACT_TRAP: { value: 0x30000 },
  SCMP_ACT_ERRNO: { value: RET_ERRNO, data: true },
  SCMP_ACT_TRACE: { value: 0x7ff00000, data: true },
  SCMP_ACT_ALLOW: { value: 0x7fff0000 },
  SCMP_ACT_LOG: { value: 0x7ffc0000 },
  SCMP_ACT_NOTIFY: { value: RET_NOTIFY },
}

const flagBits: Readonly<Record<string, number>> = {
  // One thread alone loads the filter: there is nobody to synchronize with.
  SECCOMP_FILTER_FLAG_TSYNC: 0,
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: 32,
}
const FLAG_NEW_LISTENER = 8

export const seccompActions = Object.keys(actions)
export const seccompFlags = Object.keys(flagBits)
export const seccompOperators = [
  'SCMP_CMP_NE',
  'SCMP_CMP_LT',
  'SCMP_CMP_LE',
  'SCMP_CMP_EQ',
  'SCMP_CMP_GE',
  'SCMP_CMP_GT',
  'SCMP_CMP_MASKED_EQ',
]

function actionValue(name: string, errnoRet: number | undefined): number {
  const action = actions[name]
  if (!action) throw new Error(`seccomp: unknown action ${name}`)
  return action.value + (action.data ? (errnoRet ?? EPERM) & 0xffff : 0)
}

/** What happens to one system call: the first rule whose conditions hold, else the default. */
interface Rule {
  readonly action: number
  readonly args: readonly SeccompArgument[]
}

/** Several conditions on one argument are alternatives, as runc reads them; on different arguments all must hold. */
function alternatives(args: readonly SeccompArgument[]): readonly (readonly SeccompArgument[])[] {
  const repeated = new Set(args.map(({ index }) => index)).size < args.length
  return repeated ? args.map((arg) => [arg]) : [args]
}

/** Rules by system call number, in the order of the profile. */
function rulesByNumber(profile: SeccompProfile, arch: FilterArchitecture): ReadonlyMap<number, readonly Rule[]> {
  const numbers = syscallsOf(arch)
  const byNumber = new Map<number, Rule[]>()
  for (const { names, action, errnoRet, args = [] } of profile.syscalls ?? []) {
    const value = actionValue(action, errnoRet)
    for (const name of names) {
      const number = numbers.get(name)
      // Calls of other architectures and of other kernels stand in every profile.
      if (number === undefined) continue
      const rules = byNumber.get(number) ?? []
      byNumber.set(number, rules)
      for (const alternative of alternatives(args)) rules.push({ action: value, args: alternative })
    }
  }
  return byNumber
}

/** Instructions that fall through when the condition holds and jump `otherwise` instructions past their end when not. */
function condition({ index, value, valueTwo = 0, op }: SeccompArgument, otherwise: number): readonly Instruction[] {
  const split = (number: number): readonly [number, number] => {
    const bits = BigInt.asUintN(64, BigInt(Math.trunc(number)))
    return [Number(bits >> 32n), Number(bits & 0xffffffffn)]
  }
  const low: Instruction = [LOAD, 0, 0, OFFSET_ARGS + 8 * index]
  const high: Instruction = [LOAD, 0, 0, OFFSET_ARGS + 8 * index + 4]
  const [h, l] = split(value)
  const no = otherwise
  switch (op) {
    case 'SCMP_CMP_EQ':
      return [high, [JUMP_EQ, 0, no + 2, h], low, [JUMP_EQ, 0, no, l]]
    case 'SCMP_CMP_NE':
      return [high, [JUMP_EQ, 0, 2, h], low, [JUMP_EQ, no, 0, l]]
    case 'SCMP_CMP_GT':
      return [high, [JUMP_GT, 3, 0, h], [JUMP_EQ, 0, no + 2, h], low, [JUMP_GT, 0, no, l]]
    case 'SCMP_CMP_GE':
      return [high, [JUMP_GT, 3, 0, h], [JUMP_EQ, 0, no + 2, h], low, [JUMP_GE, 0, no, l]]
    case 'SCMP_CMP_LT':
      return [high, [JUMP_GT, no + 3, 0, h], [JUMP_EQ, 0, 2, h], low, [JUMP_GE, no, 0, l]]
    case 'SCMP_CMP_LE':
      return [high, [JUMP_GT, no + 3, 0, h], [JUMP_EQ, 0, 2, h], low, [JUMP_GT, no, 0, l]]
    case 'SCMP_CMP_MASKED_EQ': {
      const [h2, l2] = split(valueTwo)
      return [high, [AND, 0, 0, h], [JUMP_EQ, 0, no + 3, h2], low, [AND, 0, 0, l], [JUMP_EQ, 0, no, l2]]
    }
    default:
      throw new Error(`seccomp: unknown comparison ${op}`)
  }
}

/** The code of one call: returns in every case. */
function decide(rules: readonly Rule[], fallback: number): readonly Instruction[] {
  const code: Instruction[] = []
  for (const { action, args } of rules) {
    // Back to front: a condition needs to know how much of the rule lies behind it.
    let tail: readonly Instruction[] = [[RETURN, 0, 0, action]]
    for (const arg of [...args].reverse()) tail = [...condition(arg, tail.length), ...tail]
    code.push(...tail)
    if (args.length === 0) return code
  }
  return [...code, [RETURN, 0, 0, fallback]]
}

interface Range {
  readonly from: number
  readonly code: readonly Instruction[]
}

const sameCode = (a: readonly Instruction[], b: readonly Instruction[]): boolean => JSON.stringify(a) === JSON.stringify(b)

/** Neighbouring numbers with the same fate become one range; the first range begins at 0 and the last has no end. */
function ranges(rules: ReadonlyMap<number, readonly Rule[]>, fallback: number, unknown: number): readonly Range[] {
  const list: Range[] = []
  const add = (from: number, code: readonly Instruction[]): void => {
    const last = list.at(-1)
    if (!last || !sameCode(last.code, code)) list.push({ from, code })
  }
  const gap: readonly Instruction[] = [[RETURN, 0, 0, fallback]]
  let next = 0
  for (const number of [...rules.keys()].sort((a, b) => a - b)) {
    if (number > next || next === 0) add(next, number > next ? gap : decide(rules.get(number) ?? [], fallback))
    add(number, decide(rules.get(number) ?? [], fallback))
    next = number + 1
  }
  add(next, [[RETURN, 0, 0, unknown]])
  return list
}

/** A conditional jump reaches 255 instructions: farther away it goes by an unconditional one. */
function branch(code: number, k: number, no: readonly Instruction[], yes: readonly Instruction[]): readonly Instruction[] {
  if (no.length <= 255) return [[code, no.length, 0, k], ...no, ...yes]
  return [[code, 0, 1, k], [JUMP, 0, 0, no.length], ...no, ...yes]
}

function search(list: readonly Range[]): readonly Instruction[] {
  if (list.length === 1) return list[0]?.code ?? []
  const middle = list.length >> 1
  return branch(JUMP_GE, list[middle]?.from ?? 0, search(list.slice(0, middle)), search(list.slice(middle)))
}

/** Calls newer than any that the profile's author knew get ENOSYS where the default would deny: libc then falls back to an older one. */
function unknownAction(profile: SeccompProfile, fallback: number): number {
  const denies = ['SCMP_ACT_ERRNO', 'SCMP_ACT_KILL', 'SCMP_ACT_KILL_THREAD', 'SCMP_ACT_KILL_PROCESS', 'SCMP_ACT_TRAP']
  return denies.includes(profile.defaultAction) ? RET_ERRNO + ENOSYS : fallback
}

function section(profile: SeccompProfile, arch: FilterArchitecture, fallback: number): readonly Instruction[] {
  return search(ranges(rulesByNumber(profile, arch), fallback, unknownAction(profile, fallback)))
}

export function compileSeccomp(profile: SeccompProfile, native: 'x64' | 'arm64'): SeccompFilter {
  const fallback = actionValue(profile.defaultAction, profile.defaultErrnoRet)
  const wanted = new Set<FilterArchitecture>([native === 'x64' ? 'x86_64' : 'aarch64'])
  for (const name of profile.architectures ?? []) {
    const arch = filterArchitectures[name]
    // Profiles list the architectures of every machine they may run on.
    if (arch) wanted.add(arch)
  }
  const kill: readonly Instruction[] = [[RETURN, 0, 0, RET_KILL_PROCESS]]
  const loadNumber: Instruction = [LOAD, 0, 0, OFFSET_NUMBER]
  let code: readonly Instruction[] = kill
  const audit = { x86_64: 0xc000003e, x86: 0x40000003, x32: 0, aarch64: 0xc00000b7, arm: 0x40000028 }
  for (const arch of ['arm', 'x86', 'aarch64', 'x86_64'] as const) {
    if (!wanted.has(arch)) continue
    let body = section(profile, arch, fallback)
    if (arch === 'x86_64') {
      // x32 calls carry bit 30 and the same architecture.
      const x32 = wanted.has('x32') ? [[AND, 0, 0, 0xbfffffff] as const, ...section(profile, 'x32', fallback)] : kill
      body = branch(JUMP_GE, 0x40000000, body, x32)
    }
    code = branch(JUMP_EQ, audit[arch], code, [loadNumber, ...body])
  }
  const all: readonly Instruction[] = [[LOAD, 0, 0, OFFSET_ARCH], ...code]
  if (all.length > 4096) throw new Error(`seccomp: the profile needs ${all.length} instructions, the kernel takes 4096`)
  const filter = Buffer.alloc(8 * all.length)
  for (const [i, [op, yes, no, k]] of all.entries()) {
    filter.writeUInt16LE(op, 8 * i)
    filter.writeUInt8(yes, 8 * i + 2)
    filter.writeUInt8(no, 8 * i + 3)
    filter.writeUInt32LE(k >>> 0, 8 * i + 4)
  }
  const notify = [profile.defaultAction, ...(profile.syscalls ?? []).map(({ action }) => action)].includes('SCMP_ACT_NOTIFY')
  const given = profile.flags ?? ['SECCOMP_FILTER_FLAG_SPEC_ALLOW']
  const flags = given.reduce(
    (bits, name) => {
      const bit = flagBits[name]
      if (bit === undefined) throw new Error(`seccomp: unknown flag ${name}`)
      return bits | bit
    },
    notify ? FLAG_NEW_LISTENER : 0,
  )
  return { filter, flags, notify }
}
