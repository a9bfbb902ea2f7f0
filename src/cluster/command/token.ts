// `knarr token`: tokens for joining.
import {
  type Command,
  type CommandIo,
  type FlagSpecs,
  type Flags,
  parseFlags,
  systemClock,
  systemRandom,
  UsageError,
} from '../../lib/index.js'
import { accessOf, readKubeconfig } from '../../pki/index.js'
import { readFileIfPresent } from '../files.js'
import { paths } from '../paths.js'
import { createToken, deleteToken, listTokens, newToken, parseToken, parseTtl, tokenText } from '../token.js'
import { clientFrom, joinCommand } from '../up.js'
import { common, usage } from './flags.js'

const tokenFlags = {
  ttl: { type: 'string', help: 'how long the token is valid; 0 for ever', value: 'DURATION', default: '24h0m0s' },
  description: { type: 'string', help: 'what the token is for', default: '' },
  'print-join-command': { type: 'boolean', help: 'print the whole command for the machine that shall join' },
  kubeconfig: { type: 'string', help: 'how to reach the API server', value: 'FILE', default: paths.adminConf },
  help: common.help,
} as const satisfies FlagSpecs

async function createNewToken(flags: Flags<typeof tokenFlags>, given: string | undefined, io: CommandIo): Promise<void> {
  const token = given === undefined ? newToken(systemRandom) : parseToken(given)
  if (!token) throw new UsageError(`"${given}" is no token: it looks like abcdef.0123456789abcdef`)
  const ttlSeconds = parseTtl(flags.ttl)
  if (ttlSeconds === undefined) throw new UsageError(`--ttl: "${flags.ttl}" is no duration: write 24h, 90m or 0`)
  const { client, close } = await clientFrom(flags.kubeconfig)
  try {
    await createToken(client, token, { ttlSeconds, description: flags.description }, systemClock)
  } finally {
    await close()
  }
  if (!flags['print-join-command']) return void io.stdout.write(`${tokenText(token)}\n`)
  const { hostname: advertiseAddress, port } = new URL(accessOf(readKubeconfig(readFileIfPresent(flags.kubeconfig) ?? '')).server)
  io.stdout.write(`knarr ${joinCommand({ advertiseAddress, port: Number(port), pki: paths.pki }, token)}\n`)
}

export const tokenCommand: Command = {
  summary: 'Tokens for joining: create, list, delete',
  async run(argv, io) {
    const { flags, args } = parseFlags(tokenFlags, argv)
    const [verb, ...rest] = args
    if (flags.help || verb === undefined) {
      io.stdout.write(usage('token create [TOKEN] | list | delete TOKEN…', tokenCommand.summary, tokenFlags))
      return flags.help ? 0 : 1
    }
    if (verb === 'create') {
      await createNewToken(flags, rest[0], io)
      return 0
    }
    if (verb === 'generate') {
      io.stdout.write(`${tokenText(newToken(systemRandom))}\n`)
      return 0
    }
    if (verb !== 'list' && verb !== 'delete') throw new UsageError(`unknown verb "${verb}": create, list, delete and generate are known`)
    const { client, close } = await clientFrom(flags.kubeconfig)
    try {
      if (verb === 'delete') {
        if (rest.length === 0) throw new UsageError('say which token to delete')
        for (const which of rest) {
          if (!(await deleteToken(client, which))) throw new UsageError(`there is no token "${which}"`)
          io.stdout.write(`bootstrap token "${which}" deleted\n`)
        }
        return 0
      }
      const rows = (await listTokens(client)).map((t) => [
        t.token,
        t.expires ?? '<forever>',
        t.usages.join(','),
        t.description || '<none>',
        t.groups.join(','),
      ])
      const table = [['TOKEN', 'EXPIRES', 'USAGES', 'DESCRIPTION', 'EXTRA GROUPS'], ...rows]
      const widths = [0, 1, 2, 3, 4].map((i) => Math.max(...table.map((row) => row[i]?.length ?? 0)))
      for (const row of table)
        io.stdout.write(
          `${row
            .map((cell, i) => cell.padEnd(widths[i] ?? 0))
            .join('   ')
            .trimEnd()}\n`,
        )
      return 0
    } finally {
      await close()
    }
  },
}
