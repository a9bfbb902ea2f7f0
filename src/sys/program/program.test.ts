// Programs as values, in memory, in ELF files; the interpreters against an assembler and on both architectures.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { assemble, stepAt } from './assemble.js'
import { programText } from './describe.js'
import { elfProgram } from './elf.js'
import { interpreterCode, interpreterSource, STEP_BYTES } from './interpreter.js'
import { launch, reap } from './launch.js'
import { address, bytes, goto, type Program, step, strings, text, value, words } from './program.js'
import { memoryFile, runProgram } from './run.js'
import { ProgramWriter } from './writer.js'

const folder = mkdtempSync(join(tmpdir(), 'knarr-program-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

const tool = (name: string): boolean => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0

for (const [arch, prefix] of [
  ['x64', ''],
  ['arm64', 'aarch64-linux-gnu-'],
] as const) {
  const here = arch === 'arm64' ? tool(`${prefix}as`) : process.arch === 'x64' && tool('as')
  t.test(
    `the bytes for ${arch} are what the assembler makes of the lines beside them`,
    { skip: here ? false : `needs ${prefix}as` },
    async (t) => {
      const source = interpreterSource[arch].map(([, line]) => line).join('\n')
      writeFileSync(join(folder, 'code.s'), `${arch === 'x64' ? '.intel_syntax noprefix\n' : ''}${source}\n`)
      execFileSync(`${prefix}as`, [join(folder, 'code.s'), '-o', join(folder, 'code.o')])
      execFileSync(`${prefix}objcopy`, ['-O', 'binary', '-j', '.text', join(folder, 'code.o'), join(folder, 'code.bin')])
      t.equal(interpreterCode[arch].toString('hex'), readFileSync(join(folder, 'code.bin')).toString('hex'))
    },
  )
}

/** Says hello through a value that a call stored, jumps, takes a detour at an error, and exits with what it learned. */
const conversation: Program = {
  entry: 'main',
  blocks: [
    {
      label: 'main',
      steps: [
        step('make a pipe away from 0-2', 'eventfd2', [0, 0], { into: 'counter' }),
        step('fail on purpose', 'close', [-1], { onError: 'detour' }),
        step('never', 'exit_group', [1]),
      ],
    },
    { label: 'end', steps: [step('write', 'write', [1, address('greeting'), 6]), step('exit', 'exit_group', [value('code')])] },
    {
      label: 'detour',
      steps: [step('errors are fine', 'close', [-1], { onError: 'ignore' }), step('code', 'value', [42], { into: 'code' }), goto('end')],
    },
    { label: 'fail', resident: true, steps: [step('exit', 'exit_group', [2])] },
  ],
  regions: { greeting: [BigInt(`0x${Buffer.from('hello\n\0\0').reverse().toString('hex')}`)] },
}

for (const [arch, emulator] of [
  ['x64', undefined],
  ['arm64', 'qemu-aarch64'],
] as const) {
  const runs = arch === process.arch || (emulator !== undefined && tool(emulator))
  t.test(`an ELF file for ${arch} runs`, { skip: runs ? false : `needs ${emulator ?? arch}` }, async (t) => {
    const path = join(folder, `program-${arch}`)
    writeFileSync(path, elfProgram(conversation, arch).file, { mode: 0o755 })
    const result = arch === process.arch ? spawnSync(path) : spawnSync(emulator ?? '', [path])
    t.equal(result.stdout.toString(), 'hello\n')
    t.equal(result.status, 42)
  })
}

t.test('in this process: results, strings, retries, failures', async (t) => {
  const run = runProgram({
    entry: 'main',
    blocks: [
      {
        label: 'main',
        steps: [
          step('pid', 'getpid', [], { into: 'pid' }),
          step('end of file is no error', 'openat', [-100, text('/proc/self/comm'), 0, 0], { into: 'file' }),
          step('read', 'read', [value('file'), address('name'), 8], { into: 'length', retry: true }),
          step('close', 'close', [value('file')], { onZero: 'closed' }),
          step('wrong', 'end', [-5]),
        ],
      },
      { label: 'closed', steps: [step('open nothing', 'openat', [-100, text('/does/not/exist'), 0, 0])] },
      { label: 'fail', steps: [step('end', 'end', [value('pid')])] },
    ],
    regions: { name: [0, 0] },
  })
  t.equal(run.result, process.pid)
  t.equal(stepAt(run.image, run.word('failure'))?.name, 'open nothing')
  t.equal(run.word('failure', 1), -2)
  t.ok(run.word('length') > 0)
})

t.test('layout: words, strings once, labels, the transient part', async (t) => {
  const program: Program = {
    entry: 'main',
    blocks: [
      {
        label: 'main',
        steps: [step('execute', 'execve', [text('/bin/x'), strings(['/bin/x', 'y']), words(1n << 40n, -1, bytes(Buffer.from('abc')))])],
      },
      { label: 'fail', resident: true, steps: [step('exit', 'exit_group', [1])] },
    ],
  }
  const image = assemble(program, { base: 0x10000, arch: 'x64' })
  const word = (at: number): bigint => image.bytes.readBigUInt64LE(at - 0x10000)
  t.equal(image.transientOffset % 4096, 0)
  t.equal(image.entry, 0x10000 + image.transientOffset, 'the set-up lies behind the boundary')
  t.equal(word(image.entry), 59n)
  const argv = Number(word(image.entry + 16))
  t.equal(word(argv), word(image.entry + 8), 'the same string has one address')
  t.equal(word(argv + 16), 0n)
  const list = Number(word(image.entry + 24))
  t.same([word(list), word(list + 8)], [1n << 40n, 0xffffffffffffffffn])
  t.equal(image.bytes.toString('utf8', Number(word(list + 16)) - 0x10000, Number(word(list + 16)) - 0x10000 + 3), 'abc')
  t.equal(stepAt(image, Number(word(image.entry + 80)))?.name, 'exit', 'an errno goes to fail')
  t.equal(STEP_BYTES, 96)
  t.throws(
    () => assemble({ entry: 'main', blocks: [{ label: 'main', steps: [goto('nowhere')] }] }, { base: 0, arch: 'x64' }),
    /no block is called nowhere/,
  )
})

t.test('a writer puts detours behind everything', async (t) => {
  const w = new ProgramWriter()
  w.block('main')
  const detour = w.aside('make', 'on', () => w.step('make it', 'mkdirat', [-100, text('x'), 0o755]))
  w.step('open it', 'openat', [-100, text('x'), 0, 0], { into: 'fd', onError: detour })
  w.block('on').step('exit', 'exit_group', [0])
  t.equal(
    programText(w.program('main')),
    `main:
  open it                              fd = openat(-100, "x", 0, 0); at an error go to make-1
on:
  exit                                 exit_group(0)
make-1:
  make it                              mkdirat(-100, "x", 493)
  go to on                             0; at 0 go to on
`,
  )
})

t.test('launch: a child without a copy of this process, or the reason why not', async (t) => {
  const elf = elfProgram(conversation, process.arch === 'arm64' ? 'arm64' : 'x64')
  const { openSync, closeSync } = await import('node:fs')
  const sink = openSync('/dev/null', 'r+')
  const executable = memoryFile('conversation', elf.file)
  t.throws(() => writeFileSync(`/proc/self/fd/${executable}`, 'x'), { code: /EPERM|ETXTBSY/ }, 'sealed')
  const { pid, pidfd } = launch({ executable, argv: ['conversation'], stdio: [sink, sink, sink] })
  t.equal((reap(pid) ?? 0) >> 8, 42)
  const broken = memoryFile('broken', Buffer.from('no program'))
  t.throws(() => launch({ executable: broken, argv: ['broken'], stdio: [sink, sink, sink] }), {
    code: 'ENOEXEC',
    message: /broken \(execute\)/,
  })
  for (const fd of [sink, executable, broken, pidfd]) closeSync(fd)
  t.ok(existsSync(folder))
})
