// Runs a plugin: ours in this process, other people's as an executable (specification, section 2).
import { spawn } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { type Clock, explain } from '../lib/index.js'
import { CNI_ERRORS, type CniCommand, CniError, type CniResult, type Plugin, type PluginConfig, type PluginRequest } from './types.js'
import { CURRENT_VERSION, readResult } from './versions.js'

export interface ExecuteOptions {
  readonly clock: Clock
  /** Plugins that run here, by name; everything else is an executable in the request's path. */
  readonly plugins: ReadonlyMap<string, Plugin>
  /** An executable that takes longer is killed. */
  readonly timeoutMs: number
}

export type Execute = (type: string, request: Omit<PluginRequest, 'delegate'>) => Promise<CniResult | undefined>

export function executor(options: ExecuteOptions): Execute {
  const execute: Execute = async (type, request) => {
    const plugin = options.plugins.get(type)
    const delegate = (other: string, command: CniCommand): Promise<CniResult | undefined> => execute(other, { ...request, command })
    return plugin ? runHere(plugin, { ...request, delegate }) : runExecutable(type, request, options)
  }
  return execute
}

/** Dispatches a request; whatever a plugin throws becomes a CniError. */
export async function runHere(plugin: Plugin, request: PluginRequest): Promise<CniResult | undefined> {
  try {
    switch (request.command) {
      case 'ADD':
        return await plugin.add(request)
      case 'DEL':
        await plugin.del(request)
        return undefined
      case 'CHECK':
        await plugin.check(request)
        return undefined
      case 'STATUS':
        await plugin.status(request)
        return undefined
      case 'GC':
        await plugin.gc(request)
        return undefined
      case 'VERSION':
        return undefined
    }
  } catch (error) {
    if (error instanceof CniError) throw error
    throw new CniError(CNI_ERRORS.internal, explain(error), { cause: error })
  }
}

/** The executable of a plugin; undefined when no folder has it. */
export function findExecutable(type: string, path: readonly string[]): string | undefined {
  if (type.includes('/')) return undefined
  return path
    .map((folder) => join(folder, type))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK)
        return statSync(file).isFile()
      } catch {
        return false
      }
    })
}

/** The versions that an executable says it speaks; undefined when it does not say. */
export async function versionsOf(
  file: string,
  options: Pick<ExecuteOptions, 'clock' | 'timeoutMs'>,
): Promise<readonly string[] | undefined> {
  const request = { command: 'VERSION', containerId: '', netns: '', ifName: '', args: '', path: [] } as const
  const { code, stdout } = await collect(file, { ...request, config: { type: basename(file), cniVersion: CURRENT_VERSION } }, options)
  try {
    const { supportedVersions } = JSON.parse(stdout) as { supportedVersions?: unknown }
    return code === 0 && Array.isArray(supportedVersions) ? supportedVersions.map(String) : undefined
  } catch {
    return undefined
  }
}

async function runExecutable(
  type: string,
  request: Omit<PluginRequest, 'delegate'>,
  options: ExecuteOptions,
): Promise<CniResult | undefined> {
  const file = findExecutable(type, request.path)
  if (!file) throw new CniError(CNI_ERRORS.ioFailure, `failed to find plugin "${type}" in path [${request.path.join(' ')}]`)
  const { code, signal, stdout, stderr } = await collect(file, request, options)
  if (code === 0) {
    if (request.command !== 'ADD') return undefined
    if (stdout.trim() === '') throw new CniError(CNI_ERRORS.decodeFailure, `plugin ${type} answered ADD with nothing`)
    return readResult(parseJson(stdout, type))
  }
  throw refusal(type, stdout, signal ? `killed by ${signal}` : `exit status ${code}`, stderr)
}

function parseJson(text: string, type: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new CniError(CNI_ERRORS.decodeFailure, `plugin ${type} answered with something that is not JSON: ${text.slice(0, 200)}`, {
      cause: error,
    })
  }
}

/** What a failed plugin said: its error object, or what it printed. */
function refusal(type: string, stdout: string, end: string, stderr: string): CniError {
  try {
    const said = JSON.parse(stdout) as { code?: unknown; msg?: unknown; details?: unknown }
    if (typeof said.msg === 'string' || typeof said.code === 'number') {
      const details = typeof said.details === 'string' ? said.details : ''
      const code = typeof said.code === 'number' ? said.code : CNI_ERRORS.internal
      const message = typeof said.msg === 'string' && said.msg !== '' ? said.msg : `error code ${code}`
      return new CniError(code, `plugin ${type}: ${message}${details === '' ? '' : `; ${details}`}`, { details })
    }
  } catch {
    // Not an error object: its output is all there is.
  }
  const words = [stderr.trim(), stdout.trim()].filter(Boolean).join('; ').slice(0, 2000)
  return new CniError(CNI_ERRORS.internal, `plugin ${type} failed (${end})${words === '' ? ' without a word' : `: ${words}`}`)
}

interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

const MOST_OUTPUT = 4 << 20

function collect(
  file: string,
  request: Omit<PluginRequest, 'delegate'>,
  options: Pick<ExecuteOptions, 'clock' | 'timeoutMs'>,
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, [], { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...environmentOf(request) } })
    let [stdout, stderr] = ['', '']
    const timer = options.clock.after(options.timeoutMs, () => {
      child.kill('SIGKILL')
      reject(new CniError(CNI_ERRORS.tryAgain, `plugin ${file} did not end within ${options.timeoutMs / 1000} s and was killed`))
    })
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      stdout += chunk
      if (stdout.length > MOST_OUTPUT) child.kill('SIGKILL')
    })
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      if (stderr.length < MOST_OUTPUT) stderr += chunk
    })
    // A plugin may end without reading its input.
    child.stdin.on('error', () => {})
    child.stdin.end(JSON.stringify(request.config))
    child.on('error', (error) => {
      timer.cancel()
      reject(new CniError(CNI_ERRORS.ioFailure, `cannot run plugin ${file}`, { cause: error }))
    })
    child.on('close', (code, signal) => {
      timer.cancel()
      resolve({ code, signal, stdout, stderr })
    })
  })
}

/** Section 2, "Parameters". */
export const environmentOf = (request: Omit<PluginRequest, 'delegate'>): Readonly<Record<string, string>> => ({
  CNI_COMMAND: request.command,
  CNI_CONTAINERID: request.containerId,
  CNI_NETNS: request.netns,
  CNI_IFNAME: request.ifName,
  CNI_ARGS: request.args,
  CNI_PATH: request.path.join(':'),
})

/** The configuration of one plugin of a network, as it is handed to it. */
export function derivePluginConfig(
  network: { readonly name: string; readonly cniVersion: string },
  plugin: PluginConfig,
  extra: { readonly runtimeConfig?: Readonly<Record<string, unknown>> | undefined; readonly prevResult?: object | undefined },
): PluginConfig {
  const { capabilities, runtimeConfig: _, prevResult: __, ...rest } = plugin
  const wanted = Object.entries(extra.runtimeConfig ?? {}).filter(([name, value]) => capabilities?.[name] && value !== undefined)
  return {
    ...rest,
    type: plugin.type,
    name: network.name,
    cniVersion: network.cniVersion,
    ...(wanted.length > 0 ? { runtimeConfig: Object.fromEntries(wanted) } : {}),
    ...(extra.prevResult ? { prevResult: extra.prevResult } : {}),
  }
}
