// Which entry of an index is for this machine. Pure.
import type { Descriptor, Platform } from './manifest.js'

/** This machine in the words of image indexes. */
export function hostPlatform(arch: string = process.arch): Platform {
  const names: Readonly<Record<string, Platform>> = {
    x64: { os: 'linux', architecture: 'amd64' },
    arm64: { os: 'linux', architecture: 'arm64', variant: 'v8' },
  }
  return names[arch] ?? { os: 'linux', architecture: arch }
}

export const formatPlatform = ({ os, architecture, variant }: Platform): string => `${os}/${architecture}${variant ? `/${variant}` : ''}`

/** `linux/arm64/v8`, `linux/amd64`, or just an architecture. */
export function parsePlatform(text: string): Platform {
  const parts = text.split('/')
  const [os, architecture, variant] = parts.length === 1 ? ['linux', parts[0]] : parts
  if (!os || !architecture || parts.length > 3)
    throw new Error(`"${text}" is not a platform (want OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT)`)
  return { os, architecture, ...(variant ? { variant } : {}) }
}

/** 64-bit ARM without variant is v8, 32-bit v7; amd64's v1 is the plain one. */
function variantOf({ architecture, variant }: Platform): string {
  if (variant && !(architecture === 'amd64' && variant === 'v1')) return variant
  return architecture === 'arm64' ? 'v8' : architecture === 'arm' ? 'v7' : ''
}

/** The entry for `wanted`: the same variant if there is one, else the highest lower one, else the first without a platform. */
export function choosePlatform(entries: readonly Descriptor[], wanted: Platform): Descriptor | undefined {
  const fitting = entries.filter(({ platform }) => platform?.os === wanted.os && platform.architecture === wanted.architecture)
  const same = fitting.find(({ platform }) => platform && variantOf(platform) === variantOf(wanted))
  if (same) return same
  const lower = fitting
    .filter(({ platform }) => platform && variantOf(platform) < variantOf(wanted))
    .sort((a, b) => (variantOf(a.platform as Platform) < variantOf(b.platform as Platform) ? 1 : -1))
  return lower[0] ?? entries.find(({ platform }) => platform === undefined)
}
