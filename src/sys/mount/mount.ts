// Mounts as values, and the classic mount(2) that applies one.
import { checked, rawSyscall } from '../libc/libc.js'
import { sysNumber } from '../libc/syscalls.js'
import { splitOptions } from './options.js'

/** What an image store or a volume hands over: mount `source` of `type` at `target`. Options are words as in fstab. */
export interface Mount {
  readonly source: string
  readonly target: string
  readonly type: string
  readonly options?: readonly string[]
}

export const MNT_DETACH = 2
export const UMOUNT_NOFOLLOW = 8

/** mount(2), with the second call that a read-only bind mount and a propagation word need. */
export function mount({ source, target, type, options = [] }: Mount): void {
  const { flags, propagation, data } = splitOptions(options)
  const call = (what: string, from: string, as: string, bits: number, words: string): void => {
    checked('mount', `${target}${what}`, sysNumber('mount'), from, target, as, bits, words)
  }
  const MS_BIND = 0x1000
  const MS_REC = 0x4000
  const MS_REMOUNT = 0x20
  call('', source, type, flags & MS_BIND ? flags & (MS_BIND | MS_REC) : flags, data)
  try {
    const locks = flags & ~(MS_BIND | MS_REC)
    if (flags & MS_BIND && locks) call(' (remount)', source, type, locks | MS_BIND | MS_REMOUNT, '')
    for (const bits of propagation) call(' (propagation)', 'none', '', bits, '')
  } catch (error) {
    rawSyscall(sysNumber('umount2'), target, MNT_DETACH)
    throw error
  }
}

/** umount2(2). `detach` takes it out of sight at once and lets go when nobody uses it. Never follows a symlink. */
export function unmount(target: string, options: { readonly detach?: boolean } = {}): void {
  checked('umount', target, sysNumber('umount2'), target, (options.detach ? MNT_DETACH : 0) | UMOUNT_NOFOLLOW)
}
