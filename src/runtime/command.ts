// `knarr oci`: an OCI runtime with the command line of runc, for podman, containerd and scripts.
import { type Command, type CommandIo, describeFlags, parseFlags, UsageError } from '../lib/index.js'
import { create, run, start } from './oci/create.js'
import { explainBundle, features, spec } from './oci/documents.js'
import { exec } from './oci/exec.js'
import { globalFlags } from './oci/flags.js'
import { events, kill, list, pause, ps, remove, resume, state, update } from './oci/manage.js'
import { Session } from './oci/session.js'
import { OCI_VERSION } from './spec.js'

type Run = (session: Session, argv: readonly string[]) => Promise<number>

const commands: Readonly<Record<string, readonly [run: Run, summary: string]>> = {
  create: [create, 'create a container'],
  start: [start, 'start a created container'],
  run: [run, 'create and start a container'],
  state: [state, "print a container's state as JSON"],
  kill: [kill, 'send a signal to a container (default SIGTERM)'],
  delete: [remove, 'remove a stopped container'],
  exec: [exec, 'run another process in a container'],
  ps: [ps, "list a container's processes"],
  list: [list, 'list containers'],
  events: [events, 'print statistics and out-of-memory events'],
  update: [update, 'change limits'],
  pause: [pause, 'stop every process'],
  resume: [resume, 'let them go on'],
  spec: [spec, 'write an example config.json'],
  features: [features, 'print what this runtime can do'],
  explain: [explainBundle, 'print the steps that create would take for a bundle'],
}

function help(): string {
  const rows = Object.entries(commands).map(([name, [, summary]]) => `  ${name.padEnd(9)} ${summary}`)
  return ['Usage: knarr oci [FLAGS] COMMAND [FLAGS] [ARGUMENTS]', '', ...rows, '', 'Flags:', describeFlags(globalFlags), ''].join('\n')
}

async function runOci(argv: readonly string[], io: CommandIo): Promise<number> {
  const { flags, args } = parseFlags(globalFlags, argv, { stopAtArgument: true })
  if (flags.version) {
    io.stdout.write(`knarr-oci version 0.1.0\nspec: ${OCI_VERSION}\n`)
    return 0
  }
  const [name, ...rest] = args
  if (flags.help || name === undefined || name === 'help') {
    io.stdout.write(help())
    return 0
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (!command) throw new UsageError(`unknown command "${name}"; 'knarr oci help' lists them`)
  if (flags['log-format'] !== 'text' && flags['log-format'] !== 'json') throw new UsageError(`invalid log-format: ${flags['log-format']}`)
  const session = new Session(
    { root: flags.root, log: flags.log, format: flags['log-format'], debug: flags.debug, systemdCgroup: flags['systemd-cgroup'] },
    io,
  )
  // Waiting for the kernel alone does not keep Node alive.
  const alive = setInterval(() => {}, 1 << 30)
  try {
    return await command[0](session, rest)
  } catch (error) {
    return session.fail(error)
  } finally {
    clearInterval(alive)
    session.containers.close()
  }
}

export const oci: Command = { summary: 'Run OCI containers with the command line of runc', run: runOci }
