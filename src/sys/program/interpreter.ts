// The machine code that walks a program: about 190 bytes for each architecture, every line with its assembly beside it.
import type { Architecture } from '../libc/syscalls.js'

/*
 * run(first step, failure record) in a process that calls it, or the whole life of a static ELF.
 *
 * A step is 12 words: the call's number, six arguments, flags, where to store the result (0: nowhere), where to go when
 * the result is zero (0: the next step), where to go when it is an errno (0: the next step), and one word to spare.
 * Flags: bit 0 to 5 say that an argument is an address to load the argument from; bit 6 says to try again at EINTR and EAGAIN.
 * Number -1 ends the walk and returns argument 0; any other negative number is no call: its result is argument 0.
 * A step that fails and has a place to go leaves its address and -errno in the failure record.
 * Nothing here uses the stack after entry, so a CLONE_VM child may walk on while its parent is suspended.
 */

/** Bytes in the order of memory, and the line of assembly they are. A line without bytes is a label. */
export type Assembly = readonly (readonly [bytes: string, source: string])[]

const x64: Assembly = [
  ['', 'run:'],
  ['53', 'push rbx'],
  ['4154', 'push r12'],
  ['4889fb', 'mov rbx, rdi'],
  ['4989f4', 'mov r12, rsi'],
  ['', 'next:'],
  ['488b7b08', 'mov rdi, [rbx+8]'],
  ['488b7310', 'mov rsi, [rbx+16]'],
  ['488b5318', 'mov rdx, [rbx+24]'],
  ['4c8b5320', 'mov r10, [rbx+32]'],
  ['4c8b4328', 'mov r8, [rbx+40]'],
  ['4c8b4b30', 'mov r9, [rbx+48]'],
  ['8b4b38', 'mov ecx, [rbx+56]'],
  ['f6c101', 'test cl, 1'],
  ['7403', 'jz .+5'],
  ['488b3f', 'mov rdi, [rdi]'],
  ['f6c102', 'test cl, 2'],
  ['7403', 'jz .+5'],
  ['488b36', 'mov rsi, [rsi]'],
  ['f6c104', 'test cl, 4'],
  ['7403', 'jz .+5'],
  ['488b12', 'mov rdx, [rdx]'],
  ['f6c108', 'test cl, 8'],
  ['7403', 'jz .+5'],
  ['4d8b12', 'mov r10, [r10]'],
  ['f6c110', 'test cl, 16'],
  ['7403', 'jz .+5'],
  ['4d8b00', 'mov r8, [r8]'],
  ['f6c120', 'test cl, 32'],
  ['7403', 'jz .+5'],
  ['4d8b09', 'mov r9, [r9]'],
  ['488b03', 'mov rax, [rbx]'],
  ['4885c0', 'test rax, rax'],
  ['785e', 'js control'],
  ['0f05', 'syscall'],
  ['', 'result:'],
  ['488b4b40', 'mov rcx, [rbx+64]'],
  ['4885c9', 'test rcx, rcx'],
  ['7403', 'jz judge'],
  ['488901', 'mov [rcx], rax'],
  ['', 'judge:'],
  ['483d01f0ffff', 'cmp rax, -4095'],
  ['731c', 'jae failed'],
  ['4885c0', 'test rax, rax'],
  ['750e', 'jnz advance'],
  ['488b4b48', 'mov rcx, [rbx+72]'],
  ['', 'jump:'],
  ['4885c9', 'test rcx, rcx'],
  ['7405', 'jz advance'],
  ['4889cb', 'mov rbx, rcx'],
  ['eb84', 'jmp next'],
  ['', 'advance:'],
  ['4883c360', 'add rbx, 96'],
  ['e97bffffff', 'jmp next'],
  ['', 'failed:'],
  ['f6433840', 'test byte ptr [rbx+56], 64'],
  ['7412', 'jz report'],
  ['83f8fc', 'cmp eax, -4'],
  ['0f846cffffff', 'je next'],
  ['83f8f5', 'cmp eax, -11'],
  ['0f8463ffffff', 'je next'],
  ['', 'report:'],
  ['488b4b50', 'mov rcx, [rbx+80]'],
  ['4885c9', 'test rcx, rcx'],
  ['74d6', 'jz advance'],
  ['49891c24', 'mov [r12], rbx'],
  ['4989442408', 'mov [r12+8], rax'],
  ['ebc1', 'jmp jump'],
  ['', 'control:'],
  ['48ffc0', 'inc rax'],
  ['4889f8', 'mov rax, rdi'],
  ['759c', 'jnz result'],
  ['415c', 'pop r12'],
  ['5b', 'pop rbx'],
  ['c3', 'ret'],
]

const arm64: Assembly = [
  ['', 'run:'],
  ['f353bfa9', 'stp x19, x20, [sp, #-16]!'],
  ['f30300aa', 'mov x19, x0'],
  ['f40301aa', 'mov x20, x1'],
  ['', 'next:'],
  ['680240a9', 'ldp x8, x0, [x19]'],
  ['610a41a9', 'ldp x1, x2, [x19, #16]'],
  ['631242a9', 'ldp x3, x4, [x19, #32]'],
  ['652643a9', 'ldp x5, x9, [x19, #48]'],
  ['49000036', 'tbz x9, #0, .+8'],
  ['000040f9', 'ldr x0, [x0]'],
  ['49000836', 'tbz x9, #1, .+8'],
  ['210040f9', 'ldr x1, [x1]'],
  ['49001036', 'tbz x9, #2, .+8'],
  ['420040f9', 'ldr x2, [x2]'],
  ['49001836', 'tbz x9, #3, .+8'],
  ['630040f9', 'ldr x3, [x3]'],
  ['49002036', 'tbz x9, #4, .+8'],
  ['840040f9', 'ldr x4, [x4]'],
  ['49002836', 'tbz x9, #5, .+8'],
  ['a50040f9', 'ldr x5, [x5]'],
  ['e802f8b7', 'tbnz x8, #63, control'],
  ['010000d4', 'svc #0'],
  ['', 'result:'],
  ['6a2240f9', 'ldr x10, [x19, #64]'],
  ['4a0000b4', 'cbz x10, judge'],
  ['400100f9', 'str x0, [x10]'],
  ['', 'judge:'],
  ['1ffc3fb1', 'cmn x0, #4095'],
  ['02010054', 'b.hs failed'],
  ['a00000b5', 'cbnz x0, advance'],
  ['6a2640f9', 'ldr x10, [x19, #72]'],
  ['', 'jump:'],
  ['6a0000b4', 'cbz x10, advance'],
  ['f3030aaa', 'mov x19, x10'],
  ['e5ffff17', 'b next'],
  ['', 'advance:'],
  ['73820191', 'add x19, x19, #96'],
  ['e3ffff17', 'b next'],
  ['', 'failed:'],
  ['a9003036', 'tbz x9, #6, report'],
  ['1f1000b1', 'cmn x0, #4'],
  ['00fcff54', 'b.eq next'],
  ['1f2c00b1', 'cmn x0, #11'],
  ['c0fbff54', 'b.eq next'],
  ['', 'report:'],
  ['6a2a40f9', 'ldr x10, [x19, #80]'],
  ['0affffb4', 'cbz x10, advance'],
  ['930200a9', 'stp x19, x0, [x20]'],
  ['f3ffff17', 'b jump'],
  ['', 'control:'],
  ['1f0500b1', 'cmn x8, #1'],
  ['41fdff54', 'b.ne result'],
  ['f353c1a8', 'ldp x19, x20, [sp], #16'],
  ['c0035fd6', 'ret'],
]

/** The assembly of the interpreter; a test assembles the right column and compares. */
export const interpreterSource: Readonly<Record<Architecture, Assembly>> = { x64, arm64 }

const join = (assembly: Assembly): Buffer => Buffer.from(assembly.map(([bytes]) => bytes).join(''), 'hex')

export const interpreterCode: Readonly<Record<Architecture, Buffer>> = { x64: join(x64), arm64: join(arm64) }

export const STEP_WORDS = 12
export const STEP_BYTES = STEP_WORDS * 8
export const FLAG_RETRY = 64

/** Code that puts the addresses of the first step and the failure record where `run` wants them, then falls into it. `entry` is its offset. */
export function entryCode(arch: Architecture, first: number, record: number): { readonly code: Buffer; readonly entry: number } {
  const code = Buffer.alloc(arch === 'x64' ? 20 : 24)
  if (arch === 'x64') {
    code.set([0x48, 0xbf], 0) // mov rdi, first
    code.writeBigUInt64LE(BigInt(first), 2)
    code.set([0x48, 0xbe], 10) // mov rsi, record
    code.writeBigUInt64LE(BigInt(record), 12)
    return { code, entry: 0 }
  }
  code.writeBigUInt64LE(BigInt(first), 0)
  code.writeBigUInt64LE(BigInt(record), 8)
  code.writeUInt32LE(0x58ffff80, 16) // ldr x0, .-16
  code.writeUInt32LE(0x58ffffa1, 20) // ldr x1, .-12
  return { code, entry: 16 }
}
