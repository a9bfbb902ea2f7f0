// A KubeletConfiguration file (kubelet.config.k8s.io/v1beta1) to settings. Pure.
import { parse } from 'yaml'
import { parseQuantity } from '../api/index.js'
import type { KubeletSettings, ResourceAmounts } from '../kubelet/index.js'
import { explain } from '../lib/index.js'

const API_VERSION = 'kubelet.config.k8s.io/v1beta1'

/** Fields of a kubelet that mean nothing here, or that flags of the agent say. */
const WITHOUT_EFFECT = new Set(
  `address authentication authorization cgroupDriver cgroupsPerQOS clusterDNS clusterDomain
  configMapAndSecretChangeDetectionStrategy containerLogMaxWorkers containerRuntimeEndpoint contentType cpuCFSQuota cpuCFSQuotaPeriod
  cpuManagerPolicy cpuManagerPolicyOptions cpuManagerReconcilePeriod crashLoopBackOff enableContentionProfiling
  enableControllerAttachDetach enableDebugFlagsHandler enableDebuggingHandlers enableProfilingHandler enableServer
  enableSystemLogHandler enableSystemLogQuery enforceNodeAllocatable eventBurst eventRecordQPS evictionHard evictionMaxPodGracePeriod
  evictionMinimumReclaim evictionPressureTransitionPeriod evictionSoft evictionSoftGracePeriod failCgroupV1 failSwapOn featureGates
  fileCheckFrequency hairpinMode healthzBindAddress healthzPort httpCheckFrequency imageMaximumGCAge
  imagePullCredentialsVerificationPolicy imageServiceEndpoint iptablesDropBit iptablesMasqueradeBit kernelMemcgNotification
  kubeAPIBurst kubeAPIQPS kubeReservedCgroup kubeletCgroups localStorageCapacityIsolation logging makeIPTablesUtilChains maxOpenFiles
  memoryManagerPolicy memorySwap memoryThrottlingFactor mergeDefaultEvictionSettings nodeStatusMaxImages oomScoreAdj podCIDR
  podsPerCore port preloadedImagesVerificationAllowlist protectKernelDefaults providerID qosReserved readOnlyPort registryBurst
  registryPullQPS reservedMemory reservedSystemCPUs resolvConf rotateCertificates runOnce runtimeRequestTimeout seccompDefault
  serverTLSBootstrap showHiddenMetricsForVersion shutdownGracePeriodByPodPriority singleProcessOOMKill staticPodPath staticPodURL
  staticPodURLHeader streamingConnectionIdleTimeout syncFrequency systemCgroups systemReservedCgroup tlsCertFile tlsCipherSuites
  tlsCurvePreferences tlsMinVersion tlsPrivateKeyFile topologyManagerPolicy topologyManagerPolicyOptions topologyManagerScope tracing
  userNamespaces volumePluginDir volumeStatsAggPeriod`.split(/\s+/),
)

const UNITS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1, us: 1e-3, µs: 1e-3, ns: 1e-6 }

/** Milliseconds of a Go duration: `10s`, `1m30s`. */
function milliseconds(value: unknown): number {
  const parts = typeof value === 'string' ? [...value.matchAll(/(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns)/g)] : []
  if (value === 0 || value === '0') return 0
  if (parts.length === 0 || parts.map(([text]) => text).join('') !== value) throw new Error('want a duration such as "10s"')
  return parts.reduce((sum, [, count, unit = '']) => sum + Number(count) * (UNITS[unit] ?? 0), 0)
}

const seconds = (value: unknown): number => milliseconds(value) / 1000

function integer(value: unknown): number {
  if (!Number.isInteger(value)) throw new Error('want a whole number')
  return value as number
}

function positive(value: unknown): number {
  if (integer(value) <= 0) throw new Error('want a number above 0')
  return value as number
}

function percent(value: unknown): number {
  if (integer(value) < 0 || (value as number) > 100) throw new Error('want a number from 0 to 100')
  return value as number
}

function flag(value: unknown): boolean {
  if (typeof value !== 'boolean') throw new Error('want true or false')
  return value
}

function bytes(value: unknown): number {
  const quantity = typeof value === 'string' ? parseQuantity(value) : undefined
  if (!quantity) throw new Error('want an amount of bytes such as "10Mi"')
  return Number(quantity.nanos / 1_000_000_000n)
}

function amounts(value: unknown): ResourceAmounts {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('want amounts by resource')
  for (const [name, of] of Object.entries(value))
    if (typeof of !== 'string' || !parseQuantity(of)) throw new Error(`${name}: want an amount such as "100m" or "256Mi"`)
  return value as ResourceAmounts
}

function words(value: unknown): readonly string[] {
  if (!Array.isArray(value) || !value.every((word) => typeof word === 'string')) throw new Error('want a list of words')
  return value
}

type Settings = Partial<KubeletSettings>

const gc = (before: Settings, change: Partial<KubeletSettings['imageGc']>): Settings => ({
  imageGc: { highThresholdPercent: 85, lowThresholdPercent: 80, minimumAgeMs: 120_000, ...before.imageGc, ...change },
})

/** Zero, which kubeadm writes for most durations, means the default. */
const unlessZero = (value: unknown, set: (ms: number) => Settings): Settings => {
  const ms = milliseconds(value)
  return ms === 0 ? {} : set(ms)
}

/** What each field sets; `before`: what others have. */
const FIELDS: Readonly<Record<string, (value: unknown, before: Settings) => Settings>> = {
  maxPods: (value) => ({ maxPods: positive(value) }),
  podPidsLimit: (value) => ({ podPidsLimit: integer(value) }),
  nodeStatusUpdateFrequency: (value) => unlessZero(value, (nodeStatusUpdateFrequencyMs) => ({ nodeStatusUpdateFrequencyMs })),
  nodeStatusReportFrequency: (value) => unlessZero(value, (nodeStatusReportFrequencyMs) => ({ nodeStatusReportFrequencyMs })),
  nodeLeaseDurationSeconds: (value) => ({ nodeLeaseDurationSeconds: positive(value) }),
  maxParallelImagePulls: (value) => ({ maxParallelImagePulls: positive(value) }),
  serializeImagePulls: (value) => (flag(value) ? { maxParallelImagePulls: 1 } : {}),
  containerLogMaxSize: (value) => ({ containerLogMaxSizeBytes: bytes(value) }),
  containerLogMaxFiles: (value) => ({ containerLogMaxFiles: Math.max(2, positive(value)) }),
  containerLogMonitorInterval: (value) => unlessZero(value, (containerLogMonitorIntervalMs) => ({ containerLogMonitorIntervalMs })),
  kubeReserved: (value) => ({ kubeReserved: amounts(value) }),
  systemReserved: (value) => ({ systemReserved: amounts(value) }),
  imageGCHighThresholdPercent: (value, before) => gc(before, { highThresholdPercent: percent(value) }),
  imageGCLowThresholdPercent: (value, before) => gc(before, { lowThresholdPercent: percent(value) }),
  imageMinimumGCAge: (value, before) => unlessZero(value, (minimumAgeMs) => gc(before, { minimumAgeMs })),
  shutdownGracePeriod: (value) => ({ shutdownGracePeriodSeconds: seconds(value) }),
  shutdownGracePeriodCriticalPods: (value) => ({ shutdownGracePeriodCriticalPodsSeconds: seconds(value) }),
  allowedUnsafeSysctls: (value) => ({ allowedUnsafeSysctls: words(value) }),
  registerNode: (value) => ({ registerNode: flag(value) }),
}

export interface KubeletConfiguration {
  readonly settings: Partial<KubeletSettings>
  /** Fields of a kubelet that change nothing here. */
  readonly withoutEffect: readonly string[]
}

/** Throws with the field and what it should be. */
export function parseKubeletConfiguration(text: string): KubeletConfiguration {
  const { apiVersion, kind, ...fields } = (parse(text) ?? {}) as Readonly<Record<string, unknown>>
  if (apiVersion !== API_VERSION || kind !== 'KubeletConfiguration')
    throw new Error(`want "apiVersion: ${API_VERSION}" and "kind: KubeletConfiguration"`)
  let settings: Settings = {}
  const withoutEffect: string[] = []
  for (const [name, value] of Object.entries(fields)) {
    const read = FIELDS[name]
    if (!read && !WITHOUT_EFFECT.has(name)) throw new Error(`unknown field "${name}"`)
    if (!read) withoutEffect.push(name)
    else if (value !== null)
      try {
        settings = { ...settings, ...read(value, settings) }
      } catch (error) {
        throw new Error(`${name}: ${explain(error)}, not ${JSON.stringify(value)}`)
      }
  }
  const { imageGc } = settings
  if (imageGc && imageGc.lowThresholdPercent >= imageGc.highThresholdPercent)
    throw new Error('imageGCLowThresholdPercent: want less than imageGCHighThresholdPercent')
  return { settings, withoutEffect }
}
