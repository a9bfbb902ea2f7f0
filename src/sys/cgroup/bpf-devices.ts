// Attaches a device program to a v2 group through bpf(2).
import { closeSync, constants, openSync } from 'node:fs'
import { ERRNO, SysError } from '../../lib/index.js'
import { addressOf } from '../libc/libc.js'
import { bpf } from '../native.js'
import { devicePolicy, deviceProgram } from './device-filter.js'
import type { DeviceRule } from './resources.js'

// linux/bpf.h
const PROG_LOAD = 5
const PROG_ATTACH = 8
const PROG_DETACH = 9
const PROG_GET_FD_BY_ID = 13
const PROG_QUERY = 16
const PROG_TYPE_CGROUP_DEVICE = 15
const ATTACH_CGROUP_DEVICE = 6
const ALLOW_MULTI = 2

function loadProgram(code: Buffer, group: string): number {
  const licence = Buffer.from('Apache-2.0\0')
  const attributes = Buffer.alloc(144)
  attributes.writeUInt32LE(PROG_TYPE_CGROUP_DEVICE, 0)
  attributes.writeUInt32LE(code.length / 8, 4)
  attributes.writeBigUInt64LE(addressOf(code), 8)
  attributes.writeBigUInt64LE(addressOf(licence), 16)
  attributes.write('knarr_devices', 48)
  return bpf(PROG_LOAD, attributes, `load device filter of ${group}`)
}

/** Ids of the device programs attached to this very group. */
function attachedPrograms(groupFd: number, group: string): readonly number[] {
  const ids = Buffer.alloc(4 * 64)
  const attributes = Buffer.alloc(144)
  attributes.writeUInt32LE(groupFd, 0)
  attributes.writeUInt32LE(ATTACH_CGROUP_DEVICE, 4)
  attributes.writeBigUInt64LE(addressOf(ids), 16)
  attributes.writeUInt32LE(ids.length / 4, 24)
  bpf(PROG_QUERY, attributes, `query device filters of ${group}`)
  return Array.from({ length: attributes.readUInt32LE(24) }, (_, i) => ids.readUInt32LE(i * 4))
}

function attach(command: number, groupFd: number, programFd: number, group: string): void {
  const attributes = Buffer.alloc(144)
  attributes.writeUInt32LE(groupFd, 0)
  attributes.writeUInt32LE(programFd, 4)
  attributes.writeUInt32LE(ATTACH_CGROUP_DEVICE, 8)
  if (command === PROG_ATTACH) attributes.writeUInt32LE(ALLOW_MULTI, 12)
  bpf(command, attributes, `${command === PROG_ATTACH ? 'attach' : 'detach'} device filter of ${group}`)
}

function detachById(groupFd: number, id: number, group: string): void {
  const attributes = Buffer.alloc(144)
  attributes.writeUInt32LE(id, 0)
  const programFd = bpf(PROG_GET_FD_BY_ID, attributes, `open device filter ${id} of ${group}`)
  try {
    attach(PROG_DETACH, groupFd, programFd, group)
  } finally {
    closeSync(programFd)
  }
}

/** Puts the rules in force for the group at `folder`. Older programs go after the new one is there: never a moment without a filter. */
export function attachDeviceRules(folder: string, rules: readonly DeviceRule[]): void {
  const code = deviceProgram(devicePolicy(rules))
  const groupFd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    const before = attachedPrograms(groupFd, folder)
    const programFd = loadProgram(code, folder)
    try {
      attach(PROG_ATTACH, groupFd, programFd, folder)
    } finally {
      closeSync(programFd)
    }
    for (const id of before) detachById(groupFd, id, folder)
  } catch (error) {
    if (error instanceof SysError && error.errno === ERRNO.EINVAL)
      throw new Error(`device rules of ${folder}: this kernel was built without eBPF for cgroups (CONFIG_CGROUP_BPF)`, { cause: error })
    throw error
  } finally {
    closeSync(groupFd)
  }
}
