// From single answers to a verdict: thresholds in a row. Pure.
import type { Probe } from '../../api/index.js'

export type ProbeKind = 'liveness' | 'readiness' | 'startup'
export type ProbeOutcome = 'success' | 'failure'
export type ProbeVerdict = ProbeOutcome | 'unknown'

export interface ProbeState {
  readonly verdict: ProbeVerdict
  readonly last: ProbeOutcome | undefined
  /** Equal answers in a row. */
  readonly run: number
}

/** Before the first answer: alive, not ready, not known to have started. */
export const initialState = (kind: ProbeKind): ProbeState => ({
  verdict: kind === 'liveness' ? 'success' : kind === 'readiness' ? 'failure' : 'unknown',
  last: undefined,
  run: 0,
})

export const periodMs = (probe: Probe): number => (probe.periodSeconds || 10) * 1000
export const timeoutMs = (probe: Probe): number => (probe.timeoutSeconds || 1) * 1000

/** The state after one more answer. */
export function afterAnswer(state: ProbeState, probe: Probe, answer: ProbeOutcome): ProbeState {
  const run = state.last === answer ? state.run + 1 : 1
  const threshold = answer === 'success' ? (probe.successThreshold ?? 1) : (probe.failureThreshold ?? 3)
  return { last: answer, run, verdict: run >= threshold ? answer : state.verdict }
}
