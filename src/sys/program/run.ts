// Runs a program inside this process, on this thread: memory for the interpreter and for one image, made once.
import { checked, memoryView, nativeFunction, rawSyscall, writeMemory } from '../libc/libc.js'
import { sysNumber, thisArchitecture } from '../libc/syscalls.js'
import { assemble, type Image } from './assemble.js'
import { interpreterCode } from './interpreter.js'
import type { Program } from './program.js'

const ARENA = 1 << 20
const PROT_RW = 3
const PROT_RX = 5
const MAP_PRIVATE_ANONYMOUS = 0x22

interface Machine {
  readonly base: number
  readonly view: Buffer
  readonly call: (first: bigint, record: bigint) => bigint
}

let machine: Machine | undefined

function theMachine(): Machine {
  if (machine) return machine
  const map = (length: number): number =>
    checked('mmap', 'program memory', sysNumber('mmap'), 0, length, PROT_RW, MAP_PRIVATE_ANONYMOUS, -1, 0)
  const code = map(4096)
  writeMemory(BigInt(code), interpreterCode[thisArchitecture])
  checked('mprotect', 'program memory', sysNumber('mprotect'), code, 4096, PROT_RX)
  const base = map(ARENA)
  machine = { base, view: memoryView(BigInt(base), ARENA), call: nativeFunction(BigInt(code)) }
  return machine
}

export interface RunResult {
  /** What the `end` step returned. */
  readonly result: number
  readonly image: Image
  /** The word of a region as the program left it. */
  word(region: string, index?: number): number
}

/** Runs until an `end` step. The image's memory is used again by the next run: read what you need at once. */
export function runProgram(program: Program): RunResult {
  const { base, view, call } = theMachine()
  const image = assemble(program, { base, arch: thisArchitecture, pageSize: 8 })
  if (image.bytes.length > ARENA) throw new Error(`program of ${image.bytes.length} bytes does not fit into ${ARENA}`)
  image.bytes.copy(view)
  const result = Number(call(BigInt(image.entry), BigInt(image.record)))
  return {
    result,
    image,
    word: (region, index = 0) => Number(view.readBigInt64LE((image.regions.get(region) as number) - base + 8 * index)),
  }
}

/** A sealed file in memory with these bytes: nobody can change what will be executed. */
export function memoryFile(name: string, content: Buffer, options: { readonly seal?: boolean } = {}): number {
  const MFD_CLOEXEC = 1
  const MFD_ALLOW_SEALING = 2
  const MFD_EXEC = 0x10
  const F_ADD_SEALS = 1033
  const SEALS = 1 | 2 | 4 | 8
  let fd = rawSyscall(sysNumber('memfd_create'), name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC)
  // Kernels before 6.3 do not know MFD_EXEC.
  if (fd === -22) fd = rawSyscall(sysNumber('memfd_create'), name, MFD_CLOEXEC | MFD_ALLOW_SEALING)
  if (fd < 0) return checked('memfd_create', name, sysNumber('memfd_create'), name, MFD_CLOEXEC | MFD_ALLOW_SEALING)
  try {
    const written = checked('write', name, sysNumber('write'), fd, content, content.length)
    if (written !== content.length) throw new Error(`short write of ${written} bytes to memory file ${name}`)
    if (options.seal ?? true) checked('fcntl', `seal ${name}`, sysNumber('fcntl'), fd, F_ADD_SEALS, SEALS)
    return fd
  } catch (error) {
    rawSyscall(sysNumber('close'), fd)
    throw error
  }
}
