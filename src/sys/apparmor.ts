// AppArmor's own programs on this machine.
import { existsSync } from 'node:fs'

/** Undefined where AppArmor's own programs are not installed. */
export const appArmorParser = (): string | undefined =>
  ['/usr/sbin/apparmor_parser', '/sbin/apparmor_parser'].find((path) => existsSync(path))
