// The ruleset of a node, kept up to date Service by Service: a change costs what it changes, not what there is.
import type { Service } from '../api/index.js'
import { type PlanInput, planService, type ServicePlan } from './plan.js'
import { type Frontend, frontendKey, type HealthCheck, type Ruleset, type RulesetChange, sameFrontend } from './ruleset.js'

/** Two Services may ask for one address and port: the older one has it. */
interface Claim {
  /** Creation time, then name. */
  readonly age: string
  readonly frontend: Frontend
}

const keyOf = ({ metadata }: Service): string => `${metadata.namespace}/${metadata.name}`
const nothing: ServicePlan = { frontends: [], healthChecks: [] }

/** Is the ruleset itself; put together when it is read, since most changes need only what `update` returns. */
export class Planner implements Ruleset {
  private readonly plans = new Map<string, ServicePlan & { readonly age: string }>()
  /** By `frontendKey`, the oldest first. */
  private readonly claims = new Map<string, Claim[]>()
  /** By Service: there are few. */
  private readonly checks = new Map<string, readonly HealthCheck[]>()

  /** Plans these Services anew; those without an object are gone. Returns what that changes in the ruleset. */
  update(services: Iterable<readonly [key: string, service: Service | undefined]>, input: PlanInput): RulesetChange {
    const before = new Map<string, Frontend | undefined>()
    /** The claims to a key, which are about to change. */
    const touch = (key: string): Claim[] => {
      const claims = this.claims.get(key) ?? []
      if (!before.has(key)) before.set(key, claims[0]?.frontend)
      return claims
    }
    for (const [key, service] of services) {
      const plan = service ? planService(service, input) : nothing
      const age = `${service?.metadata.creationTimestamp ?? ''} ${key}`
      const old = this.plans.get(key)
      for (const frontend of old?.frontends ?? []) {
        const name = frontendKey(frontend)
        const left = touch(name).filter((claim) => claim.age !== old?.age)
        if (left.length > 0) this.claims.set(name, left)
        else this.claims.delete(name)
      }
      for (const frontend of plan.frontends) {
        const name = frontendKey(frontend)
        const claims = touch(name)
        if (claims.some((claim) => claim.age === age)) continue
        this.claims.set(
          name,
          claims.length === 0 ? [{ age, frontend }] : [...claims, { age, frontend }].sort((a, b) => (a.age < b.age ? -1 : 1)),
        )
      }
      if (service) this.plans.set(key, { ...plan, age })
      else this.plans.delete(key)
      if (plan.healthChecks.length > 0) this.checks.set(key, plan.healthChecks)
      else this.checks.delete(key)
    }
    return this.difference(before)
  }

  private difference(before: ReadonlyMap<string, Frontend | undefined>): RulesetChange {
    const added: Frontend[] = []
    const removed: Frontend[] = []
    const changed: { before: Frontend; after: Frontend }[] = []
    for (const [key, old] of before) {
      const now = this.claims.get(key)?.[0]?.frontend
      if (old && now) {
        if (!sameFrontend(old, now)) changed.push({ before: old, after: now })
      } else if (now) added.push(now)
      else if (old) removed.push(old)
    }
    return { added, removed, changed }
  }

  get healthChecks(): readonly HealthCheck[] {
    return [...this.checks.values()].flat()
  }

  get frontends(): readonly Frontend[] {
    return Array.from(this.claims.values(), ([first]) => (first as Claim).frontend)
  }
}

/** The whole ruleset at once, in a fixed order. */
export function planRuleset({ services, ...input }: PlanInput & { readonly services: readonly Service[] }): Ruleset {
  const planner = new Planner()
  planner.update(
    services.map((service) => [keyOf(service), service] as const),
    input,
  )
  const sorted = planner.frontends.map((frontend) => [frontendKey(frontend), frontend] as const).sort(([a], [b]) => (a < b ? -1 : 1))
  return { frontends: sorted.map(([, frontend]) => frontend), healthChecks: planner.healthChecks }
}
