// What a container executes and as whom, from its configuration and its image.
import type { Config as ImageConfig } from '../../image/index.js'
import type { Process } from '../../runtime/index.js'
import { invalid } from '../errors.js'
import type { ContainerConfig } from '../types.js'
import { planCapabilities } from './capabilities.js'
import type { ResolvedUser } from './users.js'

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

type ImageDefaults = NonNullable<ImageConfig['config']>

/** `command` replaces the image's entrypoint and its arguments, `args` only the arguments. */
export function processArgs(config: ContainerConfig, image: ImageDefaults): readonly string[] {
  const command = config.command ?? []
  const args = config.args ?? []
  const entrypoint = command.length > 0 ? command : (image.Entrypoint ?? [])
  const rest = command.length > 0 || args.length > 0 ? args : (image.Cmd ?? [])
  const all = [...entrypoint, ...rest]
  if (all.length === 0 || all[0] === '')
    throw invalid(`container ${JSON.stringify(config.metadata.name)}: nothing to run: neither the image nor the container names a command`)
  return all
}

/** The image's environment, then the container's; a later value of a name replaces the earlier. */
export function processEnv(config: ContainerConfig, image: ImageDefaults, facts: { hostname: string; home: string }): readonly string[] {
  const env = new Map<string, string>()
  env.set('PATH', DEFAULT_PATH)
  if (facts.hostname) env.set('HOSTNAME', facts.hostname)
  if (config.tty) env.set('TERM', 'xterm')
  for (const pair of image.Env ?? []) {
    const equals = pair.indexOf('=')
    env.set(equals < 0 ? pair : pair.slice(0, equals), equals < 0 ? '' : pair.slice(equals + 1))
  }
  for (const { key, value } of config.envs ?? []) env.set(key, value)
  if (!env.has('HOME')) env.set('HOME', facts.home)
  return [...env].map(([key, value]) => `${key}=${value}`)
}

export interface ProcessFacts {
  readonly image: ImageDefaults
  readonly user: ResolvedUser
  /** Empty when the pod has the host's name. */
  readonly hostname: string
  /** Capabilities that the kernel knows. */
  readonly capabilities: readonly string[]
  /** Name of a loaded AppArmor profile; '' for none. */
  readonly apparmorProfile: string
  /** SELinux label; '' for none. */
  readonly selinuxLabel: string
}

export function processSpec(config: ContainerConfig, facts: ProcessFacts): Process {
  const security = config.linux?.securityContext
  const privileged = security?.privileged ?? false
  const { permitted, ambient } = planCapabilities(security?.capabilities, { privileged, known: facts.capabilities })
  const oomScoreAdj = config.linux?.resources?.oomScoreAdj
  return {
    ...(config.tty ? { terminal: true } : {}),
    user: { uid: facts.user.uid, gid: facts.user.gid, additionalGids: facts.user.additionalGids },
    args: processArgs(config, facts.image),
    env: processEnv(config, facts.image, { hostname: facts.hostname, home: facts.user.home }),
    cwd: config.workingDir || facts.image.WorkingDir || '/',
    capabilities: { bounding: permitted, permitted, effective: permitted, inheritable: ambient, ambient },
    noNewPrivileges: security?.noNewPrivs ?? false,
    ...(facts.apparmorProfile ? { apparmorProfile: facts.apparmorProfile } : {}),
    ...(facts.selinuxLabel ? { selinuxLabel: facts.selinuxLabel } : {}),
    ...(oomScoreAdj === undefined ? {} : { oomScoreAdj }),
  }
}
