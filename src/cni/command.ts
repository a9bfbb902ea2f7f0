// `knarr cni`: our plugins as executables, and the caller by hand.
import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Command, type CommandIo, describeFlags, type FlagSpecs, hasErrno, parseFlags, systemClock, UsageError } from '../lib/index.js'
import { createCni } from './cni.js'
import { pluginMain } from './plugin-main.js'
import { builtinPlugins } from './plugins/index.js'

const flagSpecs = {
  'conf-dir': { type: 'string', default: '/etc/cni/net.d', value: 'DIR', help: 'Network configurations' },
  'bin-dir': { type: 'list', default: ['/opt/cni/bin', '/usr/lib/cni'], value: 'DIR', help: 'Executables of plugins that are not ours' },
  'cache-dir': { type: 'string', default: '/var/lib/cni', value: 'DIR', help: 'Results of earlier calls' },
  ifname: { type: 'string', default: 'eth0', value: 'NAME', help: 'Interface in the container' },
  capability: { type: 'string', value: 'JSON', help: 'Values for capabilities: {"portMappings": […]}' },
  force: { type: 'boolean', help: 'install: replace plugins that are not ours' },
  help: { type: 'boolean', short: 'h', help: 'This text' },
} as const satisfies FlagSpecs

const usage = (): string =>
  [
    'Usage: knarr cni install DIR             place our plugins there for other programs',
    '       knarr cni plugin NAME             act as this plugin (environment and standard input as CNI says)',
    '       knarr cni add ID NETNS            attach a network namespace to the network in force',
    '       knarr cni del ID [NETNS]',
    '       knarr cni check ID NETNS',
    '       knarr cni status',
    '       knarr cni gc [ID…]                take off everything but these',
    '',
    `Plugins: ${builtinPlugins(systemClock)
      .map(({ name }) => name)
      .join(', ')}`,
    '',
    'Flags:',
    describeFlags(flagSpecs),
    '',
  ].join('\n')

export const cni: Command = {
  summary: 'Pod networks: our CNI plugins for others, and the caller by hand',
  async run(argv, io) {
    if (argv[0] === 'plugin') {
      if (argv[1] === undefined) throw new UsageError('knarr cni plugin NAME: which plugin?')
      return pluginMain(argv[1], io)
    }
    const { flags, args } = parseFlags(flagSpecs, argv)
    const [action, ...words] = args
    if (flags.help || action === undefined) {
      io.stdout.write(usage())
      return flags.help ? 0 : 1
    }
    if (action === 'install') return install(words, flags.force, io)
    const caller = createCni({ confDir: flags['conf-dir'], binDirs: flags['bin-dir'], cacheDir: flags['cache-dir'] })
    const runtimeConfig = flags.capability === undefined ? {} : { runtimeConfig: readCapability(flags.capability) }
    const [containerId, netns] = words
    const need = (value: string | undefined, what: string): string => {
      if (value === undefined) throw new UsageError(`knarr cni ${action}: ${what} is wanted`)
      return value
    }
    switch (action) {
      case 'add': {
        const request = { containerId: need(containerId, 'ID'), netns: need(netns, 'NETNS'), ifName: flags.ifname, ...runtimeConfig }
        io.stdout.write(`${JSON.stringify(await caller.add(request), undefined, 2)}\n`)
        return 0
      }
      case 'del':
        await caller.del({ containerId: need(containerId, 'ID'), ifName: flags.ifname, ...(netns === undefined ? {} : { netns }) })
        return 0
      case 'check':
        await caller.check({ containerId: need(containerId, 'ID'), netns: need(netns, 'NETNS'), ifName: flags.ifname })
        return 0
      case 'status': {
        const status = await caller.status()
        io.stdout.write(status.ready ? 'ready\n' : `not ready: ${status.message}\n`)
        return status.ready ? 0 : 1
      }
      case 'gc':
        await caller.gc(words.map((word) => ({ containerId: word, ifName: flags.ifname })))
        return 0
      default:
        throw new UsageError(`unknown action "${action}"; 'knarr cni --help' lists them`)
    }
  },
}

function readCapability(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    throw new UsageError('--capability is JSON, such as {"portMappings": [{"hostPort": 8080, "containerPort": 80}]}')
  }
}

const MARK = '# placed by `knarr cni install`'
const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`

/** A plugin file is a shell script of three lines: it starts this very program with the plugin's name. */
function install(words: readonly string[], force: boolean, io: CommandIo): number {
  const [folder] = words
  if (folder === undefined || words.length > 1) throw new UsageError('knarr cni install DIR: one folder is wanted')
  const target = resolve(folder)
  mkdirSync(target, { recursive: true })
  const main = fileURLToPath(new URL('../cli/main.js', import.meta.url))
  for (const { name } of builtinPlugins(systemClock)) {
    const file = join(target, name)
    const before = readIfThere(file)
    if (before !== undefined && !before.includes(MARK) && !force)
      throw new UsageError(`${file} is there and not ours; remove it or say --force`)
  }
  for (const { name } of builtinPlugins(systemClock)) {
    const temporary = join(target, `.${name}.${process.pid}`)
    writeFileSync(temporary, `#!/bin/sh\n${MARK}\nexec ${quoted(process.execPath)} ${quoted(main)} cni plugin ${name}\n`)
    chmodSync(temporary, 0o755)
    renameSync(temporary, join(target, name))
    io.stdout.write(`${join(target, name)}\n`)
  }
  return 0
}

/** As bytes read as Latin-1: it may be a program. */
function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'latin1')
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined
    throw error
  }
}
