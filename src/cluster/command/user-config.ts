// The kubeconfig of the person who runs us: under sudo that is not root.
import { chownSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { mergeKubeconfig, readKubeconfig, writeKubeconfig } from '../../pki/index.js'
import { readFileIfPresent, writeFileAtomic } from '../files.js'

interface Person {
  readonly home: string
  readonly uid: number
  readonly gid: number
}

/** Who called sudo, else who we are. Pure but for the defaults. */
export function person(env: Readonly<Record<string, string | undefined>>, passwd = readFileSync('/etc/passwd', 'utf8')): Person {
  const self = { home: homedir(), uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
  const line = passwd.split('\n').find((entry) => env.SUDO_UID !== undefined && entry.split(':')[2] === env.SUDO_UID)
  const [, , uid, gid, , home] = line?.split(':') ?? []
  return home ? { home, uid: Number(uid), gid: Number(gid) } : self
}

export const defaultUserConfig = (): string => join(person(process.env).home, '.kube/config')

/** Adds the cluster to a person's kubeconfig and makes it the current one; everything else in the file stays, and so does its owner. */
export function mergeIntoUserConfig(adminConf: string, path: string, env: Readonly<Record<string, string | undefined>>): void {
  const ours = readKubeconfig(readFileIfPresent(adminConf) ?? '')
  const theirs = readFileIfPresent(path)
  const { uid, gid } = theirs === undefined ? person(env) : statSync(path)
  const folder = dirname(path)
  if (!existsSync(folder)) {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    chownSync(folder, uid, gid)
  }
  writeFileAtomic(path, writeKubeconfig(theirs === undefined ? ours : mergeKubeconfig(readKubeconfig(theirs), ours)))
  chownSync(path, uid, gid)
}
