// `knarr join`: this machine becomes a node.
import { type Command, type FlagSpecs, parseFlags, silentLog, systemClock, systemRandom, UsageError } from '../../lib/index.js'
import { join as joinCluster } from '../join.js'
import { parseToken } from '../token.js'
import { agentFlags, agentOptions, passOn, requireRoot, upFlags, usage } from './flags.js'

const joinFlags = {
  ...agentFlags,
  token: { type: 'string', help: 'token from "knarr init" or "knarr token create"', value: 'TOKEN' },
  'discovery-token-ca-cert-hash': { type: 'list', help: 'hash of the cluster authority', value: 'sha256:…' },
  'discovery-token-unsafe-skip-ca-verification': { type: 'boolean', help: 'believe whatever authority the server shows' },
  timeout: upFlags.timeout,
} as const satisfies FlagSpecs

export const joinCommandEntry: Command = {
  summary: 'Make this machine a node of a cluster',
  async run(argv, io) {
    const { flags, given, args } = parseFlags(joinFlags, argv)
    if (flags.help) {
      io.stdout.write(usage('join HOST:PORT', joinCommandEntry.summary, joinFlags))
      return 0
    }
    const match = /^(?:https:\/\/)?(?:\[([^\]]+)\]|([^:/]+)):(\d+)\/?$/.exec(args[0] ?? '')
    const host = match?.[1] ?? match?.[2]
    if (args.length !== 1 || host === undefined) throw new UsageError('say which API server to join: knarr join HOST:6443 --token …')
    const token = parseToken(flags.token ?? '')
    if (!token) throw new UsageError('--token is missing or malformed: it looks like abcdef.0123456789abcdef')
    const skip = flags['discovery-token-unsafe-skip-ca-verification']
    const hashes = flags['discovery-token-ca-cert-hash']
    const wrong = hashes.find((hash) => !/^sha256:[0-9a-f]{64}$/.test(hash))
    if (wrong !== undefined)
      throw new UsageError(`--discovery-token-ca-cert-hash: "${wrong}" is no hash: it looks like sha256: and 64 hexadecimal digits`)
    if (hashes.length === 0 && !skip)
      throw new UsageError('--discovery-token-ca-cert-hash is missing: without it anybody could pose as the cluster')
    requireRoot()
    const settings = agentOptions(flags)
    await joinCluster(
      {
        host,
        port: Number(match?.[3]),
        token,
        caCertHashes: hashes,
        unsafeSkipCaVerification: skip,
        nodeName: settings.nodeName,
        agentArguments: [...passOn(flags, given, agentFlags), ...(given.has('node-ip') ? [] : [`--node-ip=${settings.nodeIp}`])],
        agentPort: settings.port,
        timeoutMs: flags.timeout * 1000,
      },
      io,
      { clock: systemClock, random: systemRandom, log: silentLog },
    )
    return 0
  },
}
