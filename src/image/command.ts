// `knarr image`: images from the command line.
import { setFlagsFromString } from 'node:v8'
import { type Command, type CommandIo, describeFlags, type FlagSpecs, parseFlags, systemClock, UsageError } from '../lib/index.js'
import { formatBytes, formatHistory, formatImages, formatInspect, toJson } from './command-print.js'
import { type ProgressWords, progressView } from './command-progress.js'
import { parsePlatform } from './platform.js'
import { familiarName } from './reference.js'
import { createImageStore, type ImageStoreOptions } from './store.js'
import type { ArchiveFormat, ImageStore, RegistryAuth } from './types.js'
import { defaultLimits } from './unpack.js'

const common = {
  root: { type: 'string', default: '/var/lib/knarr/images', value: 'PATH', help: 'where images are kept' },
  help: { type: 'boolean', short: 'h', help: 'show this help' },
} as const satisfies FlagSpecs

interface SubCommand {
  readonly usage: string
  readonly summary: string
  run(argv: readonly string[], io: CommandIo): Promise<number>
}

interface Definition<S extends FlagSpecs> {
  readonly usage: string
  readonly summary: string
  readonly flags: S
  /** Least and most arguments. */
  readonly arity: readonly [least: number, most: number]
  run(
    store: ImageStore,
    args: readonly string[],
    flags: ReturnType<typeof parseFlags<S & typeof common>>['flags'],
    io: CommandIo,
  ): Promise<number>
}

/** What the flags of pull and push say of the registry; other commands have none of them. */
function registriesOf(flags: Partial<RegistryFlags>, io: CommandIo): NonNullable<ImageStoreOptions['registries']> {
  return {
    env: io.env,
    ...(flags['plain-http'] ? { plainHttp: true } : {}),
    ...(flags.insecure ? { insecure: true } : {}),
    ...(flags.ca && flags.ca.length > 0 ? { caFiles: flags.ca } : {}),
    ...(flags['hosts-dir'] && flags['hosts-dir'].length > 0 ? { hostFolders: flags['hosts-dir'] } : {}),
  }
}

/** Only the commands that unpack something have the flag. */
function limitsOf(flags: { readonly 'layer-limit'?: unknown }): NonNullable<ImageStoreOptions['limits']> {
  const bytes = flags['layer-limit']
  return typeof bytes === 'number' ? { bytes } : {}
}

function authOf(creds: string | undefined): { readonly auth?: RegistryAuth } {
  if (creds === undefined) return {}
  const colon = creds.indexOf(':')
  if (colon < 0) throw new UsageError('--creds wants USER:PASSWORD')
  return { auth: { username: creds.slice(0, colon), password: creds.slice(colon + 1) } }
}

function define<S extends FlagSpecs>(definition: Definition<S>): SubCommand {
  const specs = { ...definition.flags, ...common }
  return {
    usage: definition.usage,
    summary: definition.summary,
    async run(argv, io) {
      const { flags, args } = parseFlags(specs, argv)
      if (flags.help) {
        io.stdout.write(`${definition.summary}.\n\nUsage: knarr image ${definition.usage}\n\n${describeFlags(specs)}\n`)
        return 0
      }
      const [least, most] = definition.arity
      if (args.length < least || args.length > most) throw new UsageError(`usage: knarr image ${definition.usage}`)
      // Timers of the clock do not keep a process alive, and between two tries there may be nothing else.
      const alive = setInterval(() => {}, 2 ** 30)
      const store = createImageStore({
        root: String(flags.root),
        flush: false,
        limits: limitsOf(flags as never),
        registries: registriesOf(flags as never, io),
      })
      try {
        return await definition.run(store, args, flags as never, io)
      } finally {
        await store.close()
        clearInterval(alive)
      }
    },
  }
}

const layerLimit = {
  type: 'number',
  default: defaultLimits.bytes,
  value: 'BYTES',
  help: 'most bytes that one layer may unpack to',
} as const

const output = { type: 'string', short: 'o', value: 'FORMAT', help: 'json for machines' } as const

const registryFlags = {
  creds: { type: 'string', short: 'u', value: 'USER:PASSWORD', help: 'credentials (default: those of docker and podman)' },
  'plain-http': { type: 'boolean', help: 'ask the registry without TLS' },
  insecure: { type: 'boolean', help: "do not check the registry's certificate" },
  ca: { type: 'strings', value: 'FILE', help: 'PEM file with a further authority' },
  'hosts-dir': { type: 'strings', value: 'PATH', help: 'folder with hosts.toml files (default: those of knarr, containerd and docker)' },
  quiet: { type: 'boolean', short: 'q', help: 'print the digest only' },
  output,
} as const satisfies FlagSpecs
type RegistryFlags = ReturnType<typeof parseFlags<typeof registryFlags>>['flags']

function viewFor(flags: RegistryFlags, io: CommandIo, words: ProgressWords) {
  if (flags.quiet || flags.output === 'json') return undefined
  const write = (text: string): void => void io.stderr.write(text)
  // A terminal that nobody has told its size has none.
  const { isTTY, columns, rows } = io.stderr
  return progressView({ write, terminal: isTTY === true, columns: columns || 100, rows: rows || 24, clock: systemClock, words })
}

const pull = define({
  usage: 'pull IMAGE...',
  summary: 'Fetch images from their registries and unpack them',
  flags: {
    ...registryFlags,
    platform: { type: 'string', value: 'OS/ARCH', help: 'platform (default: this machine)' },
    'layer-limit': layerLimit,
  },
  arity: [1, 100],
  async run(store, args, flags, io) {
    // A growing young generation keeps the buffers of a download from being given back: 40 MB more at the peak, for nothing.
    setFlagsFromString('--semi-space-growth-factor=1')
    for (const name of args) {
      const view = viewFor(flags, io, { done: 'pulled', exists: 'already here' })
      const pulled = await store
        .pull(name, {
          ...authOf(flags.creds),
          ...(flags.platform === undefined ? {} : { platform: parsePlatform(flags.platform) }),
          ...(view ? { progress: (progress) => view.update(progress) } : {}),
          signal: io.signal,
        })
        .finally(() => view?.end())
      if (flags.output === 'json')
        io.stdout.write(`${JSON.stringify({ ...toJson(pulled.image), pulled: pulled.repoDigest, downloaded: pulled.downloaded })}\n`)
      else if (flags.quiet) io.stdout.write(`${pulled.image.target.digest}\n`)
      else {
        const how = pulled.downloaded > 0 ? `${formatBytes(pulled.downloaded)} downloaded` : 'nothing to download'
        io.stdout.write(`pulled ${familiarName(pulled.reference)} ${pulled.image.target.digest} (${how})\n`)
      }
    }
    return 0
  },
})

const push = define({
  usage: 'push IMAGE [AS]',
  summary: 'Send an image to its registry, or to the one of the name AS',
  flags: registryFlags,
  arity: [1, 2],
  async run(store, [source = '', as = source], flags, io) {
    const view = viewFor(flags, io, { done: 'pushed', exists: 'already there' })
    const { repoDigest, uploaded } = await store
      .push(as, { source, ...authOf(flags.creds), ...(view ? { progress: (progress) => view.update(progress) } : {}), signal: io.signal })
      .finally(() => view?.end())
    if (flags.output === 'json') io.stdout.write(`${JSON.stringify({ pushed: repoDigest, uploaded })}\n`)
    else
      io.stdout.write(
        flags.quiet ? `${repoDigest.split('@')[1]}\n` : `pushed ${familiarName(repoDigest)} (${formatBytes(uploaded)} uploaded)\n`,
      )
    return 0
  },
})

const save = define({
  usage: 'export FILE IMAGE...',
  summary: 'Write images into an archive; - writes standard output',
  flags: {
    format: { type: 'string', default: 'docker', value: 'FORMAT', help: 'docker (what docker save writes and docker load reads) or oci' },
  },
  arity: [2, 100],
  async run(store, [file = '', ...names], flags, io) {
    if (flags.format !== 'docker' && flags.format !== 'oci') throw new UsageError('--format is docker or oci')
    await store.export(names, file === '-' ? (io.stdout as never) : file, { format: flags.format as ArchiveFormat })
    return 0
  },
})

const history = define({
  usage: 'history IMAGE',
  summary: 'Show the steps that made an image',
  flags: { output },
  arity: [1, 1],
  async run(store, [name = ''], flags, io) {
    io.stdout.write(formatHistory(store.inspect(name), { json: flags.output === 'json', now: systemClock.now() }))
    return 0
  },
})

const prune = define({
  usage: 'prune [--until PERCENT]',
  summary: 'Delete data that no name and no container needs',
  flags: {
    until: {
      type: 'number',
      value: 'PERCENT',
      help: 'also remove images that no snapshot uses, oldest first, until the disk is no fuller than this',
    },
    output,
  },
  arity: [0, 0],
  async run(store, _args, flags, io) {
    const result = await store.gc(flags.until === undefined ? {} : { untilPercent: flags.until })
    if (flags.output === 'json') io.stdout.write(`${JSON.stringify(result)}\n`)
    else {
      for (const name of result.removedImages) io.stdout.write(`removed ${name}\n`)
      io.stdout.write(`freed ${formatBytes(result.freedBytes)}: ${result.removedBlobs} blobs, ${result.removedLayers} layers\n`)
    }
    return 0
  },
})

const list = define({
  usage: 'list [--quiet] [-o json]',
  summary: 'Show the images that are here',
  flags: { output, quiet: { type: 'boolean', short: 'q', help: 'ids only' } },
  arity: [0, 0],
  async run(store, _args, flags, io) {
    const all = store.list()
    if (flags.quiet) for (const image of all) io.stdout.write(`${image.id}\n`)
    else io.stdout.write(formatImages(all, { json: flags.output === 'json', now: systemClock.now() }))
    return 0
  },
})

const inspect = define({
  usage: 'inspect IMAGE...',
  summary: 'Show all that is known of an image, as JSON',
  flags: {},
  arity: [1, 100],
  async run(store, args, _flags, io) {
    io.stdout.write(formatInspect(args.map((name) => store.inspect(name))))
    return 0
  },
})

const load = define({
  usage: 'import SOURCE [NAME]',
  summary: 'Make images of a root folder or its tar (then NAME is needed), a docker archive or an OCI layout; - reads standard input',
  flags: {
    platform: { type: 'string', value: 'OS/ARCH', help: 'platform of a root file system (default: this machine)' },
    cmd: { type: 'strings', value: 'WORD', help: 'command of a root file system; once per word' },
    entrypoint: { type: 'strings', value: 'WORD', help: 'entry point of a root file system; once per word' },
    env: { type: 'strings', short: 'e', value: 'NAME=VALUE', help: 'environment of a root file system' },
    user: { type: 'string', short: 'u', value: 'USER', help: 'user of a root file system' },
    workdir: { type: 'string', short: 'w', value: 'PATH', help: 'working folder of a root file system' },
    'layer-limit': layerLimit,
  },
  arity: [1, 2],
  async run(store, [source = '', name], flags, io) {
    const config = {
      ...(flags.cmd.length > 0 ? { Cmd: flags.cmd } : {}),
      ...(flags.entrypoint.length > 0 ? { Entrypoint: flags.entrypoint } : {}),
      ...(flags.env.length > 0 ? { Env: flags.env } : {}),
      ...(flags.user ? { User: flags.user } : {}),
      ...(flags.workdir ? { WorkingDir: flags.workdir } : {}),
    }
    const images = await store.import(source === '-' ? (io.stdin as never) : source, {
      ...(name === undefined ? {} : { name }),
      ...(flags.platform === undefined ? {} : { platform: parsePlatform(flags.platform) }),
      config,
      signal: io.signal,
    })
    for (const image of images) for (const tag of image.repoTags) io.stdout.write(`imported ${tag} ${image.id}\n`)
    return 0
  },
})

const remove = define({
  usage: 'remove IMAGE...',
  summary: 'Forget names, or with an id all names of an image, and delete what nothing else needs',
  flags: {},
  arity: [1, 100],
  async run(store, args, _flags, io) {
    for (const name of args) for (const removed of await store.remove(name)) io.stdout.write(`removed ${removed}\n`)
    return 0
  },
})

const tag = define({
  usage: 'tag IMAGE NAME',
  summary: 'Give an image another name',
  flags: {},
  arity: [2, 2],
  async run(store, [from = '', to = '']) {
    await store.tag(from, to)
    return 0
  },
})

/** In the order in which help shows them. */
const subCommands: Readonly<Record<string, SubCommand>> = {
  pull,
  list,
  inspect,
  history,
  tag,
  push,
  import: load,
  export: save,
  remove,
  prune,
}
const aliases: Readonly<Record<string, string>> = {
  ls: 'list',
  images: 'list',
  rm: 'remove',
  rmi: 'remove',
  load: 'import',
  save: 'export',
}

function help(): string {
  const rows = Object.values(subCommands).map(({ usage, summary }) => `  ${usage}\n      ${summary}`)
  return `Pull, keep and push images.\n\nUsage: knarr image COMMAND\n\n${rows.join('\n')}\n`
}

export const image: Command = {
  summary: 'Pull, keep and push images',
  async run([name, ...argv], io) {
    if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
      io.stdout.write(help())
      return name === undefined ? 1 : 0
    }
    const sub = subCommands[aliases[name] ?? name]
    if (!sub) throw new UsageError(`unknown command "${name}"; 'knarr image help' lists them`)
    return sub.run(argv, io)
  },
}
