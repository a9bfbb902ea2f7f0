// The data of the Container Network Interface, specification 1.1 (https://www.cni.dev/docs/spec/).

export interface CniInterface {
  readonly name: string
  readonly mac?: string
  readonly mtu?: number
  /** Path of the namespace; absent: the host. */
  readonly sandbox?: string
  readonly socketPath?: string
  readonly pciID?: string
}

export interface CniIp {
  /** With its prefix length: `10.1.2.3/24`. */
  readonly address: string
  readonly gateway?: string
  /** Index into `interfaces`. */
  readonly interface?: number
}

export interface CniRoute {
  readonly dst: string
  readonly gw?: string
  readonly mtu?: number
  readonly advmss?: number
  readonly priority?: number
  readonly table?: number
  readonly scope?: number
}

export interface CniDns {
  readonly nameservers?: readonly string[]
  readonly domain?: string
  readonly search?: readonly string[]
  readonly options?: readonly string[]
}

export interface CniResult {
  readonly cniVersion?: string
  readonly interfaces?: readonly CniInterface[]
  readonly ips?: readonly CniIp[]
  readonly routes?: readonly CniRoute[]
  readonly dns?: CniDns
}

/** What one plugin is given on its standard input; plugins have keys of their own beside these. */
export interface PluginConfig {
  readonly cniVersion?: string
  readonly name?: string
  readonly type: string
  readonly capabilities?: Readonly<Record<string, boolean>>
  readonly runtimeConfig?: RuntimeConfig
  readonly args?: Readonly<Record<string, unknown>>
  readonly dns?: CniDns
  readonly ipam?: { readonly type?: string } & Readonly<Record<string, unknown>>
  readonly ipMasq?: boolean
  readonly prevResult?: CniResult
  readonly 'cni.dev/valid-attachments'?: readonly Attachment[]
  readonly [key: string]: unknown
}

/** A conflist. */
export interface NetworkConfig {
  readonly cniVersion: string
  readonly name: string
  readonly disableCheck: boolean
  readonly disableGC: boolean
  readonly plugins: readonly PluginConfig[]
}

export interface PortMapping {
  readonly hostPort: number
  readonly containerPort: number
  /** tcp unless said. */
  readonly protocol?: string
  readonly hostIP?: string
}

/** Values for capabilities that plugins declare; each plugin sees those it declares. */
export interface RuntimeConfig {
  readonly portMappings?: readonly PortMapping[]
  readonly ipRanges?: readonly (readonly {
    readonly subnet: string
    readonly rangeStart?: string
    readonly rangeEnd?: string
    readonly gateway?: string
  }[])[]
  readonly ips?: readonly string[]
  readonly mac?: string
  readonly dns?: CniDns
  readonly bandwidth?: {
    readonly ingressRate?: number
    readonly ingressBurst?: number
    readonly egressRate?: number
    readonly egressBurst?: number
  }
  readonly [capability: string]: unknown
}

export interface Attachment {
  readonly containerID: string
  readonly ifname: string
}

export type CniCommand = 'ADD' | 'DEL' | 'CHECK' | 'STATUS' | 'GC' | 'VERSION'

/** Error codes of the specification; from 100 on they are a plugin's own. */
export const CNI_ERRORS = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  invalidEnvironment: 4,
  ioFailure: 5,
  decodeFailure: 6,
  invalidConfig: 7,
  tryAgain: 11,
  pluginNotAvailable: 50,
  limitedConnectivity: 51,
  internal: 999,
} as const

/** A plugin's refusal, in its own words. */
export class CniError extends Error {
  readonly code: number
  readonly details: string

  constructor(code: number, message: string, options: { details?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'CniError'
    this.code = code
    this.details = options.details ?? ''
  }
}

/** What a plugin is asked: the environment and standard input of an executable, as one value. */
export interface PluginRequest {
  readonly command: CniCommand
  readonly containerId: string
  /** Path of the namespace; empty at a DEL whose namespace is gone. */
  readonly netns: string
  readonly ifName: string
  /** CNI_ARGS: `KEY=value;…`. */
  readonly args: string
  /** Where executables are looked for (CNI_PATH). */
  readonly path: readonly string[]
  readonly config: PluginConfig
  /** Asks another plugin with the same configuration (delegation: IPAM). */
  readonly delegate: (type: string, command: CniCommand) => Promise<CniResult | undefined>
}

/** A plugin that runs in this process. */
export interface Plugin {
  readonly name: string
  add(request: PluginRequest): Promise<CniResult>
  /** Undoes ADD; what is gone already is fine. */
  del(request: PluginRequest): Promise<void>
  /** Throws when what ADD made is not there any more. */
  check(request: PluginRequest): Promise<void>
  /** Throws when an ADD would fail. */
  status(request: PluginRequest): Promise<void>
  /** Removes what belongs to none of `cni.dev/valid-attachments`. */
  gc(request: PluginRequest): Promise<void>
}
