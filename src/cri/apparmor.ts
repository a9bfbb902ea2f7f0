// AppArmor on this machine: what is loaded, and the default profile loaded when the first container needs it.
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { appArmorParser } from '../runtime/index.js'
import { CriError } from './errors.js'
import { appArmorProfile, DEFAULT_PROFILE, defaultProfile, loadedProfiles } from './spec/apparmor.js'
import type { LinuxContainerSecurityContext } from './types.js'

export interface AppArmorFiles {
  /** The kernel's list. */
  readonly profiles: string
  readonly parser: string | undefined
  /** Where profiles and what they include live. */
  readonly folder: string
}

const thisMachine = (): AppArmorFiles => ({
  profiles: '/sys/kernel/security/apparmor/profiles',
  parser: appArmorParser(),
  folder: '/etc/apparmor.d',
})

/** The kernel takes compiled profiles alone, and AppArmor's own program is what compiles them. */
async function load(profile: string, parser: string): Promise<void> {
  const child = spawn(parser, ['--replace', '--skip-cache'], { stdio: ['pipe', 'ignore', 'pipe'] })
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code ?? 1))
  })
  // It may end without having read everything: its own words are the better ones.
  child.stdin.on('error', () => {})
  child.stdin.end(profile)
  const [code, words] = await Promise.all([ended, text(child.stderr)])
  if (code !== 0)
    throw new CriError(
      'FAILED_PRECONDITION',
      `AppArmor profile ${DEFAULT_PROFILE} cannot be loaded: ${words.trim() || `${parser} ends with ${code}`}`,
    )
}

const loading = new Map<string, Promise<void>>()

/**
 * The profile of a container, there when it is needed; `''` for none. As with containerd, a machine whose kernel has AppArmor and that
 * cannot compile profiles has no default one.
 */
export async function ensureAppArmor(
  security: LinuxContainerSecurityContext | undefined,
  enabled: boolean,
  files: AppArmorFiles = thisMachine(),
): Promise<string> {
  const loaded = loadedProfiles(enabled && existsSync(files.profiles) ? readFileSync(files.profiles, 'utf8') : '')
  const profile = appArmorProfile(security?.apparmor, { enabled, privileged: security?.privileged ?? false, loaded })
  if (profile !== DEFAULT_PROFILE || loaded.has(DEFAULT_PROFILE)) return profile
  const { parser } = files
  if (parser === undefined) return ''
  const here = (name: string): boolean => existsSync(`${files.folder}/${name}`)
  const content = defaultProfile({ tunables: here('tunables/global'), base: here('abstractions/base') })
  const started = loading.get(files.profiles) ?? load(content, parser).finally(() => loading.delete(files.profiles))
  loading.set(files.profiles, started)
  await started
  return profile
}
