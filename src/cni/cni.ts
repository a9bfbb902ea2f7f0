// The caller's side of CNI: attaches a container's network namespace to the network in force, and takes it off again.
import { statSync } from 'node:fs'
import { type Clock, explain, hasErrno, keyedLock, systemClock } from '../lib/index.js'
import { withNetwork } from '../sys/index.js'
import { ResultCache } from './cache.js'
import { checkName, configFolder } from './config.js'
import { derivePluginConfig, executor, findExecutable, versionsOf } from './execute.js'
import { builtinPlugins } from './plugins/index.js'
import {
  type Attachment,
  CNI_ERRORS,
  type CniCommand,
  CniError,
  type CniResult,
  type NetworkConfig,
  type Plugin,
  type PluginConfig,
  type RuntimeConfig,
} from './types.js'
import { atLeast, writeResult } from './versions.js'

export interface CniOptions {
  /** Network configurations; the first by name is in force. */
  readonly confDir?: string
  /** Executables of plugins that are not ours. */
  readonly binDirs?: readonly string[]
  readonly cacheDir?: string
  readonly clock?: Clock
  /** Plugins that run in this process; ours by default. An empty list runs every plugin as an executable. */
  readonly plugins?: readonly Plugin[]
  readonly timeoutMs?: number
}

export interface AttachRequest {
  readonly containerId: string
  /** Path of the network namespace. */
  readonly netns: string
  readonly ifName?: string
  readonly runtimeConfig?: RuntimeConfig
  /** CNI_ARGS as a map: `{ K8S_POD_NAME: … }`. */
  readonly args?: Readonly<Record<string, string>>
}

export interface Cni {
  /** Sets up loopback and the network. When a plugin fails, what the others made is taken back. */
  add(request: AttachRequest): Promise<CniResult>
  /** Undoes `add`. Twice is fine, and so is a namespace that is gone (`netns: ''`). */
  del(request: Omit<AttachRequest, 'netns'> & { readonly netns?: string }): Promise<void>
  /** Throws when the attachment is not as `add` left it. */
  check(request: AttachRequest): Promise<void>
  /** Whether `add` can work now, and if not, why. */
  status(): Promise<{ readonly ready: true } | { readonly ready: false; readonly message: string }>
  /** Takes off every attachment that is not named. */
  gc(valid: readonly { readonly containerId: string; readonly ifName?: string }[]): Promise<void>
  /** The result of an earlier `add`; undefined when there is none. */
  cached(containerId: string, ifName?: string): CniResult | undefined
  /** The network in force; throws when there is none. */
  network(): NetworkConfig
}

const DEFAULT_INTERFACE = 'eth0'

export function createCni(options: CniOptions = {}): Cni {
  const clock = options.clock ?? systemClock
  const path = options.binDirs ?? ['/opt/cni/bin', '/usr/lib/cni']
  const folder = configFolder(options.confDir ?? '/etc/cni/net.d')
  const cache = new ResultCache(options.cacheDir ?? '/var/lib/cni')
  const plugins = new Map((options.plugins ?? builtinPlugins(clock)).map((plugin) => [plugin.name, plugin]))
  const timeoutMs = options.timeoutMs ?? 60_000
  const execute = executor({ clock, plugins, timeoutMs })
  // One thing at a time for each container; containers do not wait for each other.
  const inTurn = keyedLock()

  interface Call {
    readonly network: NetworkConfig
    readonly containerId: string
    readonly netns: string
    readonly ifName: string
    readonly args: string
    readonly runtimeConfig: RuntimeConfig
  }

  const call = (command: CniCommand, of: Call, plugin: PluginConfig, prevResult: CniResult | undefined): Promise<CniResult | undefined> => {
    const previous = prevResult && writeResult(prevResult, of.network.cniVersion)
    const config = derivePluginConfig(of.network, plugin, { runtimeConfig: of.runtimeConfig, prevResult: previous })
    const { containerId, netns, ifName, args } = of
    return execute(plugin.type, { command, containerId, netns, ifName, args, path, config })
  }

  /** Of executables, by path and time: they are not asked again before they change. */
  const spoken = new Map<string, ReturnType<typeof versionsOf>>()

  /** Throws when the executable of a plugin is not there, or does not speak the network's version. */
  const probe = async ({ name, cniVersion }: NetworkConfig, type: string): Promise<void> => {
    const file = findExecutable(type, path)
    if (!file) throw new CniError(CNI_ERRORS.pluginNotAvailable, `network ${name}: plugin "${type}" is in none of ${path.join(', ')}`)
    const { ino, ctimeMs } = statSync(file)
    const key = `${file} ${ino} ${ctimeMs}`
    const asked = spoken.get(key) ?? versionsOf(file, { clock, timeoutMs })
    spoken.set(key, asked)
    const versions = await asked
    if (versions && !versions.includes(cniVersion))
      throw new CniError(
        CNI_ERRORS.incompatibleVersion,
        `network ${name}: plugin "${type}" does not speak version ${cniVersion} of CNI, only ${versions.join(', ')}`,
      )
  }

  const callFor = (network: NetworkConfig, request: Omit<AttachRequest, 'netns'> & { readonly netns?: string }): Call => {
    checkName('container id', request.containerId)
    const ifName = request.ifName ?? DEFAULT_INTERFACE
    checkInterface(ifName)
    const args = Object.entries(request.args ?? {}).map(([key, value]) => {
      if (/[;=]/.test(key) || value.includes(';')) throw new CniError(CNI_ERRORS.invalidEnvironment, `argument ${key} may not hold ";"`)
      return `${key}=${value}`
    })
    return {
      network,
      containerId: request.containerId,
      netns: request.netns ?? '',
      ifName,
      args: args.join(';'),
      runtimeConfig: request.runtimeConfig ?? {},
    }
  }

  const removeAll = async (of: Call, result: CniResult | undefined): Promise<void> => {
    const withResult = atLeast(of.network.cniVersion, '0.4.0') ? result : undefined
    const errors: unknown[] = []
    for (const plugin of [...of.network.plugins].reverse())
      try {
        await call('DEL', of, plugin, withResult)
      } catch (error) {
        errors.push(error)
      }
    if (errors.length > 0) throw errors[0]
  }

  const remove = async (request: Omit<AttachRequest, 'netns'> & { readonly netns?: string }): Promise<void> => {
    const ifName = request.ifName ?? DEFAULT_INTERFACE
    checkName('container id', request.containerId)
    checkInterface(ifName)
    const kept = cache.find(request.containerId, ifName)
    const netns = request.netns ?? kept?.netns ?? ''
    const alive = netns !== '' && isNamespace(netns) ? netns : ''
    // The configuration of the time of ADD counts: the one in force now may be another.
    const of: Call | undefined = kept
      ? { ...kept, netns: alive, runtimeConfig: kept.runtimeConfig }
      : withoutNetwork(() => callFor(folder.current(), { ...request, netns: alive }))
    if (!of) return
    await removeAll(of, kept?.result)
    cache.remove(of.network.name, of.containerId, of.ifName)
    cache.sweep()
  }

  return {
    add: (request) =>
      inTurn(request.containerId, async () => {
        const network = folder.current()
        const of = callFor(network, request)
        if (cache.find(of.containerId, of.ifName))
          throw new CniError(CNI_ERRORS.invalidEnvironment, `container ${of.containerId} already has ${of.ifName}: DEL it first`)
        raiseLoopback(of.netns)
        // Known before anything is made: a DEL after a kill finds its way.
        cache.write({ ...of, result: undefined })
        let result: CniResult | undefined
        try {
          for (const plugin of network.plugins) result = (await call('ADD', of, plugin, result)) ?? result
        } catch (error) {
          await removeAll(of, result).catch(() => {})
          cache.remove(network.name, of.containerId, of.ifName)
          throw error
        }
        if (!result) throw new CniError(CNI_ERRORS.internal, `network ${network.name} gave no result`)
        cache.write({ ...of, result })
        return result
      }),

    del: (request) => inTurn(request.containerId, () => remove(request)),

    check: (request) =>
      inTurn(request.containerId, async () => {
        const kept = cache.find(request.containerId, request.ifName ?? DEFAULT_INTERFACE)
        if (!kept?.result) throw new CniError(CNI_ERRORS.unknownContainer, `container ${request.containerId} is not attached`)
        const of: Call = { ...kept, netns: request.netns }
        if (of.network.disableCheck) return
        if (!atLeast(of.network.cniVersion, '0.4.0'))
          throw new CniError(CNI_ERRORS.incompatibleVersion, `configuration version "${of.network.cniVersion}" does not support CHECK`)
        for (const plugin of of.network.plugins) await call('CHECK', of, plugin, kept.result)
      }),

    async status() {
      try {
        const network = folder.current()
        for (const { type } of network.plugins) if (!plugins.has(type)) await probe(network, type)
        if (!atLeast(network.cniVersion, '1.1.0')) return { ready: true }
        const of: Call = { network, containerId: '', netns: '', ifName: '', args: '', runtimeConfig: {} }
        for (const plugin of network.plugins) await call('STATUS', of, plugin, undefined)
        return { ready: true }
      } catch (error) {
        return { ready: false, message: explain(error) }
      }
    },

    async gc(valid) {
      const keep = new Set(valid.map((one) => `${one.containerId}/${one.ifName ?? DEFAULT_INTERFACE}`))
      cache.sweep()
      const attachments = cache.list()
      const errors: unknown[] = []
      for (const stale of attachments.filter((one) => !keep.has(`${one.containerId}/${one.ifName}`)))
        try {
          await inTurn(stale.containerId, () => remove({ containerId: stale.containerId, ifName: stale.ifName }))
        } catch (error) {
          errors.push(error)
        }
      const network = withoutNetwork(() => folder.current())
      if (network && !network.disableGC && atLeast(network.cniVersion, '1.1.0')) {
        const list: readonly Attachment[] = valid.map((one) => ({ containerID: one.containerId, ifname: one.ifName ?? DEFAULT_INTERFACE }))
        const of: Call = { network, containerId: '', netns: '', ifName: '', args: '', runtimeConfig: {} }
        for (const plugin of network.plugins)
          try {
            await call('GC', of, { ...plugin, 'cni.dev/valid-attachments': list }, undefined)
          } catch (error) {
            errors.push(error)
          }
      }
      if (errors.length > 0) throw errors[0]
    },

    cached: (containerId, ifName = DEFAULT_INTERFACE) => cache.find(containerId, ifName)?.result,
    network: () => folder.current(),
  }
}

/** Undefined when no network is configured: then nothing can be left of one. */
function withoutNetwork<T>(get: () => T): T | undefined {
  try {
    return get()
  } catch (error) {
    if (error instanceof CniError && error.code !== CNI_ERRORS.invalidEnvironment) return undefined
    throw error
  }
}

export function checkInterface(name: string): void {
  if (name === '' || Buffer.byteLength(name) > 15 || name === '.' || name === '..' || /[/:\s\0]/.test(name))
    throw new CniError(CNI_ERRORS.invalidEnvironment, `interface name "${name}" is not valid: 1 to 15 bytes without "/", ":" and spaces`)
}

function isNamespace(path: string): boolean {
  try {
    withNetwork(path, () => undefined)
    return true
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'EINVAL', 'ENOTDIR', 'EACCES', 'EPERM')) return false
    throw error
  }
}

function raiseLoopback(netns: string): void {
  try {
    withNetwork(netns, (network) => {
      const lo = network.link('lo')
      if (!lo.up) network.setLink(lo.index, { up: true })
    })
  } catch (error) {
    throw new CniError(CNI_ERRORS.unknownContainer, `cannot set up loopback in network namespace "${netns}"`, { cause: error })
  }
}
