// A plugin as an executable: environment and standard input in, result or error object out (specification, section 2).
import { statSync } from 'node:fs'
import { type Clock, type CommandIo, explain, systemClock } from '../lib/index.js'
import { checkInterface } from './cni.js'
import { checkName } from './config.js'
import { executor, runHere } from './execute.js'
import { builtinPlugins } from './plugins/index.js'
import { CNI_ERRORS, type CniCommand, CniError, type CniResult, type Plugin, type PluginConfig, type PluginRequest } from './types.js'
import { atLeast, CNI_VERSIONS, CURRENT_VERSION, checkVersion, readResult, writeResult } from './versions.js'

const REQUIRED: Readonly<Record<CniCommand, readonly string[]>> = {
  ADD: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_PATH'],
  CHECK: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_PATH'],
  DEL: ['CNI_CONTAINERID', 'CNI_IFNAME', 'CNI_PATH'],
  GC: ['CNI_PATH'],
  STATUS: ['CNI_PATH'],
  VERSION: [],
}

/** Runs the plugin `name` for one command; the exit code. */
export async function pluginMain(name: string, io: CommandIo, clock: Clock = systemClock): Promise<number> {
  let version: string = CURRENT_VERSION
  try {
    const plugins = builtinPlugins(clock)
    const plugin = plugins.find((one) => one.name === name)
    if (!plugin)
      throw new CniError(CNI_ERRORS.invalidEnvironment, `there is no plugin "${name}": ${plugins.map((one) => one.name).join(', ')}`)
    const command = io.env.CNI_COMMAND ?? ''
    if (command === '') {
      io.stderr.write(`CNI ${name} plugin of knarr\nCNI protocol versions supported: ${CNI_VERSIONS.join(', ')}\n`)
      return 0
    }
    if (!Object.hasOwn(REQUIRED, command)) throw new CniError(CNI_ERRORS.invalidEnvironment, `unknown CNI_COMMAND: ${command}`)
    if (command === 'VERSION') {
      io.stdout.write(`${JSON.stringify({ cniVersion: CURRENT_VERSION, supportedVersions: CNI_VERSIONS })}\n`)
      return 0
    }
    checkEnvironment(command as CniCommand, io.env)
    const config = await readConfig(io)
    version = config.cniVersion
    const result = await run(plugin, plugins, command as CniCommand, config, io, clock)
    if (command === 'ADD') io.stdout.write(`${JSON.stringify(writeResult(result ?? {}, version))}\n`)
    return 0
  } catch (error) {
    const known = error instanceof CniError ? error : new CniError(CNI_ERRORS.internal, explain(error))
    const details = known.details === '' ? {} : { details: known.details }
    io.stdout.write(`${JSON.stringify({ cniVersion: version, code: known.code, msg: known.message, ...details })}\n`)
    return 1
  }
}

function checkEnvironment(command: CniCommand, env: CommandIo['env']): void {
  const absent = REQUIRED[command].filter((key) => !env[key])
  if (absent.length > 0) throw new CniError(CNI_ERRORS.invalidEnvironment, `required env variables [${absent.join(',')}] missing`)
  if (!REQUIRED[command].includes('CNI_CONTAINERID')) return
  checkName('container id', env.CNI_CONTAINERID)
  checkInterface(env.CNI_IFNAME ?? '')
  if (command === 'ADD' && isOwnNamespace(env.CNI_NETNS ?? '') && !env.CNI_NETNS_OVERRIDE)
    throw new CniError(CNI_ERRORS.unsupportedField, `CNI_NETNS ${env.CNI_NETNS} is the network of the machine itself: nothing was done`)
}

function isOwnNamespace(path: string): boolean {
  const [given, own] = [statSync(path, { throwIfNoEntry: false }), statSync('/proc/self/ns/net')]
  return given?.ino === own.ino && given?.dev === own.dev
}

async function readConfig(io: CommandIo): Promise<PluginConfig & { readonly cniVersion: string }> {
  let text = ''
  for await (const chunk of io.stdin) text += String(chunk)
  let config: PluginConfig
  try {
    config = JSON.parse(text) as PluginConfig
  } catch (error) {
    throw new CniError(CNI_ERRORS.decodeFailure, `error decoding the network configuration: ${explain(error)}`)
  }
  const version = config?.cniVersion ?? '0.1.0'
  checkVersion(version)
  checkName('network name', config.name)
  return { ...config, cniVersion: version, ...(config.prevResult ? { prevResult: readResult(config.prevResult) } : {}) }
}

function run(
  plugin: Plugin,
  plugins: readonly Plugin[],
  command: CniCommand,
  config: PluginConfig & { readonly cniVersion: string },
  io: CommandIo,
  clock: Clock,
): Promise<CniResult | undefined> {
  const needs: Readonly<Partial<Record<CniCommand, string>>> = { CHECK: '0.4.0', GC: '1.1.0', STATUS: '1.1.0' }
  const needed = needs[command]
  if (needed && !atLeast(config.cniVersion, needed))
    throw new CniError(CNI_ERRORS.incompatibleVersion, `config version ${config.cniVersion} does not allow ${command}`)
  const execute = executor({ clock, plugins: new Map(plugins.map((one) => [one.name, one])), timeoutMs: 60_000 })
  const request: Omit<PluginRequest, 'delegate'> = {
    command,
    containerId: io.env.CNI_CONTAINERID ?? '',
    netns: io.env.CNI_NETNS ?? '',
    ifName: io.env.CNI_IFNAME ?? '',
    args: io.env.CNI_ARGS ?? '',
    path: (io.env.CNI_PATH ?? '').split(':').filter(Boolean),
    config,
  }
  const delegate = (type: string, other: CniCommand): Promise<CniResult | undefined> => execute(type, { ...request, command: other })
  return runHere(plugin, { ...request, delegate })
}
