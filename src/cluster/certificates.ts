// The certificates and keys of a cluster on disk, under kubeadm's names; what is there and valid is kept.
import { generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import {
  createCa,
  type IssueOptions,
  issue,
  type KeyPair,
  kubeconfig,
  needsRenewal,
  type PkiContext,
  writeKubeconfig,
} from '../pki/index.js'
import { readFileIfPresent, writeFileAtomic } from './files.js'

export interface EncryptionKeyFile {
  readonly name: string
  readonly key: Buffer
}

export interface ClusterCertificates {
  readonly ca: KeyPair
  readonly apiserver: KeyPair
  /** The API server towards kubelets. */
  readonly kubeletClient: KeyPair
  readonly frontProxyCa: KeyPair
  readonly frontProxyClient: KeyPair
  /** Signs service-account tokens, PEM. */
  readonly serviceAccountKey: string
  readonly serviceAccountPublicKey: string
  /** For Secrets at rest; the first one writes. */
  readonly encryption: readonly EncryptionKeyFile[]
}

export interface ClusterNames {
  /** Address under which other machines reach the API server. */
  readonly advertiseAddress: string
  /** First address of the service range: the `kubernetes` Service. */
  readonly kubernetesServiceIp: string
  readonly clusterDomain: string
  readonly nodeName: string
  /** More names and addresses for the serving certificate. */
  readonly extraSans?: readonly string[]
}

const isAddress = (name: string): boolean => /^[\d.]+$/.test(name) || name.includes(':')

/** A pair from `folder/name.{crt,key}`; made by `make` and written when it is missing or `stale`. */
async function ensurePair(folder: string, name: string, make: () => Promise<KeyPair>, stale: (cert: string) => boolean): Promise<KeyPair> {
  const cert = readFileIfPresent(join(folder, `${name}.crt`))
  const key = readFileIfPresent(join(folder, `${name}.key`))
  if (cert !== undefined && key !== undefined && !stale(cert)) return { cert, key }
  const pair = await make()
  // The key first: a certificate without its key would be taken for a finished pair by nobody.
  writeFileAtomic(join(folder, `${name}.key`), pair.key)
  writeFileAtomic(join(folder, `${name}.crt`), pair.cert, 0o644)
  return pair
}

function servingNames(names: ClusterNames): { readonly dns: readonly string[]; readonly ips: readonly string[] } {
  const extra = names.extraSans ?? []
  const dns = [
    'kubernetes',
    'kubernetes.default',
    'kubernetes.default.svc',
    `kubernetes.default.svc.${names.clusterDomain}`,
    names.nodeName,
    'localhost',
  ]
  const ips = [names.kubernetesServiceIp, names.advertiseAddress, '127.0.0.1', '::1']
  return {
    dns: [...new Set([...dns, ...extra.filter((name) => !isAddress(name))])],
    ips: [...new Set([...ips, ...extra.filter(isAddress)])],
  }
}

/** True when a serving certificate lacks a name that it should have. */
function lacksNames(cert: string, wanted: { readonly dns: readonly string[]; readonly ips: readonly string[] }): boolean {
  const certificate = new X509Certificate(cert)
  return wanted.dns.some((name) => !certificate.checkHost(name)) || wanted.ips.some((ip) => !certificate.checkIP(ip))
}

function ensureServiceAccountKey(folder: string): { readonly serviceAccountKey: string; readonly serviceAccountPublicKey: string } {
  const key = readFileIfPresent(join(folder, 'sa.key'))
  const pub = readFileIfPresent(join(folder, 'sa.pub'))
  if (key !== undefined && pub !== undefined) return { serviceAccountKey: key, serviceAccountPublicKey: pub }
  const { privateKey, publicKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'sec1', format: 'pem' },
  })
  writeFileAtomic(join(folder, 'sa.key'), privateKey)
  writeFileAtomic(join(folder, 'sa.pub'), publicKey, 0o644)
  return { serviceAccountKey: privateKey, serviceAccountPublicKey: publicKey }
}

/** Lines of `name:base64`, 32 bytes each. */
function ensureEncryptionKeys(folder: string): readonly EncryptionKeyFile[] {
  const path = join(folder, 'encryption.keys')
  if (!existsSync(path)) writeFileAtomic(path, `key1:${randomBytes(32).toString('base64')}\n`)
  const lines = (readFileIfPresent(path) ?? '').split('\n').filter((line) => line !== '')
  return lines.map((line, i) => {
    const [name = '', encoded = ''] = line.split(':')
    const key = Buffer.from(encoded, 'base64')
    if (key.length !== 32) throw new Error(`${path}, line ${i + 1}: want NAME:KEY with a key of 32 bytes in base64`)
    return { name, key }
  })
}

/** All of them, from `folder`; missing and expiring ones are made. */
export async function ensureCertificates(folder: string, names: ClusterNames, pki: PkiContext): Promise<ClusterCertificates> {
  const never = (): boolean => false
  const expiring = (cert: string): boolean => needsRenewal(cert, pki.clock.now())
  const [ca, frontProxyCa] = await Promise.all([
    ensurePair(folder, 'ca', () => createCa('kubernetes', pki), never),
    ensurePair(folder, 'front-proxy-ca', () => createCa('front-proxy-ca', pki), never),
  ])
  const sans = servingNames(names)
  const signed = (name: string, authority: KeyPair, options: IssueOptions, stale = expiring): Promise<KeyPair> =>
    ensurePair(folder, name, () => issue(authority, options, pki), stale)
  const [apiserver, kubeletClient, frontProxyClient] = await Promise.all([
    signed(
      'apiserver',
      ca,
      { subject: { commonName: 'kube-apiserver' }, altNames: sans, usages: ['server auth'] },
      (cert) => expiring(cert) || lacksNames(cert, sans),
    ),
    signed('apiserver-kubelet-client', ca, {
      subject: { commonName: 'kube-apiserver-kubelet-client' },
      usages: ['client auth'],
    }),
    signed('front-proxy-client', frontProxyCa, { subject: { commonName: 'front-proxy-client' }, usages: ['client auth'] }),
  ])
  return {
    ca,
    apiserver,
    kubeletClient,
    frontProxyCa,
    frontProxyClient,
    ...ensureServiceAccountKey(folder),
    encryption: ensureEncryptionKeys(folder),
  }
}

/** Writes a kubeconfig with a client certificate of its own, unless a valid one is there. */
export async function ensureKubeconfig(
  path: string,
  options: { readonly ca: KeyPair; readonly server: string; readonly user: string; readonly subject: IssueOptions['subject'] },
  pki: PkiContext,
): Promise<void> {
  const present = readFileIfPresent(path)
  const encoded = present && /client-certificate-data: (\S+)/.exec(present)?.[1]
  const ours = present?.includes(Buffer.from(options.ca.cert).toString('base64')) && present.includes(`server: ${options.server}\n`)
  if (encoded && ours && !needsRenewal(Buffer.from(encoded, 'base64').toString(), pki.clock.now())) return
  const identity = await issue(options.ca, { subject: options.subject, usages: ['client auth'] }, pki)
  const config = kubeconfig({ server: options.server, ca: options.ca.cert, identity }, { cluster: 'knarr', user: options.user })
  writeFileAtomic(path, writeKubeconfig(config))
}
