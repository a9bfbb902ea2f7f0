// The probes of one pod: started with its containers, asked in their periods, remembered by container id.
import type { Container, Pod, Probe } from '../../api/index.js'
import type { Cri } from '../../cri/index.js'
import type { Clock, Timer } from '../../lib/index.js'
import { containersOf, type PodContainer } from '../pod/containers.js'
import type { ObservedContainer, ObservedPod } from '../pod/observed.js'
import type { ProbeFindings } from '../pod/plan.js'
import { afterAnswer, initialState, type ProbeKind, type ProbeState, periodMs } from './machine.js'
import { type ProbeAnswer, runProbe } from './run.js'

export interface ProberOptions {
  readonly cri: Cri
  readonly clock: Clock
  readonly podIp: () => string
  /** A verdict has changed: plan again. */
  readonly changed: () => void
  readonly event: (container: PodContainer, type: 'Normal' | 'Warning', reason: string, message: string) => void
  /** Every answer, for metrics. */
  readonly answered: (container: PodContainer, kind: ProbeKind, outcome: ProbeAnswer['outcome']) => void
}

export interface Prober extends ProbeFindings {
  /** Starts probes of containers that run and ends those of containers that do not. */
  sync(pod: Pod, observed: ObservedPod): void
  /** What was known of a running container before this daemon started. */
  adopt(id: string, known: { readonly ready: boolean; readonly started: boolean }): void
  /** The pod is being stopped: only readiness goes on. */
  terminating(): void
  close(): void
}

interface Asking {
  readonly kind: ProbeKind
  state: ProbeState
  timer: Timer | undefined
  ended: boolean
}

const kinds: readonly { readonly kind: ProbeKind; readonly probe: (container: Container) => Probe | undefined; readonly title: string }[] =
  [
    { kind: 'startup', probe: ({ startupProbe }) => startupProbe, title: 'Startup' },
    { kind: 'liveness', probe: ({ livenessProbe }) => livenessProbe, title: 'Liveness' },
    { kind: 'readiness', probe: ({ readinessProbe }) => readinessProbe, title: 'Readiness' },
  ]

export function createProber({ cri, clock, podIp, changed, event, answered }: ProberOptions): Prober {
  /** container id -> probe kind -> what is going on. */
  const containers = new Map<string, Map<ProbeKind, Asking>>()
  const adopted = new Map<string, { readonly ready: boolean; readonly started: boolean }>()
  const specs = new Map<string, PodContainer>()
  let stopping = false

  const verdict = (id: string, kind: ProbeKind): string | undefined => containers.get(id)?.get(kind)?.state.verdict
  const hasProbe = (id: string, kind: ProbeKind): boolean => {
    const spec = specs.get(id)?.spec
    const of = kinds.find((each) => each.kind === kind)
    return spec !== undefined && of?.probe(spec) !== undefined
  }

  function end(asking: Asking): void {
    asking.ended = true
    asking.timer?.cancel()
  }

  async function ask(id: string, container: PodContainer, probe: Probe, title: string, asking: Asking): Promise<void> {
    const answer = await runProbe(probe, { cri, container: container.spec, containerId: id, podIp: podIp() })
    if (asking.ended) return
    answered(container, asking.kind, answer.outcome)
    if (answer.outcome === 'failure') event(container, 'Warning', 'Unhealthy', `${title} probe failed: ${answer.output}`)
    else if (answer.outcome === 'error')
      event(container, 'Warning', 'Unhealthy', `${title} probe errored and resulted in unknown state: ${answer.output}`)
    else if (answer.warning !== undefined) event(container, 'Warning', 'ProbeWarning', `${title} probe warning: ${answer.warning}`)
    const before = asking.state.verdict
    // A question that could not be put says nothing about the container.
    if (answer.outcome !== 'error') asking.state = afterAnswer(asking.state, probe, answer.outcome)
    if (asking.state.verdict !== before) {
      // Once it has started it has started; once it has failed it waits for the restart.
      const settled = asking.kind === 'startup' || (asking.kind === 'liveness' && asking.state.verdict === 'failure')
      if (settled) end(asking)
      changed()
    }
    if (!asking.ended) asking.timer = clock.after(periodMs(probe), () => void ask(id, container, probe, title, asking))
  }

  function start(current: ObservedContainer, container: PodContainer): void {
    const asked = containers.get(current.id) ?? new Map<ProbeKind, Asking>()
    containers.set(current.id, asked)
    const known = adopted.get(current.id)
    for (const { kind, probe: of, title } of kinds) {
      const probe = of(container.spec)
      if (!probe || asked.has(kind)) continue
      if (kind !== 'startup' && !findings.started(current.id)) continue
      if (stopping && kind !== 'readiness') continue
      const seed = known && ((kind === 'startup' && known.started) || (kind === 'readiness' && known.ready))
      const state: ProbeState = seed ? { verdict: 'success', last: 'success', run: 1 } : initialState(kind)
      const asking: Asking = { kind, state, timer: undefined, ended: false }
      asked.set(kind, asking)
      if (kind === 'startup' && seed) {
        end(asking)
        continue
      }
      const delay = Math.max(0, current.startedAt + (probe.initialDelaySeconds ?? 0) * 1000 - clock.now())
      asking.timer = clock.after(delay, () => void ask(current.id, container, probe, title, asking))
    }
  }

  const findings: ProbeFindings = {
    started: (id) => !hasProbe(id, 'startup') || verdict(id, 'startup') === 'success',
    readinessHolds: (id) => findings.started(id) && (!hasProbe(id, 'readiness') || verdict(id, 'readiness') === 'success'),
    livenessFailed: (id) => verdict(id, 'liveness') === 'failure',
    startupFailed: (id) => verdict(id, 'startup') === 'failure',
  }

  return {
    ...findings,
    adopt: (id, known) => void adopted.set(id, known),
    sync(pod, observed) {
      const alive = new Set<string>()
      for (const container of containersOf(pod)) {
        const current = observed.containers.find(({ name }) => name === container.spec.name)
        if (current?.phase !== 'running') continue
        alive.add(current.id)
        specs.set(current.id, container)
        if (container.role === 'main' || container.role === 'sidecar') start(current, container)
      }
      for (const [id, asked] of containers) {
        if (alive.has(id)) continue
        for (const asking of asked.values()) end(asking)
        containers.delete(id)
        adopted.delete(id)
        specs.delete(id)
      }
    },
    terminating() {
      stopping = true
      for (const asked of containers.values()) for (const asking of asked.values()) if (asking.kind !== 'readiness') end(asking)
    },
    close() {
      for (const asked of containers.values()) for (const asking of asked.values()) end(asking)
      containers.clear()
    },
  }
}
