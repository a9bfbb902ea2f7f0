// Every controller, in the order in which they start. Some remember what they saw, so each run gets its own.
import { makeGarbageCollector } from './cluster/garbage-collector.js'
import { namespace } from './cluster/namespace.js'
import { rootCa } from './cluster/root-ca.js'
import { serviceAccount } from './cluster/service-account.js'
import { makeNodeLifecycle } from './nodes/node-lifecycle.js'
import { podGarbage } from './nodes/pod-garbage.js'
import { makeTaintEviction } from './nodes/taint-eviction.js'
import { endpointSlice } from './services/endpoint-slices.js'
import { endpoints } from './services/endpoints.js'
import type { Controller } from './types.js'
import { deployment } from './workloads/deployment.js'
import { replicaSet } from './workloads/replica-set.js'
import { replicationController } from './workloads/replication-controller.js'

export const controllers = (): readonly Controller[] => [
  serviceAccount,
  rootCa,
  namespace,
  makeGarbageCollector(),
  makeNodeLifecycle(),
  makeTaintEviction(),
  podGarbage,
  replicationController,
  replicaSet,
  deployment,
  endpoints,
  endpointSlice,
  // Their lines are kept for: horizontalPodAutoscaler, resourceQuota, loadBalancer.
]
