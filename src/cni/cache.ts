// What ADD gave, kept on disk for CHECK, DEL and GC; the file format is libcni's, so that its tools can read it.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasErrno } from '../lib/index.js'
import { parseNetwork } from './config.js'
import type { CniResult, NetworkConfig, RuntimeConfig } from './types.js'
import { readResult, writeResult } from './versions.js'

export interface CachedAttachment {
  readonly containerId: string
  readonly ifName: string
  readonly netns: string
  readonly args: string
  readonly network: NetworkConfig
  readonly runtimeConfig: RuntimeConfig
  readonly result: CniResult | undefined
}

interface CacheFile {
  readonly kind: 'cniCacheV1'
  readonly containerId: string
  /** The conflist, base64. */
  readonly config: string
  readonly ifName: string
  readonly networkName: string
  readonly netns?: string
  readonly cniArgs?: readonly (readonly [string, string])[]
  readonly capabilityArgs?: RuntimeConfig
  readonly result?: object
}

export class ResultCache {
  private readonly folder: string

  constructor(cacheDir: string) {
    this.folder = join(cacheDir, 'results')
  }

  private file(networkName: string, containerId: string, ifName: string): string {
    return join(this.folder, `${networkName}-${containerId}-${ifName}`)
  }

  write(attachment: CachedAttachment): void {
    const { network, containerId, ifName, netns, args, runtimeConfig, result } = attachment
    const content: CacheFile = {
      kind: 'cniCacheV1',
      containerId,
      config: Buffer.from(JSON.stringify(network)).toString('base64'),
      ifName,
      networkName: network.name,
      netns,
      cniArgs:
        args === '' ? [] : args.split(';').map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)] as const),
      capabilityArgs: runtimeConfig,
      ...(result ? { result: writeResult(result, network.cniVersion) } : {}),
    }
    mkdirSync(this.folder, { recursive: true, mode: 0o700 })
    const path = this.file(network.name, containerId, ifName)
    // Whole or not at all, also when we are killed in between.
    const temporary = join(this.folder, `.${containerId}-${ifName}.${process.pid}`)
    writeFileSync(temporary, JSON.stringify(content), { mode: 0o600 })
    renameSync(temporary, path)
  }

  remove(networkName: string, containerId: string, ifName: string): void {
    rmSync(this.file(networkName, containerId, ifName), { force: true })
  }

  /** Removes what writers left that were killed before they were done. */
  sweep(): void {
    for (const name of existsSync(this.folder) ? readdirSync(this.folder) : []) {
      const writer = /^\..*\.(\d+)$/.exec(name)?.[1]
      if (writer !== undefined && !existsSync(`/proc/${writer}`)) rmSync(join(this.folder, name), { force: true })
    }
  }

  /** The attachment of a container's interface, in whichever network it was made. */
  find(containerId: string, ifName: string): CachedAttachment | undefined {
    return this.list((name) => name.endsWith(`-${containerId}-${ifName}`)).find(
      (one) => one.containerId === containerId && one.ifName === ifName,
    )
  }

  list(fits: (name: string) => boolean = () => true): readonly CachedAttachment[] {
    let names: readonly string[]
    try {
      names = readdirSync(this.folder).filter((name) => !name.startsWith('.') && fits(name))
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return []
      throw error
    }
    return names.flatMap((name) => this.read(join(this.folder, name)) ?? [])
  }

  /** A file that is not ours, or broken, counts as absent. */
  private read(path: string): CachedAttachment | undefined {
    try {
      const content = JSON.parse(readFileSync(path, 'utf8')) as CacheFile
      if (content.kind !== 'cniCacheV1') return undefined
      return {
        containerId: content.containerId,
        ifName: content.ifName,
        netns: content.netns ?? '',
        args: (content.cniArgs ?? []).map(([key, value]) => `${key}=${value}`).join(';'),
        network: parseNetwork(Buffer.from(content.config, 'base64').toString(), path),
        runtimeConfig: content.capabilityArgs ?? {},
        result: content.result && readResult(content.result),
      }
    } catch {
      return undefined
    }
  }
}
