// `knarr join`: a machine becomes a node, knowing only an address, a token and the hash of the cluster's authority.
import { X509Certificate } from 'node:crypto'
import { connect, type PeerCertificate } from 'node:tls'
import { Node } from '../api/index.js'
import { createClient, httpsTransport } from '../client/index.js'
import { type CommandIo, hasErrno, isStatus } from '../lib/index.js'
import { caCertHash, kubeconfig, toPem, writeKubeconfig } from '../pki/index.js'
import { checklist } from './checklist.js'
import { networkingFlags } from './cluster-configuration.js'
import { writeFileAtomic } from './files.js'
import { nodeSubject, requestCertificate } from './identity.js'
import { paths } from './paths.js'
import type { ProcessContext } from './server.js'
import { startService, supervisedServices } from './supervise.js'
import { type Token, tokenText } from './token.js'
import { checkMachine, clientFrom, eventually, SetupError, serviceDefinition } from './up.js'

export interface JoinOptions {
  readonly host: string
  readonly port: number
  readonly token: Token
  /** `sha256:…`, any of which the authority must have; empty with `unsafeSkipCaVerification`. */
  readonly caCertHashes: readonly string[]
  readonly unsafeSkipCaVerification: boolean
  readonly nodeName: string
  readonly agentArguments: readonly string[]
  readonly agentPort: number
  readonly timeoutMs: number
}

/** The certificates that a server shows, leaf first. */
function chainOf(host: string, port: number): Promise<readonly X509Certificate[]> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, rejectUnauthorized: false, timeout: 10_000 }, () => {
      const chain: X509Certificate[] = []
      let next: PeerCertificate | undefined = socket.getPeerCertificate(true)
      const seen = new Set<string>()
      while (next?.raw && !seen.has(next.fingerprint256)) {
        seen.add(next.fingerprint256)
        chain.push(new X509Certificate(next.raw))
        next = (next as PeerCertificate & { readonly issuerCertificate?: PeerCertificate }).issuerCertificate
      }
      socket.destroy()
      resolve(chain)
    })
    socket.once('timeout', () => socket.destroy(Object.assign(new Error('timeout'), { code: 'ETIMEDOUT' })))
    socket.once('error', reject)
  })
}

/** The cluster's authority, PEM: shown by the server, believed because its key has the hash that an administrator handed over. */
export async function discoverCa({
  host,
  port,
  caCertHashes,
  unsafeSkipCaVerification,
}: Pick<JoinOptions, 'host' | 'port' | 'caCertHashes' | 'unsafeSkipCaVerification'>): Promise<string> {
  let chain: readonly X509Certificate[]
  try {
    chain = await chainOf(host, port)
  } catch (error) {
    const why = hasErrno(error, 'ECONNREFUSED')
      ? 'nothing listens there'
      : hasErrno(error, 'ETIMEDOUT')
        ? 'no answer within 10 s'
        : String((error as Error).message)
    throw new SetupError(`no API server at ${host}:${port} (${why}): check the address, and that "knarr init" has finished there`)
  }
  const [leaf] = chain
  const ca = chain.find((certificate) => certificate.ca)
  if (!leaf || !ca) throw new SetupError(`${host}:${port} does not show its certificate authority: is it an API server of knarr?`)
  const pem = toPem('CERTIFICATE', ca.raw)
  const hash = caCertHash(pem)
  if (!unsafeSkipCaVerification && !caCertHashes.includes(hash)) {
    throw new SetupError(
      `the authority at ${host}:${port} has the hash ${hash}, which is not the one given: take --discovery-token-ca-cert-hash from "knarr token create --print-join-command" on the first machine`,
    )
  }
  // The holder of the authority's key has signed what the server shows: nobody stands in between.
  if (leaf !== ca && !leaf.verify(ca.publicKey))
    throw new SetupError(`the certificate of ${host}:${port} is not signed by the authority it shows`)
  return pem
}

export async function join(options: JoinOptions, io: CommandIo, context: ProcessContext): Promise<void> {
  const list = checklist(io.stdout, context.clock)
  const server = `https://${options.host.includes(':') ? `[${options.host}]` : options.host}:${options.port}`
  if (supervisedServices().length > 0) throw new SetupError('this machine already belongs to a cluster: "knarr reset" takes it out first')
  await list.step('Machine is suitable', () => checkMachine(io, { nodeName: options.nodeName, ports: [options.agentPort] }, context))
  const ca = await list.step('Cluster authority has the expected hash', () => discoverCa(options))
  const ofCluster = await list.step('Node certificate was signed', async () => {
    const transport = await httpsTransport({ server, ca, token: () => tokenText(options.token) })
    try {
      const client = createClient(transport.handler, { userAgent: 'knarr' })
      const deadline = AbortSignal.any([io.signal, AbortSignal.timeout(options.timeoutMs)])
      const usages = ['digital signature', 'key encipherment', 'client auth']
      const request = {
        subject: nodeSubject(options.nodeName),
        signerName: 'kubernetes.io/kube-apiserver-client-kubelet',
        usages,
        signal: deadline,
      }
      const identity = await requestCertificate(client, request, context)
      const config = kubeconfig({ server, ca, identity }, { cluster: 'knarr', user: `system:node:${options.nodeName}` })
      writeFileAtomic(paths.kubeletConf, writeKubeconfig(config))
      writeFileAtomic(`${paths.pki}/ca.crt`, ca, 0o644)
      return await networkingFlags(client)
    } catch (error) {
      if (isStatus(error, 'Unauthorized')) {
        throw new SetupError(
          `the token ${options.token.id}.… is not valid (wrong, or expired): make a new one with "knarr token create --print-join-command" on the first machine`,
        )
      }
      if (hasErrno(error, 'CERT_NOT_YET_VALID' as 'EPERM', 'CERT_HAS_EXPIRED' as 'EPERM')) {
        throw new SetupError("the cluster's certificate is not valid at this time: is the clock of this machine right?")
      }
      throw error
    } finally {
      await transport.close()
    }
  })
  await list.step('Node agent was started', () => startService(serviceDefinition('agent', [...ofCluster, ...options.agentArguments])))
  const { client, close } = await clientFrom(paths.kubeletConf)
  try {
    await list.step(`Node ${options.nodeName} is registered`, () =>
      eventually(`registration of ${options.nodeName}`, options.timeoutMs, context, io.signal, () =>
        client.find(Node, { name: options.nodeName }),
      ),
    )
  } finally {
    await close()
  }
  list.note('\nThis machine has joined the cluster; it is Ready once a pod network runs on it:\n  kubectl get nodes\n')
}
