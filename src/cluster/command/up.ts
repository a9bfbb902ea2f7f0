// `knarr up`, `down`, `init`, `reset`: clusters on this machine.
import { type Command, type FlagSpecs, type Flags, parseFlags, silentLog, systemClock, systemRandom, UsageError } from '../../lib/index.js'
import { demo } from '../demo.js'
import { LONE_ADDRESS, nodeAddress } from '../node-address.js'
import { down, init, type UpOptions, up } from '../up.js'
import { isAgreed } from './ask.js'
import { agentFlags, agentOptions, common, passOn, requireRoot, serverFlags, serverOptions, upFlags, usage } from './flags.js'
import { mergeIntoUserConfig } from './user-config.js'

export const upCommand: Command = {
  summary: 'Start a cluster of one node on this machine',
  async run(argv, io) {
    const { flags, given, args } = parseFlags(upFlags, argv)
    if (flags.help) {
      io.stdout.write(usage('up', upCommand.summary, upFlags))
      return 0
    }
    if (args.length > 0) throw new UsageError(`unexpected argument "${args[0]}"`)
    requireRoot()
    const isLone = flags['advertise-address'] === undefined && nodeAddress() === undefined
    if (isLone) io.stdout.write(`This machine has no network: the cluster lives at ${LONE_ADDRESS}, on a link of its own.\n`)
    const options = setUp(isLone ? { ...flags, 'advertise-address': LONE_ADDRESS } : flags, given)
    const context = { clock: systemClock, random: systemRandom, log: silentLog }
    await up(options, io, context)
    if (flags.demo) await demo(options.server.adminConf, options.server.advertiseAddress, io, context)
    if (flags['write-kubeconfig'] !== undefined) mergeIntoUserConfig(options.server.adminConf, flags['write-kubeconfig'], io.env)
    return 0
  },
}

const forceFlag = { type: 'boolean', short: 'f', help: 'do not ask on a terminal' } as const
const PURGE_QUESTION = 'This removes the cluster from this machine: pods, their data, images, certificates and state.'

export const downCommand: Command = {
  summary: 'Stop the cluster of this machine',
  async run(argv, io) {
    const specs = {
      purge: { type: 'boolean', help: 'remove state, images and certificates too' },
      force: forceFlag,
      help: common.help,
    } as const satisfies FlagSpecs
    const { flags } = parseFlags(specs, argv)
    if (flags.help) {
      io.stdout.write(usage('down', downCommand.summary, specs))
      return 0
    }
    requireRoot()
    if (flags.purge && !flags.force && !(await isAgreed(PURGE_QUESTION, io))) return 1
    await down({ purge: flags.purge }, io, { clock: systemClock, random: systemRandom, log: silentLog })
    return 0
  },
}

function setUp(flags: Flags<typeof upFlags>, given: ReadonlySet<string>): UpOptions {
  const server = serverOptions(flags)
  const agentSettings = agentOptions({ ...flags, 'node-ip': flags['node-ip'] ?? server.advertiseAddress })
  return {
    server,
    serverArguments: [
      ...passOn(flags, given, serverFlags),
      ...(given.has('advertise-address') ? [] : [`--advertise-address=${server.advertiseAddress}`]),
    ],
    agentArguments: [...passOn(flags, given, agentFlags), ...(given.has('node-ip') ? [] : [`--node-ip=${agentSettings.nodeIp}`])],
    agentPort: flags.port,
    timeoutMs: flags.timeout * 1000,
  }
}

export const initCommand: Command = {
  summary: 'Make this machine the first of a cluster',
  async run(argv, io) {
    const { flags, given, args } = parseFlags(upFlags, argv)
    if (flags.help) {
      io.stdout.write(usage('init', initCommand.summary, upFlags))
      return 0
    }
    if (args.length > 0) throw new UsageError(`unexpected argument "${args[0]}"`)
    requireRoot()
    const options = setUp(flags, given)
    await init(options, io, { clock: systemClock, random: systemRandom, log: silentLog })
    if (flags['write-kubeconfig'] !== undefined) mergeIntoUserConfig(options.server.adminConf, flags['write-kubeconfig'], io.env)
    return 0
  },
}

export const resetCommand: Command = {
  summary: 'Take everything of knarr off this machine',
  async run(argv, io) {
    const specs = { force: forceFlag, help: common.help } as const satisfies FlagSpecs
    const { flags } = parseFlags(specs, argv)
    if (flags.help) {
      io.stdout.write(usage('reset', `${resetCommand.summary}: pods, network, rules, certificates, state`, specs))
      return 0
    }
    requireRoot()
    if (!flags.force && !(await isAgreed(PURGE_QUESTION, io))) return 1
    await down({ purge: true }, io, { clock: systemClock, random: systemRandom, log: silentLog })
    return 0
  },
}
