// `knarr cri`: the CRI of this machine on a unix socket, for kubelets that are not ours and for crictl.
import { createCni } from '../cni/index.js'
import { createImageStore, defaultLimits } from '../image/index.js'
import {
  type Command,
  type CommandIo,
  describeFlags,
  type FlagSpecs,
  type Logger,
  parseFlags,
  silentLog,
  systemClock,
  systemRandom,
} from '../lib/index.js'
import { createRuntime } from '../runtime/index.js'
import { createCri } from './cri.js'
import { sentence } from './errors.js'
import { serveCri } from './grpc/server.js'
import { thisMachine } from './host-facts.js'
import { cniNetwork } from './network.js'
import { serveStreams } from './streaming/server.js'

const flags = {
  listen: { type: 'string', default: '/run/knarr/cri.sock', value: 'PATH', help: 'Unix socket to serve runtime.v1 on' },
  root: { type: 'string', default: '/var/lib/knarr/cri', value: 'DIR', help: 'Where pods and containers are recorded' },
  'run-dir': { type: 'string', default: '/run/knarr/cri', value: 'DIR', help: 'Where running pods have their files' },
  'runtime-root': { type: 'string', default: '/run/knarr/runtime', value: 'DIR', help: 'Where the runtime keeps its state' },
  'image-root': { type: 'string', default: '/var/lib/knarr/images', value: 'DIR', help: 'The image store' },
  'image-layer-limit': {
    type: 'number',
    default: defaultLimits.bytes,
    value: 'BYTES',
    help: 'Most bytes that one layer may unpack to',
  },
  'registry-timeout': { type: 'number', default: 30, value: 'SECONDS', help: 'How long a registry may be silent before a pull fails' },
  'cni-conf-dir': { type: 'string', default: '/etc/cni/net.d', value: 'DIR', help: 'Network configurations' },
  'cni-bin-dir': { type: 'list', default: ['/opt/cni/bin', '/usr/lib/cni'], value: 'DIR', help: 'Network plugins that are not built in' },
  'cni-cache-dir': { type: 'string', default: '/var/lib/cni', value: 'DIR', help: 'Results of network plugins' },
  'stream-address': { type: 'string', default: '127.0.0.1', value: 'IP', help: 'Where exec, attach and port-forward are streamed' },
  'stream-port': { type: 'number', default: 0, value: 'PORT', help: 'Its port; 0 for any free one' },
  handlers: { type: 'list', default: [], value: 'NAME', help: 'Names of runtime handlers to accept beside the default' },
  help: { type: 'boolean', short: 'h', help: 'Show this' },
} as const satisfies FlagSpecs

/** One line a message: time, level, message and fields. */
function lineLog(io: CommandIo, fields: Readonly<Record<string, unknown>> = {}): Logger {
  const write =
    (level: string) =>
    (message: string, more: Readonly<Record<string, unknown>> = {}) => {
      const text = Object.entries({ ...fields, ...more }).map(
        ([key, value]) => ` ${key}=${JSON.stringify(value instanceof Error ? sentence(value) : value)}`,
      )
      io.stderr.write(`${new Date(systemClock.now()).toISOString()} ${level} ${message}${text.join('')}\n`)
    }
  return {
    ...silentLog,
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (more) => lineLog(io, { ...fields, ...more }),
  }
}

export const cri: Command = {
  summary: 'Serve the Container Runtime Interface on a socket',
  async run(argv, io) {
    const { flags: given } = parseFlags(flags, argv)
    if (given.help) {
      io.stdout.write(`Usage: knarr cri [flags]\n\n${describeFlags(flags)}\n`)
      return 0
    }
    const log = lineLog(io)
    const runtime = createRuntime({ root: given['runtime-root'], restrictOomScoreAdj: true })
    const images = createImageStore({
      root: given['image-root'],
      limits: { bytes: given['image-layer-limit'] },
      registries: { timeoutMs: given['registry-timeout'] * 1000 },
    })
    const running = await createCri({
      root: given.root,
      runDir: given['run-dir'],
      runtime,
      images,
      network: cniNetwork(createCni({ confDir: given['cni-conf-dir'], binDirs: given['cni-bin-dir'], cacheDir: given['cni-cache-dir'] })),
      machine: thisMachine(),
      clock: systemClock,
      random: systemRandom,
      log,
      version: '0.1.0',
      handlers: given.handlers,
    })
    const streams = await serveStreams({
      cri: running,
      address: given['stream-address'],
      port: given['stream-port'],
      clock: systemClock,
      random: systemRandom,
      log,
    })
    const server = await serveCri({ cri: running, urls: streams.urls, socket: given.listen, log })
    log.info('serving', { socket: given.listen })
    await new Promise<void>((resolve) => {
      if (io.signal.aborted) resolve()
      io.signal.addEventListener('abort', () => resolve(), { once: true })
    })
    await server.close()
    streams.close()
    running.close()
    runtime.close()
    await images.close()
    return 0
  },
}
