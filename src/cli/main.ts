// `knarr`: finds the command, runs it, turns its end into an exit code.
import { readFileSync } from 'node:fs'
import { commands } from '../cluster/commands.js'
import { runCommand } from './run.js'

const version = (): string =>
  (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version

function help(): string {
  const width = Math.max(7, ...Object.keys(commands).map((name) => name.length))
  const rows = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`)
  return [
    'Kubernetes for Linux machines.',
    '',
    'Usage: knarr COMMAND [FLAGS]',
    '',
    ...rows,
    `  ${'version'.padEnd(width)}  Print the version`,
    '',
  ].join('\n')
}

async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    process.stdout.write(help())
    return 0
  }
  if (name === 'version' || name === '--version') {
    process.stdout.write(`knarr ${version()}\n`)
    return 0
  }
  const entry = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (!entry) {
    process.stderr.write(`knarr: unknown command "${name}"; 'knarr help' lists them\n`)
    return 1
  }
  return runCommand(name, entry.load, rest)
}

process.exitCode = await main(process.argv.slice(2))
