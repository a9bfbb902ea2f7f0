// What has to happen so that a pod runs as its spec says. Pure: the worker carries it out.
import type { Container, Pod } from '../../api/index.js'
import {
  type ContainerRole,
  containersOf,
  ephemeralContainersOf,
  initContainersOf,
  mainContainersOf,
  type PodContainer,
} from './containers.js'
import { latest, type ObservedContainer, type ObservedPod, type ObservedSandbox } from './observed.js'

/** What the probes have found, by container id. */
export interface ProbeFindings {
  /** The startup probe has succeeded, or there is none and the container runs. */
  started(id: string): boolean
  readinessHolds(id: string): boolean
  livenessFailed(id: string): boolean
  startupFailed(id: string): boolean
}

export interface ContainerStart {
  readonly container: PodContainer
  readonly attempt: number
  /** The run that ended before this one: back-off counts from its end. */
  readonly after?: ObservedContainer | undefined
}

export interface ContainerStop {
  readonly target: ObservedContainer
  readonly container: PodContainer
  readonly cause: 'livenessProbe' | 'startupProbe' | 'changed' | 'unknown'
  /** For the Killing event. */
  readonly message: string
}

export interface PodPlan {
  /** The pod has nothing left to run: stop what is left of it. */
  readonly finished: boolean
  /** A new sandbox is needed; what is left of the old ones goes first. */
  readonly sandbox?: { readonly attempt: number } | undefined
  readonly stop: readonly ContainerStop[]
  /** In order; later ones wait for earlier ones to be started. */
  readonly start: readonly ContainerStart[]
}

export interface PlanInput {
  readonly pod: Pod
  readonly observed: ObservedPod
  readonly probes: ProbeFindings
  /** Restarts that the API knows of, for when the runtime has forgotten the container. */
  readonly restartsKnown: (name: string) => number | undefined
  readonly hashOf: (container: PodContainer) => string
}

/** Whether a container that ended like this runs again under the rules of its pod. */
export function mayRestart(pod: Pod, container: PodContainer, ended: ObservedContainer | undefined): boolean {
  if (pod.metadata.deletionTimestamp) return false
  if (ended?.phase !== 'exited') return true
  if (container.role === 'ephemeral') return false
  if (container.role === 'sidecar') return true
  const spec = container.spec as Container
  for (const rule of spec.restartPolicyRules ?? []) {
    const { operator, values = [] } = rule.exitCodes ?? { operator: '' }
    const matches = operator === 'In' ? values.includes(ended.exitCode) : operator === 'NotIn' ? !values.includes(ended.exitCode) : false
    if (matches && rule.action === 'Restart') return true
  }
  const policy = spec.restartPolicy ?? pod.spec?.restartPolicy ?? 'Always'
  // An init container that succeeded is done, whatever the policy.
  if (container.role === 'init') return policy === 'Never' ? false : ended.exitCode !== 0
  return policy === 'Always' || (policy === 'OnFailure' && ended.exitCode !== 0)
}

const usableSandbox = (observed: ObservedPod): ObservedSandbox | undefined => {
  const [newest] = observed.sandboxes
  return newest?.ready && (newest.ips.length > 0 || newest.attempt >= 0) ? newest : undefined
}

function attemptFor(input: PlanInput, name: string): number {
  const last = latest(input.observed, name)
  // One that was made and never started has not been a run.
  if (last) return last.phase === 'created' ? last.attempt : last.attempt + 1
  const known = input.restartsKnown(name)
  return known === undefined ? 0 : known + 1
}

/** True once a container of the main list has been started in this sandbox: initialisation is over for good. */
export const hasInitialized = (pod: Pod, observed: ObservedPod, sandboxId: string | undefined): boolean =>
  mainContainersOf(pod).some(({ spec }) => {
    const container = observed.containers.find(({ name, sandboxId: of }) => name === spec.name && of === sandboxId)
    return container !== undefined && container.phase !== 'created'
  })

const stopMessage = (container: PodContainer, what: string, restarts: boolean): string =>
  `Container ${container.spec.name} ${what}${restarts ? ', will be restarted' : ''}`

/** A running container that has to go: a failed probe, or a spec that is no longer its own. */
function stopFor(input: PlanInput, container: PodContainer, target: ObservedContainer): ContainerStop | undefined {
  const { pod, probes } = input
  const restarts = container.role === 'sidecar' || (pod.spec?.restartPolicy ?? 'Always') !== 'Never'
  if (container.role !== 'ephemeral' && target.specHash !== '' && target.specHash !== input.hashOf(container))
    return { target, container, cause: 'changed', message: stopMessage(container, 'definition changed', true) }
  if (probes.livenessFailed(target.id))
    return { target, container, cause: 'livenessProbe', message: stopMessage(container, 'failed liveness probe', restarts) }
  if (probes.startupFailed(target.id))
    return { target, container, cause: 'startupProbe', message: stopMessage(container, 'failed startup probe', restarts) }
  return undefined
}

interface Steps {
  readonly stop: ContainerStop[]
  readonly start: ContainerStart[]
}

type InitOutcome = 'initialized' | 'initializing' | 'failed'

/** One pass over the init containers in order: the first that is not through holds back all that follow. */
function planInit(input: PlanInput, sandboxId: string, steps: Steps): InitOutcome {
  const { pod, observed, probes } = input
  const initialized = hasInitialized(pod, observed, sandboxId)
  const list = initContainersOf(pod)
  const here = (name: string): ObservedContainer | undefined =>
    observed.containers.find((container) => container.name === name && container.sandboxId === sandboxId)
  const lastReached = list.reduce((reached, { spec }, i) => (here(spec.name) ? i : reached), -1)
  for (const [i, container] of list.entries()) {
    const { name } = container.spec
    const current = here(name)
    const passed = initialized || i < lastReached
    const startIt = (): void => {
      steps.start.push({ container, attempt: attemptFor(input, name), after: latest(observed, name) })
    }
    if (container.role === 'sidecar') {
      if (current?.phase === 'running') {
        const stop = stopFor(input, container, current)
        if (stop) steps.stop.push(stop)
        if ((stop || !probes.started(current.id)) && !passed) return 'initializing'
      } else {
        startIt()
        if (!passed) return 'initializing'
      }
      continue
    }
    if (passed) continue
    if (!current || current.phase === 'created' || current.phase === 'unknown') {
      startIt()
      return 'initializing'
    }
    if (current.phase === 'running') {
      const stop = stopFor(input, container, current)
      if (stop) steps.stop.push(stop)
      return 'initializing'
    }
    if (current.exitCode === 0) continue
    if (!mayRestart(pod, container, current)) return 'failed'
    startIt()
    return 'initializing'
  }
  return 'initialized'
}

function planMain(input: PlanInput, steps: Steps): boolean {
  const { pod, observed } = input
  let kept = 0
  let starting = 0
  for (const container of mainContainersOf(pod)) {
    const { name } = container.spec
    const current = latest(observed, name)
    if (current?.phase === 'running') {
      const stop = stopFor(input, container, current)
      if (!stop) {
        kept++
        continue
      }
      steps.stop.push(stop)
      if (mayRestart(pod, container, { ...current, phase: 'exited', exitCode: 137 })) starting++
      continue
    }
    if (!mayRestart(pod, container, current)) continue
    starting++
    steps.start.push({ container, attempt: attemptFor(input, name), after: current })
  }
  return kept + starting > 0
}

/** The next steps. An empty plan means that all is as it should be. */
export function planPod(input: PlanInput): PodPlan {
  const { pod, observed } = input
  const sandbox = usableSandbox(observed)
  const finished: PodPlan = { finished: true, stop: [], start: [] }
  if (!sandbox) {
    const attempt = (observed.sandboxes[0]?.attempt ?? -1) + 1
    const restarts = (pod.spec?.restartPolicy ?? 'Always') !== 'Never'
    if (!restarts && attempt > 0 && observed.containers.length > 0) return finished
    const wanted = mainContainersOf(pod).filter((container) => mayRestart(pod, container, latest(observed, container.spec.name)))
    if (wanted.length === 0) return finished
    return { finished: false, sandbox: { attempt }, stop: [], start: [] }
  }
  const steps: Steps = { stop: [], start: [] }
  for (const container of ephemeralContainersOf(pod)) {
    const current = latest(observed, container.spec.name)
    if (!current || current.phase === 'created') steps.start.push({ container, attempt: current?.attempt ?? 0, after: current })
  }
  const init = planInit(input, sandbox.id, steps)
  if (init === 'failed') return finished
  if (init === 'initializing') return { finished: false, ...steps }
  if (!planMain(input, steps)) return finished
  return { finished: false, ...steps }
}

export interface StopOrderEntry {
  readonly target: ObservedContainer
  readonly container: PodContainer | undefined
  /** Names of containers that must have ended before this one is told to. */
  readonly waitsFor: readonly string[]
}

const roleOf = (pod: Pod, name: string): ContainerRole | undefined => containersOf(pod).find(({ spec }) => spec.name === name)?.role

/** Who is stopped when: everything at once, but a sidecar only after the containers that may use it, in reverse order of start. */
export function stopOrder(pod: Pod, alive: readonly ObservedContainer[]): readonly StopOrderEntry[] {
  const sidecars = initContainersOf(pod)
    .filter(({ role }) => role === 'sidecar')
    .map(({ spec }) => spec.name)
  const others = alive.filter(({ name }) => roleOf(pod, name) !== 'sidecar').map(({ name }) => name)
  return alive.map((target) => {
    const container = containersOf(pod).find(({ spec }) => spec.name === target.name)
    const at = sidecars.indexOf(target.name)
    const waitsFor = at < 0 ? [] : [...others, ...alive.map(({ name }) => name).filter((name) => sidecars.indexOf(name) > at)]
    return { target, container, waitsFor }
  })
}
