// Profiles compiled to BPF, run in a small interpreter of classic BPF.
import t from 'tap'
import { syscallsOf } from './architectures.js'
import { compileSeccomp, type SeccompProfile } from './compile.js'

const ALLOW = 0x7fff0000
const errno = (number: number): number => 0x50000 + number

/** What a filter says to a call: enough of BPF for what we emit. */
function judge(filter: Buffer, call: { nr: number; arch?: number; args?: readonly bigint[] }): number {
  const data = Buffer.alloc(64)
  data.writeUInt32LE(call.nr >>> 0, 0)
  data.writeUInt32LE(call.arch ?? 0xc000003e, 4)
  for (const [i, arg] of (call.args ?? []).entries()) data.writeBigUInt64LE(BigInt.asUintN(64, arg), 16 + 8 * i)
  let a = 0
  for (let pc = 0; ; pc++) {
    const code = filter.readUInt16LE(8 * pc)
    const k = filter.readUInt32LE(8 * pc + 4)
    const jump = (yes: boolean): void => {
      pc += filter.readUInt8(8 * pc + (yes ? 2 : 3))
    }
    if (code === 0x20) a = data.readUInt32LE(k)
    else if (code === 0x54) a = (a & k) >>> 0
    else if (code === 0x05) pc += k
    else if (code === 0x15) jump(a === k)
    else if (code === 0x25) jump(a > k)
    else if (code === 0x35) jump(a >= k)
    else if (code === 0x06) return k
    else throw new Error(`unknown instruction ${code.toString(16)} at ${pc}`)
  }
}

const number = (name: string): number => syscallsOf('x86_64').get(name) as number

t.test('names, default, unknown calls, other architectures', async (t) => {
  const profile: SeccompProfile = {
    defaultAction: 'SCMP_ACT_ERRNO',
    architectures: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32', 'SCMP_ARCH_PPC'],
    syscalls: [
      { names: ['read', 'write', 'exit_group', 'from_another_kernel'], action: 'SCMP_ACT_ALLOW' },
      { names: ['mount'], action: 'SCMP_ACT_ERRNO', errnoRet: 22 },
      { names: ['ptrace'], action: 'SCMP_ACT_KILL_PROCESS' },
    ],
  }
  const { filter, flags, notify } = compileSeccomp(profile, 'x64')
  for (const name of ['read', 'write', 'exit_group']) t.equal(judge(filter, { nr: number(name) }), ALLOW, name)
  t.equal(judge(filter, { nr: number('mount') }), errno(22))
  t.equal(judge(filter, { nr: number('ptrace') }), 0x80000000)
  t.equal(judge(filter, { nr: number('open') }), errno(1))
  t.equal(judge(filter, { nr: 5000 }), errno(38), 'a call that the profile cannot know: ENOSYS')
  t.equal(judge(filter, { nr: 3, arch: 0x40000003 }), ALLOW, 'read of 32-bit programs')
  t.equal(judge(filter, { nr: 0x40000000 + number('read') }), ALLOW, 'read of x32 programs')
  t.equal(judge(filter, { nr: 0, arch: 0xc00000b7 }), 0x80000000, 'an architecture that is not listed')
  t.equal(flags, 4)
  t.equal(notify, false)
})

t.test('every comparison, against numbers', async (t) => {
  const big = 2n ** 40n
  const values = [0n, 1n, 5n, big - 1n, big, big + 1n, big + 5n, 2n ** 63n]
  const holds: Readonly<Record<string, (a: bigint, v: bigint) => boolean>> = {
    SCMP_CMP_EQ: (a, v) => a === v,
    SCMP_CMP_NE: (a, v) => a !== v,
    SCMP_CMP_LT: (a, v) => a < v,
    SCMP_CMP_LE: (a, v) => a <= v,
    SCMP_CMP_GT: (a, v) => a > v,
    SCMP_CMP_GE: (a, v) => a >= v,
  }
  for (const [op, test] of Object.entries(holds)) {
    for (const v of [5n, big]) {
      const { filter } = compileSeccomp(
        {
          defaultAction: 'SCMP_ACT_ERRNO',
          syscalls: [{ names: ['personality'], action: 'SCMP_ACT_ALLOW', args: [{ index: 2, value: Number(v), op }] }],
        },
        'x64',
      )
      for (const a of values)
        t.equal(judge(filter, { nr: number('personality'), args: [0n, 0n, a] }) === ALLOW, test(a, v), `${a} ${op} ${v}`)
    }
  }
  const masked = compileSeccomp(
    {
      defaultAction: 'SCMP_ACT_ERRNO',
      syscalls: [
        { names: ['clone'], action: 'SCMP_ACT_ALLOW', args: [{ index: 0, value: 0x7e020000, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }] },
      ],
    },
    'x64',
  ).filter
  t.equal(judge(masked, { nr: number('clone'), args: [0x11n] }), ALLOW)
  t.equal(judge(masked, { nr: number('clone'), args: [0x10000000n] }), errno(1))
})

t.test('conditions: all of different arguments, any of one argument, rules in order', async (t) => {
  const args = (list: readonly (readonly [number, number])[]): SeccompProfile['syscalls'] => [
    { names: ['socket'], action: 'SCMP_ACT_ALLOW', args: list.map(([index, value]) => ({ index, value, op: 'SCMP_CMP_EQ' })) },
    { names: ['socket'], action: 'SCMP_ACT_ERRNO', errnoRet: 97, args: [{ index: 0, value: 40, op: 'SCMP_CMP_EQ' }] },
  ]
  const both = compileSeccomp(
    {
      defaultAction: 'SCMP_ACT_KILL',
      syscalls:
        args([
          [0, 1],
          [1, 2],
        ]) ?? [],
    },
    'x64',
  ).filter
  t.equal(judge(both, { nr: number('socket'), args: [1n, 2n] }), ALLOW)
  t.equal(judge(both, { nr: number('socket'), args: [1n, 3n] }), 0)
  t.equal(judge(both, { nr: number('socket'), args: [40n, 3n] }), errno(97))
  const either = compileSeccomp(
    {
      defaultAction: 'SCMP_ACT_KILL',
      syscalls:
        args([
          [0, 1],
          [0, 2],
        ]) ?? [],
    },
    'x64',
  ).filter
  for (const a of [1n, 2n]) t.equal(judge(either, { nr: number('socket'), args: [a] }), ALLOW)
  t.equal(judge(either, { nr: number('socket'), args: [3n] }), 0)
})

t.test('a profile with every call and conditions stays searchable over far jumps', async (t) => {
  const names = [...syscallsOf('x86_64').keys()]
  const profile: SeccompProfile = {
    defaultAction: 'SCMP_ACT_KILL_PROCESS',
    syscalls: names.map((name, i) => ({
      names: [name],
      action: 'SCMP_ACT_ERRNO',
      errnoRet: i % 200,
      args: [{ index: 1, value: i, op: 'SCMP_CMP_EQ' }],
    })),
  }
  const { filter } = compileSeccomp(profile, 'x64')
  for (const [i, name] of names.entries()) {
    if (judge(filter, { nr: number(name), args: [0n, BigInt(i)] }) !== errno(i % 200)) t.fail(name)
    if (judge(filter, { nr: number(name), args: [0n, BigInt(i + 1)] }) !== 0x80000000) t.fail(`${name} with another argument`)
  }
  t.ok(filter.length / 8 > 2000)
})

t.test('a supervisor asks for a listener', async (t) => {
  const { flags, notify } = compileSeccomp(
    {
      defaultAction: 'SCMP_ACT_ALLOW',
      flags: ['SECCOMP_FILTER_FLAG_TSYNC', 'SECCOMP_FILTER_FLAG_LOG'],
      syscalls: [{ names: ['mkdir'], action: 'SCMP_ACT_NOTIFY' }],
    },
    'x64',
  )
  t.equal(flags, 8 | 2)
  t.ok(notify)
  t.throws(() => compileSeccomp({ defaultAction: 'SCMP_ACT_WRONG' }, 'x64'), /unknown action SCMP_ACT_WRONG/)
})
