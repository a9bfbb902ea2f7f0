// The architectures that a seccomp filter tells apart, and their system calls.
import { aarch64, arm, x32, x86, x86_64 } from './generated/numbers.js'

export type FilterArchitecture = 'x86_64' | 'x86' | 'x32' | 'aarch64' | 'arm'

/** By the names of OCI profiles. */
export const filterArchitectures: Readonly<Record<string, FilterArchitecture>> = {
  SCMP_ARCH_X86_64: 'x86_64',
  SCMP_ARCH_X86: 'x86',
  SCMP_ARCH_X32: 'x32',
  SCMP_ARCH_AARCH64: 'aarch64',
  SCMP_ARCH_ARM: 'arm',
}

/** Names that specs may use; filters for others than ours are never met by a program here. */
export const SECCOMP_ARCHITECTURES = [
  ...Object.keys(filterArchitectures),
  'SCMP_ARCH_MIPS',
  'SCMP_ARCH_MIPS64',
  'SCMP_ARCH_MIPS64N32',
  'SCMP_ARCH_MIPSEL',
  'SCMP_ARCH_MIPSEL64',
  'SCMP_ARCH_MIPSEL64N32',
  'SCMP_ARCH_PPC',
  'SCMP_ARCH_PPC64',
  'SCMP_ARCH_PPC64LE',
  'SCMP_ARCH_S390',
  'SCMP_ARCH_S390X',
  'SCMP_ARCH_PARISC',
  'SCMP_ARCH_PARISC64',
  'SCMP_ARCH_RISCV64',
  'SCMP_ARCH_LOONGARCH64',
  'SCMP_ARCH_M68K',
  'SCMP_ARCH_SH',
  'SCMP_ARCH_SHEB',
] as const

const tables: Readonly<Record<FilterArchitecture, string>> = { x86_64, x86, x32, aarch64, arm }
const parsed = new Map<FilterArchitecture, ReadonlyMap<string, number>>()

/** Number by name. Read on first use. */
export function syscallsOf(arch: FilterArchitecture): ReadonlyMap<string, number> {
  const known = parsed.get(arch)
  if (known) return known
  const table = new Map(
    tables[arch].split(/\s/).map((word) => {
      const colon = word.indexOf(':')
      return [word.slice(0, colon), Number(word.slice(colon + 1))] as const
    }),
  )
  parsed.set(arch, table)
  return table
}
