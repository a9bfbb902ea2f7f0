// `knarr up`: from nothing to a cluster of one node that is Ready, and `knarr down`: back again.
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Node } from '../api/index.js'
import { type Client, createClient, httpsTransport } from '../client/index.js'
import { type CommandIo, explain, sleep } from '../lib/index.js'
import { accessOf, caCertHash, readKubeconfig } from '../pki/index.js'
import { applyManifest } from './apply.js'
import { ensureCertificates, ensureKubeconfig } from './certificates.js'
import { type Checklist, checklist } from './checklist.js'
import { readFileIfPresent } from './files.js'
import { ensureNodeAddress } from './hosts.js'
import { nodeSubject } from './identity.js'
import { paths } from './paths.js'
import { gatherFacts, preflight } from './preflight.js'
import { removeEverything } from './reset.js'
import { installation } from './self-image.js'
import type { ProcessContext, ServerOptions } from './server.js'
import { kubernetesServiceIp } from './service-range.js'
import { type ServiceDefinition, startService, stopService, supervisedServices, whereLogsAre } from './supervise.js'
import { createToken, newToken, type Token, tokenText } from './token.js'

export interface UpOptions {
  readonly server: ServerOptions
  /** Words behind `knarr server` and `knarr agent` for the supervisor. */
  readonly serverArguments: readonly string[]
  readonly agentArguments: readonly string[]
  readonly agentPort: number
  /** How long to wait for the node to be Ready. */
  readonly timeoutMs: number
}

/** A mistake or a state of the machine that stops a command; already said in words. */
export class SetupError extends Error {
  override readonly name = 'SetupError'
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

export function serviceDefinition(name: 'server' | 'agent', args: readonly string[]): ServiceDefinition {
  const main = process.argv[1]
  if (main === undefined) throw new Error('cannot tell where knarr is installed')
  return {
    name,
    description: name === 'server' ? 'Knarr control plane' : 'Knarr node agent',
    argv: [process.execPath, '--max-semi-space-size=2', main, name, ...args],
    env: { PATH, HOME: '/root', LANG: 'C.UTF-8' },
  }
}

/** Says what is wrong with the machine; throws when it is something that must be mended first. */
export async function checkMachine(
  io: CommandIo,
  options: { readonly nodeName: string; readonly ports: readonly number[] },
  context: Pick<ProcessContext, 'clock'>,
): Promise<void> {
  const findings = preflight(gatherFacts({ ...options, now: context.clock.now() }))
  for (const { message } of findings.filter(({ severity }) => severity === 'warning')) io.stderr.write(`warning: ${message}\n`)
  const errors = findings.filter(({ severity }) => severity === 'error')
  if (errors.length > 0) throw new SetupError(errors.map(({ message }) => message).join('\n'))
}

/** A client with the rights of a kubeconfig's user. */
export async function clientFrom(path: string): Promise<{ readonly client: Client; close(): Promise<void> }> {
  const source = readFileIfPresent(path)
  if (source === undefined) throw new SetupError(`${path} is missing: start a cluster with "knarr up" or "knarr init"`)
  const access = accessOf(readKubeconfig(source))
  const { identity } = access
  const transport = await httpsTransport({ server: access.server, ca: access.ca, ...(identity ? { identity: () => identity } : {}) })
  return { client: createClient(transport.handler, { userAgent: 'knarr' }), close: transport.close }
}

/** Tries until `attempt` gives something; the last failure is told when time is up. */
export async function eventually<T>(
  what: string,
  timeoutMs: number,
  { clock }: Pick<ProcessContext, 'clock'>,
  signal: AbortSignal,
  attempt: () => Promise<T | undefined>,
): Promise<T> {
  const end = clock.monotonic() + timeoutMs
  let last: unknown
  for (;;) {
    try {
      const result = await attempt()
      if (result !== undefined) return result
    } catch (error) {
      last = error
    }
    if (clock.monotonic() > end)
      throw new SetupError(
        `${what} took longer than ${Math.round(timeoutMs / 1000)} s${last === undefined ? '' : ` (${explain(last)})`}; ${whereLogsAre()}`,
      )
    await sleep(clock, 20, signal)
  }
}

export const isReady = (node: Node | undefined): boolean =>
  node?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false

/** Certificates and kubeconfigs of a control plane and the node beside it. */
export async function writeCredentials(options: ServerOptions, context: ProcessContext): Promise<void> {
  const certificates = await ensureCertificates(
    options.pki,
    {
      advertiseAddress: options.advertiseAddress,
      kubernetesServiceIp: kubernetesServiceIp(options.serviceCidr),
      clusterDomain: options.clusterDomain,
      nodeName: options.nodeName,
      extraSans: options.extraSans,
    },
    context,
  )
  const server = `https://${options.advertiseAddress}:${options.port}`
  const { ca } = certificates
  await Promise.all([
    ensureKubeconfig(
      options.adminConf,
      { ca, server, user: 'kubernetes-admin', subject: { commonName: 'kubernetes-admin', organizations: ['system:masters'] } },
      context,
    ),
    ensureKubeconfig(
      paths.kubeletConf,
      { ca, server, user: `system:node:${options.nodeName}`, subject: nodeSubject(options.nodeName) },
      context,
    ),
  ])
}

/** A machine that has joined somebody else's cluster makes none of its own beside it. */
function refuseNode(adminConf: string): void {
  const joined = readFileIfPresent(paths.kubeletConf)
  if (joined === undefined || existsSync(adminConf) || !supervisedServices().includes('agent')) return
  throw new SetupError(
    `this machine is a node of the cluster at ${accessOf(readKubeconfig(joined)).server}: "knarr reset" takes it out first`,
  )
}

async function prepare(options: UpOptions, list: Checklist, context: ProcessContext, io: CommandIo): Promise<void> {
  const { server } = options
  for (const name of supervisedServices()) await stopService(name)
  await list.step('Machine is suitable', () =>
    checkMachine(io, { nodeName: server.nodeName, ports: [server.port, options.agentPort] }, context),
  )
  await list.step('Certificates and keys are in place', () => writeCredentials(server, context))
  ensureNodeAddress(server.advertiseAddress)
  await list.step('Control plane and node agent were started', async () => {
    await startService(serviceDefinition('server', options.serverArguments))
    await startService(serviceDefinition('agent', options.agentArguments))
  })
}

async function withAdmin(adminConf: string, work: (client: Client) => Promise<void>): Promise<void> {
  const { client, close } = await clientFrom(adminConf)
  try {
    await work(client)
  } finally {
    await close()
  }
}

const apiAnswers = (client: Client, options: UpOptions, context: ProcessContext, io: CommandIo): Promise<true> =>
  eventually('the API server', options.timeoutMs, context, io.signal, async () => {
    const { status } = await client.request({ method: 'GET', url: '/readyz', headers: {} })
    return status === 200 ? true : undefined
  })

/** Builds the cluster with its pod network; a second `up` finds it running, says so, and looks whether it is well. */
export async function up(options: UpOptions, io: CommandIo, context: ProcessContext): Promise<void> {
  const list = checklist(io.stdout, context.clock)
  const { server } = options
  refuseNode(server.adminConf)
  const isUp = supervisedServices().length === 2
  if (isUp) list.note('The cluster is already up ("knarr down" stops it; other flags count from the next start).')
  else await prepare(options, list, context, io)
  await withAdmin(server.adminConf, async (client) => {
    await list.step('API server answers', () => apiAnswers(client, options, context, io))
    if (!isUp)
      await list.step('Pod network was applied', () =>
        applyManifest(client, readFileSync(join(installation(), 'addons/pod-network.yaml'), 'utf8')),
      )
    await list.step(`Node ${server.nodeName} is Ready`, () =>
      eventually(`node ${server.nodeName}`, options.timeoutMs, context, io.signal, async () => {
        const node = await client.find(Node, { name: server.nodeName })
        return isReady(node) ? true : undefined
      }),
    )
  })
  list.note(`\nNext:\n  export KUBECONFIG=${server.adminConf}\n  kubectl get nodes\n`)
}

/** The first machine of a cluster: control plane and node, no pod network yet. */
export async function init(options: UpOptions, io: CommandIo, context: ProcessContext): Promise<void> {
  const list = checklist(io.stdout, context.clock)
  const { server } = options
  refuseNode(server.adminConf)
  if (supervisedServices().length > 0)
    throw new SetupError('this machine has a cluster, or an "init" that was cut off: "knarr reset" removes it, then start again')
  await prepare(options, list, context, io)
  const token = newToken(context.random)
  await withAdmin(server.adminConf, async (client) => {
    await list.step('API server answers', () => apiAnswers(client, options, context, io))
    await list.step('Token for joining was made', () =>
      createToken(client, token, { ttlSeconds: 24 * 3600, description: 'made by knarr init' }, context.clock),
    )
  })
  const home = installation()
  list.note(
    [
      '',
      'Next, on this machine:',
      `  export KUBECONFIG=${server.adminConf}`,
      `  kubectl apply -f ${join(home, 'addons/pod-network.yaml')}`,
      '',
      'And on every machine that shall join (the token is valid for 24 hours):',
      `  sudo ./knarr ${joinCommand(server, token)}`,
      '',
    ].join('\n'),
  )
}

/** The words with which a machine joins. */
export function joinCommand(server: Pick<ServerOptions, 'advertiseAddress' | 'port' | 'pki'>, token: Token): string {
  const hash = caCertHash(readFileIfPresent(join(server.pki, 'ca.crt')) ?? '')
  return `join ${server.advertiseAddress}:${server.port} --token ${tokenText(token)} --discovery-token-ca-cert-hash ${hash}`
}

/** Stops everything; with `purge` nothing of the cluster is left on the machine, whatever state it is in. */
export async function down({ purge }: { readonly purge: boolean }, io: CommandIo, context: ProcessContext): Promise<void> {
  const list = checklist(io.stdout, context.clock)
  const failures: unknown[] = []
  const attempt = (done: string, run: () => Promise<void>): Promise<void> =>
    list.step(done, run).catch((error: unknown) => void failures.push(error))
  for (const name of ['agent', 'server']) await attempt(`The ${name} was stopped`, () => stopService(name))
  await attempt(purge ? 'Pods, network, rules and files were removed' : 'Pods, network and rules were removed', () =>
    removeEverything({ purge }, context),
  )
  rmSync(paths.run, { recursive: true, force: true })
  if (failures.length > 0) throw new SetupError(failures.map(explain).join('\n'))
  if (!purge && existsSync(join(paths.state, 'store')))
    list.note(`The cluster's state is kept in ${paths.state}; "knarr up" brings it back, "knarr down --purge" removes it.`)
}
