// `knarr pod-network`: what the add-on runs in its pods.
import { setMaxListeners } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient, httpsTransport } from '../../client/index.js'
import { type Command, type FlagSpecs, parseFlags, systemClock, UsageError } from '../../lib/index.js'
import { paths } from '../paths.js'
import { runPodNetwork } from '../pod-network.js'
import { common, logOf, usage } from './flags.js'

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'

export const podNetworkCommand: Command = {
  summary: 'Be the pod network of a node (what the add-on runs)',
  async run(argv, io) {
    const specs = {
      'node-name': { type: 'string', help: 'name of this node', value: 'NAME', default: io.env.NODE_NAME ?? '' },
      'cluster-cidr': common['cluster-cidr'],
      mode: { type: 'string', help: 'auto, direct or vxlan', default: 'auto' },
      'conf-dir': { type: 'string', help: 'where runtimes look for the network', value: 'DIR', default: paths.cniConf },
      'log-level': common['log-level'],
      help: common.help,
    } as const satisfies FlagSpecs
    const { flags } = parseFlags(specs, argv)
    if (flags.help) {
      io.stdout.write(usage('pod-network', podNetworkCommand.summary, specs))
      return 0
    }
    const mode = (['auto', 'direct', 'vxlan'] as const).find((each) => each === flags.mode)
    if (!mode) throw new UsageError(`--mode: "${flags.mode}" is none of auto, direct, vxlan`)
    if (flags['node-name'] === '') throw new UsageError('--node-name is missing')
    const host = io.env.KUBERNETES_SERVICE_HOST
    if (host === undefined) throw new UsageError('this runs in a pod of the cluster: KUBERNETES_SERVICE_HOST is not set')
    const ca = readFileSync(join(SERVICE_ACCOUNT, 'ca.crt'), 'utf8')
    const server = `https://${host.includes(':') ? `[${host}]` : host}:${io.env.KUBERNETES_SERVICE_PORT ?? '443'}`
    setMaxListeners(0, io.signal)
    const transport = await httpsTransport({ server, ca, token: () => readFileSync(join(SERVICE_ACCOUNT, 'token'), 'utf8').trim() })
    const client = createClient(transport.handler, { userAgent: 'pod-network' })
    const log = logOf('pod-network', flags['log-level'])
    const clusterCidrs = flags['cluster-cidr'].split(',')
    await runPodNetwork(
      { client, nodeName: flags['node-name'], confDir: flags['conf-dir'], clusterCidrs, mode, clock: systemClock, log },
      io.signal,
    )
    await transport.close()
    return 0
  },
}
