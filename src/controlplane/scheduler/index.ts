// The scheduler: gives each pod a node.
export { ClusterState, podInfo } from './cluster-state.js'
export { type Placer, placer } from './placement.js'
export { planPreemption } from './preemption.js'
export { defaultProfiles, type Profile, profile } from './profile.js'
export { type RunSchedulerOptions, runScheduler } from './scheduler.js'
export { noVolumes } from './volumes.js'
