// Every controller, in the order in which they start. Those that remember what they saw are made anew for each run.
import { bootstrapTokens } from './cluster/bootstrap-tokens.js'
import { certificateApprover, certificateCleaner, certificateSigner } from './cluster/certificates.js'
import { clusterRoleAggregation } from './cluster/cluster-role-aggregation.js'
import { makeGarbageCollector } from './cluster/garbage-collector.js'
import { namespace } from './cluster/namespace.js'
import { rootCa } from './cluster/root-ca.js'
import { serviceAccount } from './cluster/service-account.js'
import { tokenSecrets } from './cluster/token-secrets.js'
import { nodeIpam } from './nodes/node-ipam.js'
import { makeNodeLifecycle } from './nodes/node-lifecycle.js'
import { podGarbage } from './nodes/pod-garbage.js'
import { makeTaintEviction } from './nodes/taint-eviction.js'
import { endpointMirroring } from './services/endpoint-mirroring.js'
import { makeEndpointSlices } from './services/endpoint-slices.js'
import { endpoints } from './services/endpoints.js'
import { ephemeralVolume } from './storage/ephemeral-volume.js'
import { localPath, localPathReclaimer } from './storage/local-path.js'
import { claimProtection, volumeProtection } from './storage/protection.js'
import { claimBinder, volumeBinder } from './storage/volume-binder.js'
import type { Controller } from './types.js'
import { cronJob } from './workloads/cron-job.js'
import { makeDaemonSets } from './workloads/daemon-set.js'
import { deployment } from './workloads/deployment.js'
import { disruptionBudget, staleDisruption } from './workloads/disruption-budget.js'
import { makeJobs } from './workloads/job.js'
import { replicaSet } from './workloads/replica-set.js'
import { replicationController } from './workloads/replication-controller.js'
import { statefulSet } from './workloads/stateful-set.js'
import { ttlAfterFinished } from './workloads/ttl-after-finished.js'

export const controllers = (): readonly Controller[] => [
  serviceAccount,
  tokenSecrets,
  rootCa,
  namespace,
  makeGarbageCollector(),
  makeNodeLifecycle(),
  makeTaintEviction(),
  nodeIpam,
  podGarbage,
  replicationController,
  replicaSet,
  deployment,
  statefulSet,
  makeDaemonSets(),
  makeJobs(),
  cronJob,
  ttlAfterFinished,
  disruptionBudget,
  staleDisruption,
  endpoints,
  makeEndpointSlices(),
  endpointMirroring,
  claimBinder,
  volumeBinder,
  claimProtection,
  volumeProtection,
  ephemeralVolume,
  localPath,
  localPathReclaimer,
  certificateApprover,
  certificateSigner,
  certificateCleaner,
  bootstrapTokens,
  clusterRoleAggregation,
  // Lines kept for: horizontalPodAutoscaler, resourceQuota, loadBalancerAddresses.
]
