// Network configurations: reading one, and finding the one in force in a folder.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { hasErrno } from '../lib/index.js'
import { CNI_ERRORS, CniError, type NetworkConfig, type PluginConfig } from './types.js'
import { CNI_VERSIONS, checkVersion, compareVersions } from './versions.js'

/** Names of networks and containers: they become file names. */
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/

export function checkName(what: string, name: unknown): asserts name is string {
  if (typeof name !== 'string' || !NAME.test(name))
    throw new CniError(
      what === 'network name' ? CNI_ERRORS.invalidConfig : CNI_ERRORS.invalidEnvironment,
      `${what} "${String(name)}" is not valid: letters, digits, "_", "." and "-", beginning with a letter or digit`,
    )
}

const invalid = (source: string, what: string): CniError => new CniError(CNI_ERRORS.invalidConfig, `${source}: ${what}`)

/** Reads a conflist, or the configuration of a single plugin as a list of one. `source` names it in errors. */
export function parseNetwork(text: string, source: string): NetworkConfig {
  let value: Record<string, unknown>
  try {
    value = JSON.parse(text) as Record<string, unknown>
  } catch (error) {
    throw new CniError(CNI_ERRORS.decodeFailure, `${source}: not JSON`, { cause: error })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(source, 'a JSON object is wanted')
  const plugins = value.plugins ?? (typeof value.type === 'string' ? [value] : undefined)
  if (!Array.isArray(plugins) || plugins.length === 0) throw invalid(source, '"plugins" is wanted: a list of at least one plugin')
  for (const [i, plugin] of plugins.entries())
    if (typeof plugin !== 'object' || plugin === null || typeof plugin.type !== 'string' || !NAME.test(plugin.type))
      throw invalid(source, `plugins[${i}].type is wanted: the name of a plugin`)
  try {
    checkName('network name', value.name)
    return {
      cniVersion: chooseVersion(value),
      name: value.name,
      disableCheck: flag(value, 'disableCheck', source),
      disableGC: flag(value, 'disableGC', source),
      plugins: plugins as readonly PluginConfig[],
    }
  } catch (error) {
    throw error instanceof CniError ? new CniError(error.code, `${source}: ${error.message}`, { details: error.details }) : error
  }
}

/** Some people write "true" as a string; the reference reads it. */
function flag(value: Record<string, unknown>, key: string, source: string): boolean {
  const given = value[key]
  if (given === undefined || given === false || given === 'false') return false
  if (given === true || given === 'true') return true
  throw invalid(source, `${key} is true or false`)
}

/** The newest version of `cniVersions` that we speak, or `cniVersion`. */
function chooseVersion(value: Record<string, unknown>): string {
  const offered = Array.isArray(value.cniVersions) ? value.cniVersions.filter((one): one is string => typeof one === 'string') : []
  const known = offered.filter((one) => (CNI_VERSIONS as readonly string[]).includes(one)).sort(compareVersions)
  const version = known.at(-1) ?? value.cniVersion ?? '0.1.0'
  if (typeof version !== 'string') throw new CniError(CNI_ERRORS.invalidConfig, 'cniVersion is a string')
  checkVersion(version)
  return version
}

export interface ConfigFolder {
  /** The network in force: the first file by name that can be read. Read again when the folder or the file changed. */
  current(): NetworkConfig
}

/** Watches nothing: looks at times when asked, which is right after every kind of change. */
export function configFolder(folder: string): ConfigFolder {
  let seen: { readonly stamp: string; readonly network: NetworkConfig } | undefined
  return {
    current() {
      const names = listFolder(folder)
      const errors: unknown[] = []
      for (const name of names) {
        const path = join(folder, name)
        const stat = statSync(path, { throwIfNoEntry: false })
        if (!stat) continue
        const stamp = `${path} ${stat.mtimeMs} ${stat.ctimeMs} ${stat.size} ${stat.ino}`
        if (seen?.stamp === stamp) return seen.network
        try {
          const network = parseNetwork(readFileSync(path, 'utf8'), path)
          seen = { stamp, network }
          return network
        } catch (error) {
          // A broken file must not hide the good one behind it; alone it is told.
          errors.push(error)
        }
      }
      if (errors.length > 0) throw errors[0]
      throw new CniError(CNI_ERRORS.invalidConfig, `no networks found in ${folder}: put a .conflist file there`)
    },
  }
}

function listFolder(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
      .filter((name) => /\.(conflist|conf|json)$/.test(name))
      .sort()
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return []
    throw error
  }
}
