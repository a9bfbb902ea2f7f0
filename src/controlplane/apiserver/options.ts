// What the API server is given, and what it is.
import type { Duplex } from 'node:stream'
import type { Clock, HttpHandler, HttpRequest, Logger, Random } from '../../lib/index.js'
import type { Store } from '../../store/index.js'

/** Keys of service-account tokens, all PEM. */
export interface ServiceAccountKeys {
  /** `iss` of the tokens: `https://kubernetes.default.svc.cluster.local`. */
  readonly issuer: string
  /** Private key that signs (RSA or P-256). */
  readonly signingKey: string
  /** Public keys that are believed besides the signing key's own: earlier ones, during rotation. */
  readonly publicKeys?: readonly string[]
  /** Audiences of the API server itself; default: the issuer. */
  readonly audiences?: readonly string[]
}

/** Tokens of an OpenID Connect issuer. */
export interface OidcIssuer {
  readonly issuer: string
  readonly clientId: string
  readonly usernameClaim?: string
  readonly usernamePrefix?: string
  readonly groupsClaim?: string
  readonly groupsPrefix?: string
  /** PEM; the system's when left out. */
  readonly ca?: string
}

/** How the server speaks to kubelets: mutual TLS, all PEM. */
export interface KubeletClient {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

/** Certificates whose holder may say in headers who the user is (aggregation). */
export interface FrontProxy {
  readonly ca: string
  /** Common names allowed; empty means any that the CA signed. */
  readonly allowedNames?: readonly string[]
  /** The server's own certificate towards extension servers. */
  readonly cert?: string
  readonly key?: string
}

/** One key of the ring that encrypts Secrets at rest. The first of the list writes, all read. */
export interface EncryptionKey {
  readonly name: string
  /** 32 bytes. */
  readonly key: Uint8Array
}

export interface ApiServerOptions {
  readonly store: Store
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** PEM bundle: certificates that these signed name users (CN) and groups (O). */
  readonly clientCa?: string
  readonly serviceAccounts: ServiceAccountKeys
  readonly oidc?: readonly OidcIssuer[]
  readonly frontProxy?: FrontProxy
  readonly kubelet?: KubeletClient
  /** Keys for Secrets at rest; without any they are stored readable. */
  readonly encryption?: readonly EncryptionKey[]
  /** Default `10.96.0.0/16`. */
  readonly serviceCidr?: string
  /** Default 30000-32767. */
  readonly nodePorts?: { readonly first: number; readonly last: number }
  /** Address and port of the `kubernetes` Service's endpoint; without it the Service is not made. */
  readonly advertise?: { readonly address: string; readonly port: number }
  /** Default 3 MiB. */
  readonly maxBodyBytes?: number
  /** Requests at work at one time, watches not counted: default 400 reading, 200 writing. */
  readonly maxReading?: number
  readonly maxWriting?: number
  /** Fewer, for tests. Default 5 minutes. */
  readonly historyMs?: number
}

export interface ApiServer {
  readonly handler: HttpHandler
  /** Takes over a connection that asked for an upgrade (exec, attach, port-forward, proxy). */
  upgrade(request: HttpRequest, socket: Duplex, head: Uint8Array): Promise<void>
  /** Ends watches and background work; the store stays open. */
  close(): Promise<void>
}
