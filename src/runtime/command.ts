// `knarr oci`: an OCI runtime with the command line of runc, for podman, containerd and scripts.
import { type Command, type CommandIo, describeFlags, type FlagSpecs, parseFlags, UsageError } from '../lib/index.js'
import { create, run, start } from './oci/create.js'
import { explainBundle, features, spec } from './oci/documents.js'
import { exec } from './oci/exec.js'
import {
  createFlags,
  eventsFlags,
  execFlags,
  globalFlags,
  killFlags,
  listFlags,
  psFlags,
  removeFlags,
  runFlags,
  specFlags,
  updateFlags,
} from './oci/flags.js'
import { events, kill, list, pause, ps, remove, resume, state, update } from './oci/manage.js'
import { Session } from './oci/session.js'
import { OCI_VERSION } from './spec.js'
import { RuntimeError } from './types.js'

interface OciCommand {
  readonly run: (session: Session, argv: readonly string[]) => Promise<number>
  readonly summary: string
  readonly usage: string
  readonly flags?: FlagSpecs
}

const frozen = async (): Promise<number> => {
  throw new RuntimeError('Failed', 'checkpoint and restore need CRIU, which this runtime does not use')
}

const commands: Readonly<Record<string, OciCommand>> = {
  create: { run: create, summary: 'create a container', usage: '[FLAGS] ID', flags: createFlags },
  start: { run: start, summary: 'start a created container', usage: 'ID' },
  run: { run, summary: 'create and start a container', usage: '[FLAGS] ID', flags: runFlags },
  state: { run: state, summary: "print a container's state as JSON", usage: 'ID' },
  kill: { run: kill, summary: 'send a signal to a container (default SIGTERM)', usage: '[FLAGS] ID [SIGNAL]', flags: killFlags },
  delete: { run: remove, summary: 'remove a stopped container', usage: '[FLAGS] ID', flags: removeFlags },
  exec: { run: exec, summary: 'run another process in a container', usage: '[FLAGS] ID COMMAND [ARGUMENTS]', flags: execFlags },
  ps: { run: ps, summary: "list a container's processes", usage: '[FLAGS] ID [PS OPTIONS]', flags: psFlags },
  list: { run: list, summary: 'list containers', usage: '[FLAGS]', flags: listFlags },
  events: { run: events, summary: 'print statistics and out-of-memory events', usage: '[FLAGS] ID', flags: eventsFlags },
  update: { run: update, summary: 'change limits', usage: '[FLAGS] ID', flags: updateFlags },
  pause: { run: pause, summary: 'stop every process', usage: 'ID' },
  resume: { run: resume, summary: 'let them go on', usage: 'ID' },
  spec: { run: spec, summary: 'write an example config.json', usage: '[FLAGS]', flags: specFlags },
  features: { run: features, summary: 'print what this runtime can do', usage: '' },
  explain: { run: explainBundle, summary: 'print the steps that create would take for a bundle', usage: 'BUNDLE' },
  checkpoint: { run: frozen, summary: 'not available: says so', usage: 'ID' },
  restore: { run: frozen, summary: 'not available: says so', usage: 'ID' },
}

/** The form of runc's help: scripts look at its first lines. */
function help(name: string): string {
  const rows = Object.entries(commands).map(([command, { summary }]) => `   ${command.padEnd(11)} ${summary}`)
  return `NAME:
   ${name} - Open Container Initiative runtime: containers from a folder and a config.json

USAGE:
   ${name} [FLAGS] COMMAND [FLAGS] [ARGUMENTS]

COMMANDS:
${rows.join('\n')}

FLAGS:
${describeFlags(globalFlags)}
`
}

const commandHelp = (name: string, command: string, { summary, usage, flags }: OciCommand): string => `NAME:
   ${name} ${command} - ${summary}

USAGE:
   ${name} ${command} ${usage}
${flags ? `\nFLAGS:\n${describeFlags(flags)}\n` : ''}`

const wantsHelp = (word: string | undefined): boolean => word === '-h' || word === '--help'

async function runOci(argv: readonly string[], io: CommandIo): Promise<number> {
  const { flags, args, given } = parseFlags(globalFlags, argv, { stopAtArgument: true })
  // `knarr-oci` may stand under another name, such as that of the runtime which it takes the place of.
  const name = io.env.KNARR_OCI_NAME || 'knarr-oci'
  if (flags.version) {
    io.stdout.write(`${name} version 0.1.0\ncommit: v0.1.0\nspec: ${OCI_VERSION}\n`)
    return 0
  }
  const [word, ...rest] = args
  if (flags.help || word === undefined || word === 'help') {
    io.stdout.write(help(name))
    return 0
  }
  const command = Object.hasOwn(commands, word) ? commands[word] : undefined
  if (!command && wantsHelp(rest[0])) throw new UsageError(`No help topic for '${word}'`)
  if (!command) throw new UsageError(`unknown command "${word}"; '${name} help' lists them`)
  if (wantsHelp(rest[0])) {
    io.stdout.write(commandHelp(name, word, command))
    return 0
  }
  if (flags['log-format'] !== 'text' && flags['log-format'] !== 'json') throw new UsageError(`invalid log-format: ${flags['log-format']}`)
  const session = new Session(
    {
      name,
      root: flags.root,
      rootGiven: given.has('root'),
      log: flags.log,
      format: flags['log-format'],
      debug: flags.debug,
      systemdCgroup: flags['systemd-cgroup'],
    },
    io,
  )
  // Waiting for the kernel alone does not keep Node alive.
  const alive = setInterval(() => {}, 1 << 30)
  session.note('debug', `${name} ${args.join(' ')}`)
  try {
    return await command.run(session, rest)
  } catch (error) {
    return session.fail(error)
  } finally {
    clearInterval(alive)
    session.containers.close()
  }
}

export const oci: Command = { summary: 'Run OCI containers with the command line of runc', run: runOci }
