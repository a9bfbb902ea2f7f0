// Sizes of volumes in bytes. Pure.

const SUFFIX: Readonly<Record<string, number>> = {
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
}

/** 0 for what is no quantity: the API server lets none pass. */
export function bytes(text: string | undefined): number {
  const match = /^([0-9.]+(?:[eE][+-]?[0-9]+)?)(m|[kMGTPE]|[KMGTPE]i|)$/.exec(text ?? '')
  return match ? Number(match[1]) * (SUFFIX[match[2] ?? ''] ?? 1) : 0
}
