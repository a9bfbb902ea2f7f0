// Labels of Linux security modules: asked for on a machine without the module they are a mistake, not a wish.
import { existsSync, readFileSync } from 'node:fs'
import { hasErrno } from '../lib/index.js'
import type { Process, Spec } from './spec.js'
import { RuntimeError } from './types.js'

const selinux = (): boolean => existsSync('/sys/fs/selinux/enforce')

function apparmor(): boolean {
  try {
    return readFileSync('/sys/module/apparmor/parameters/enabled', 'utf8').startsWith('Y')
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return false
    throw error
  }
}

export function checkLabels({ apparmorProfile, selinuxLabel }: Process): void {
  const missing = (path: string, module: string): never => {
    throw new RuntimeError('InvalidSpec', `config.json: ${path}: ${module} is disabled or not supported on this machine`)
  }
  if (selinuxLabel && !selinux()) missing('process.selinuxLabel', 'SELinux')
  if (apparmorProfile && !apparmor()) missing('process.apparmorProfile', 'AppArmor')
}

/** Other than a process's, it changes nothing where there is no SELinux. */
export const mountLabelOf = (spec: Spec): string | undefined => (spec.linux?.mountLabel && selinux() ? spec.linux.mountLabel : undefined)
