// `knarr image`: images from the command line.
import { type Command, type CommandIo, describeFlags, type FlagSpecs, parseFlags, UsageError } from '../lib/index.js'
import { formatImages, formatInspect } from './command-print.js'
import { parsePlatform } from './platform.js'
import { createImageStore } from './store.js'
import type { ImageStore } from './types.js'

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
      const store = createImageStore({ root: String(flags.root) })
      try {
        return await definition.run(store, args, flags as never, io)
      } finally {
        await store.close()
      }
    },
  }
}

const output = { type: 'string', short: 'o', value: 'FORMAT', help: 'json for machines' } as const

const list = define({
  usage: 'list [--quiet] [-o json]',
  summary: 'Show the images that are here',
  flags: { output, quiet: { type: 'boolean', short: 'q', help: 'ids only' } },
  arity: [0, 0],
  async run(store, _args, flags, io) {
    const all = store.list()
    if (flags.quiet) for (const image of all) io.stdout.write(`${image.id}\n`)
    else io.stdout.write(formatImages(all, { json: flags.output === 'json', now: Date.now() }))
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
const subCommands: Readonly<Record<string, SubCommand>> = { list, inspect, import: load, tag, remove }
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
