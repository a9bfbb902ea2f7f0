// A static ELF file of three parts: headers and interpreter (read, execute), and a program's image (read, write). Nothing else.
import type { Architecture } from '../libc/syscalls.js'
import { assemble, type Image } from './assemble.js'
import { entryCode, interpreterCode } from './interpreter.js'
import type { Program } from './program.js'

const CODE_ADDRESS = 0x400000
const HEADER = 64
const PROGRAM_HEADER = 56

/** Where segments may begin: arm64 kernels may have pages of 64 KiB. */
const pageSizes: Readonly<Record<Architecture, number>> = { x64: 4096, arm64: 65536 }

export interface ElfProgram {
  readonly file: Buffer
  readonly image: Image
  /** Changes a region's word in the file, for what is known late (a descriptor's number). */
  setWord(region: string, value: number): void
}

/** Writes the program as an executable that any kernel of that architecture runs (System V ABI, elf(5)). */
export function elfProgram(program: Program, arch: Architecture): ElfProgram {
  const page = pageSizes[arch]
  const image = assemble(program, { base: CODE_ADDRESS + page, arch, pageSize: page })
  const { code, entry } = entryCode(arch, image.entry, image.record)
  const codeOffset = HEADER + 3 * PROGRAM_HEADER
  const interpreter = interpreterCode[arch]
  const codeEnd = codeOffset + code.length + interpreter.length
  const file = Buffer.alloc(page + image.bytes.length)

  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1], 0) // 64 bits, little endian, version 1
  file.writeUInt16LE(2, 16) // ET_EXEC
  file.writeUInt16LE(arch === 'x64' ? 62 : 183, 18) // EM_X86_64, EM_AARCH64
  file.writeUInt32LE(1, 20)
  file.writeUInt32LE(CODE_ADDRESS + codeOffset + entry, 24)
  file.writeUInt32LE(HEADER, 32)
  file.writeUInt16LE(HEADER, 52)
  file.writeUInt16LE(PROGRAM_HEADER, 54)
  file.writeUInt16LE(3, 56)

  const segment = (index: number, type: number, flags: number, offset: number, address: number, length: number): void => {
    const at = HEADER + index * PROGRAM_HEADER
    file.writeUInt32LE(type, at)
    file.writeUInt32LE(flags, at + 4)
    file.writeUInt32LE(offset, at + 8)
    file.writeUInt32LE(address, at + 16)
    file.writeUInt32LE(address, at + 24)
    file.writeUInt32LE(length, at + 32)
    file.writeUInt32LE(length, at + 40)
    file.writeUInt32LE(type === PT_LOAD ? page : 16, at + 48)
  }
  const PT_LOAD = 1
  const PT_GNU_STACK = 0x6474e551
  segment(0, PT_LOAD, 5, 0, CODE_ADDRESS, codeEnd)
  segment(1, PT_LOAD, 6, page, image.base, image.bytes.length)
  segment(2, PT_GNU_STACK, 6, 0, 0, 0)
  file.set(code, codeOffset)
  file.set(interpreter, codeOffset + code.length)
  file.set(image.bytes, page)
  const setWord = (region: string, value: number): void => {
    const address = image.regions.get(region)
    if (address === undefined) throw new Error(`program: no region is called ${region}`)
    file.writeBigInt64LE(BigInt(value), page + address - image.base)
  }
  return { file, image, setWord }
}
