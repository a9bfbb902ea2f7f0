// Versions of the CNI specification, and results in the shape of each. Pure.
import { CNI_ERRORS, CniError, type CniResult } from './types.js'

/** What our plugins and our caller speak, oldest first. */
export const CNI_VERSIONS = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const
export const CURRENT_VERSION = '1.1.0'

const numbers = (version: string): number[] => version.split('.').map(Number)

export function compareVersions(a: string, b: string): number {
  const [left, right] = [numbers(a), numbers(b)]
  for (let i = 0; i < 3; i++) if ((left[i] ?? 0) !== (right[i] ?? 0)) return (left[i] ?? 0) - (right[i] ?? 0)
  return 0
}

export const atLeast = (version: string, wanted: string): boolean => compareVersions(version, wanted) >= 0

export function checkVersion(version: string): void {
  if (!(CNI_VERSIONS as readonly string[]).includes(version))
    throw new CniError(CNI_ERRORS.incompatibleVersion, `incompatible CNI versions: the configuration has "${version}"`, {
      details: `supported are ${CNI_VERSIONS.join(', ')}`,
    })
}

/** Results before 0.3.0: at most one address of each family. */
interface OldResult {
  readonly ip4?: {
    readonly ip: string
    readonly gateway?: string
    readonly routes?: readonly { readonly dst: string; readonly gw?: string }[]
  }
  readonly ip6?: OldResult['ip4']
}

const isV6 = (address: string): boolean => address.includes(':')

/** A result in any version as the current shape. */
export function readResult(value: unknown): CniResult {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new CniError(CNI_ERRORS.decodeFailure, 'the plugin did not answer with a result object')
  const raw = value as CniResult & OldResult
  const version = raw.cniVersion ?? '0.1.0'
  checkVersion(version)
  if (atLeast(version, '0.3.0')) {
    // Up to 0.4.0 every address carried its `version`.
    const ips = (raw.ips ?? []).map(({ address, gateway, interface: index }) => ({
      address,
      ...(gateway === undefined ? {} : { gateway }),
      ...(index === undefined ? {} : { interface: index }),
    }))
    return { ...raw, ips }
  }
  const ips = [raw.ip4, raw.ip6].flatMap((one) => (one ? [{ address: one.ip, ...(one.gateway ? { gateway: one.gateway } : {}) }] : []))
  const routes = [raw.ip4, raw.ip6].flatMap((one) => one?.routes ?? [])
  return { cniVersion: version, ips, routes, ...(raw.dns ? { dns: raw.dns } : {}) }
}

/** The result as a caller of `version` expects it. */
export function writeResult(result: CniResult, version: string): object {
  checkVersion(version)
  const routes = (result.routes ?? []).map((route) =>
    atLeast(version, '1.1.0') ? route : { dst: route.dst, ...(route.gw ? { gw: route.gw } : {}) },
  )
  if (!atLeast(version, '0.3.0')) {
    const family = (v6: boolean): OldResult['ip4'] => {
      const ip = (result.ips ?? []).find(({ address }) => isV6(address) === v6)
      if (!ip) return undefined
      const own = routes.filter(({ dst }) => isV6(dst) === v6)
      return { ip: ip.address, ...(ip.gateway ? { gateway: ip.gateway } : {}), ...(own.length > 0 ? { routes: own } : {}) }
    }
    const [ip4, ip6] = [family(false), family(true)]
    return { cniVersion: version, ...(ip4 ? { ip4 } : {}), ...(ip6 ? { ip6 } : {}), dns: result.dns ?? {} }
  }
  const ips = (result.ips ?? []).map((ip) => (atLeast(version, '1.0.0') ? ip : { version: isV6(ip.address) ? '6' : '4', ...ip }))
  const interfaces = (result.interfaces ?? []).map((one) => {
    if (atLeast(version, '1.1.0')) return one
    const { name, mac, sandbox } = one
    return { name, ...(mac === undefined ? {} : { mac }), ...(sandbox === undefined ? {} : { sandbox }) }
  })
  return {
    cniVersion: version,
    ...(interfaces.length > 0 ? { interfaces } : {}),
    ...(ips.length > 0 ? { ips } : {}),
    ...(routes.length > 0 ? { routes } : {}),
    dns: result.dns ?? {},
  }
}
