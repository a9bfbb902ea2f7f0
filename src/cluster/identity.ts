// A node's certificates: the one it speaks to the API server with, and the one it serves its node API with.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { CertificateSigningRequest } from '../api/index.js'
import type { Client } from '../client/index.js'
import { asError, type Logger, nameSuffix, sleep } from '../lib/index.js'
import {
  accessOf,
  createCsr,
  generateKey,
  issue,
  type KeyPair,
  kubeconfig,
  needsRenewal,
  type PkiContext,
  readKubeconfig,
  type Subject,
  writeKubeconfig,
} from '../pki/index.js'
import { readFileIfPresent, writeFileAtomic } from './files.js'
import { paths } from './paths.js'

/** How often certificates are looked at. */
export const RENEWAL_CHECK_MS = 10 * 60_000

const CLIENT_SIGNER = 'kubernetes.io/kube-apiserver-client-kubelet'
const SERVING_SIGNER = 'kubernetes.io/kubelet-serving'

export const nodeSubject = (nodeName: string): Subject => ({ commonName: `system:node:${nodeName}`, organizations: ['system:nodes'] })

interface RequestOptions {
  readonly subject: Subject
  readonly signerName: string
  readonly usages: readonly string[]
  readonly altNames?: { readonly dns: readonly string[]; readonly ips: readonly string[] }
  readonly signal?: AbortSignal
}

/** Makes a key, asks the cluster to sign it, and waits until it has. Throws when the request is denied. */
export async function requestCertificate(client: Client, options: RequestOptions, { random, clock }: PkiContext): Promise<KeyPair> {
  const key = await generateKey()
  const request = createCsr(options.subject, key, options.altNames)
  const name = `csr-${nameSuffix(random, 5)}`
  await client.create(CertificateSigningRequest, {
    apiVersion: 'certificates.k8s.io/v1',
    kind: 'CertificateSigningRequest',
    metadata: { name },
    spec: { request: Buffer.from(request).toString('base64'), signerName: options.signerName, usages: options.usages },
  })
  for (;;) {
    const { status } = await client.get(CertificateSigningRequest, { name })
    const refused = status?.conditions?.find(({ type }) => type === 'Denied' || type === 'Failed')
    if (refused) throw new Error(`certificate request ${name} was refused: ${refused.message ?? refused.reason ?? refused.type}`)
    if (status?.certificate) return { cert: Buffer.from(status.certificate, 'base64').toString(), key: key.pem }
    await sleep(clock, 100, options.signal)
  }
}

export interface NodeIdentity {
  readonly server: string
  readonly ca: string
  readonly current: () => KeyPair
  /** Renews the certificate when two thirds of its life are over; returns when aborted. */
  keepFresh(client: Client, signal: AbortSignal): Promise<void>
}

/** The identity in a kubeconfig. */
export function nodeIdentity(path: string, nodeName: string, context: PkiContext & { readonly log: Logger }): NodeIdentity {
  const source = readFileIfPresent(path)
  if (source === undefined) throw new Error(`${path} is missing: join the cluster first (knarr join), or start one (knarr up)`)
  const access = accessOf(readKubeconfig(source))
  if (!access.identity) throw new Error(`${path} has no client certificate`)
  let pair = access.identity
  const { clock, log } = context

  async function renew(client: Client, signal: AbortSignal): Promise<void> {
    const usages = ['digital signature', 'client auth']
    const fresh = await requestCertificate(client, { subject: nodeSubject(nodeName), signerName: CLIENT_SIGNER, usages, signal }, context)
    const config = kubeconfig(
      { server: access.server, ca: access.ca, identity: fresh },
      { cluster: 'knarr', user: `system:node:${nodeName}` },
    )
    writeFileAtomic(path, writeKubeconfig(config))
    pair = fresh
    log.info('client certificate renewed')
  }

  return {
    server: access.server,
    ca: access.ca,
    current: () => pair,
    async keepFresh(client, signal) {
      while (!signal.aborted) {
        try {
          if (needsRenewal(pair.cert, clock.now())) await renew(client, signal)
        } catch (error) {
          if (!signal.aborted) log.error('client certificate could not be renewed', { err: asError(error) })
        }
        await sleep(clock, RENEWAL_CHECK_MS, signal).catch(() => {})
      }
    },
  }
}

export interface ServingNode {
  readonly nodeName: string
  readonly nodeIp: string
  readonly ca: string
  readonly client: Client
  readonly signal: AbortSignal
  /** Where the pair is kept, and where the authority's may be. */
  readonly folder?: string
  readonly authorityFolder?: string
}

/** The certificate of the node API: kept from earlier, signed by the authority where its key is at hand, else asked for. */
export async function servingIdentity(node: ServingNode, context: PkiContext): Promise<KeyPair> {
  const { folder = paths.kubeletPki, authorityFolder = paths.pki } = node
  const files = { cert: join(folder, 'kubelet.crt'), key: join(folder, 'kubelet.key') }
  const [cert, key] = [readFileIfPresent(files.cert), readFileIfPresent(files.key)]
  const { X509Certificate } = await import('node:crypto')
  const fits = (pem: string): boolean => {
    const certificate = new X509Certificate(pem)
    return (
      !needsRenewal(pem, context.clock.now()) &&
      certificate.checkIP(node.nodeIp) !== undefined &&
      certificate.verify(new X509Certificate(node.ca).publicKey)
    )
  }
  if (cert !== undefined && key !== undefined && fits(cert)) return { cert, key }
  const altNames = { dns: [node.nodeName], ips: [node.nodeIp] }
  const subject = nodeSubject(node.nodeName)
  const authority = { cert: join(authorityFolder, 'ca.crt'), key: join(authorityFolder, 'ca.key') }
  const pair = existsSync(authority.key)
    ? await issue(
        { cert: readFileIfPresent(authority.cert) ?? '', key: readFileIfPresent(authority.key) ?? '' },
        { subject, altNames, usages: ['server auth'] },
        context,
      )
    : await requestCertificate(
        node.client,
        { subject, altNames, signerName: SERVING_SIGNER, usages: ['digital signature', 'server auth'], signal: node.signal },
        context,
      )
  writeFileAtomic(files.key, pair.key)
  writeFileAtomic(files.cert, pair.cert, 0o644)
  return pair
}

/** Hands each new certificate of the node API to `use`, in time before the old one runs out; returns when aborted. */
export async function keepServingFresh(
  node: ServingNode,
  first: KeyPair,
  use: (pair: KeyPair) => void,
  context: PkiContext & { readonly log: Logger },
): Promise<void> {
  let current = first
  while (!node.signal.aborted) {
    await sleep(context.clock, RENEWAL_CHECK_MS, node.signal).catch(() => {})
    if (node.signal.aborted) return
    try {
      const pair = await servingIdentity(node, context)
      if (pair.cert === current.cert) continue
      current = pair
      use(pair)
      context.log.info('serving certificate renewed')
    } catch (error) {
      if (!node.signal.aborted) context.log.error('serving certificate could not be renewed', { err: asError(error) })
    }
  }
}
