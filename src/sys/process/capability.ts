// Capabilities by name (capabilities(7)) and the bytes of capset(2). Pure.

export const CAPABILITIES = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_DAC_READ_SEARCH',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_LINUX_IMMUTABLE',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_BROADCAST',
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
  'CAP_IPC_LOCK',
  'CAP_IPC_OWNER',
  'CAP_SYS_MODULE',
  'CAP_SYS_RAWIO',
  'CAP_SYS_CHROOT',
  'CAP_SYS_PTRACE',
  'CAP_SYS_PACCT',
  'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT',
  'CAP_SYS_NICE',
  'CAP_SYS_RESOURCE',
  'CAP_SYS_TIME',
  'CAP_SYS_TTY_CONFIG',
  'CAP_MKNOD',
  'CAP_LEASE',
  'CAP_AUDIT_WRITE',
  'CAP_AUDIT_CONTROL',
  'CAP_SETFCAP',
  'CAP_MAC_OVERRIDE',
  'CAP_MAC_ADMIN',
  'CAP_SYSLOG',
  'CAP_WAKE_ALARM',
  'CAP_BLOCK_SUSPEND',
  'CAP_AUDIT_READ',
  'CAP_PERFMON',
  'CAP_BPF',
  'CAP_CHECKPOINT_RESTORE',
] as const

export type Capability = (typeof CAPABILITIES)[number]

const numbers = new Map<string, number>(CAPABILITIES.map((name, i) => [name, i]))

/** The number of `CAP_CHOWN`; undefined for a name the kernel does not have. */
export const capabilityNumber = (name: string): number | undefined => numbers.get(name.toUpperCase())

/** Bits of a set; unknown names are left out, as runc does. */
export function capabilityBits(names: readonly string[]): bigint {
  let bits = 0n
  for (const name of names) {
    const number = capabilityNumber(name)
    if (number !== undefined) bits |= 1n << BigInt(number)
  }
  return bits
}

/** Version 3 header of capset(2) for the calling thread. */
export function capabilityHeader(): Buffer {
  const header = Buffer.alloc(8)
  header.writeUInt32LE(0x20080522, 0)
  return header
}

/** The two data records of version 3. */
export function capabilityData(sets: { readonly effective: bigint; readonly permitted: bigint; readonly inheritable: bigint }): Buffer {
  const data = Buffer.alloc(24)
  for (const [i, set] of [sets.effective, sets.permitted, sets.inheritable].entries()) {
    data.writeUInt32LE(Number(set & 0xffffffffn), 4 * i)
    data.writeUInt32LE(Number(set >> 32n), 12 + 4 * i)
  }
  return data
}
