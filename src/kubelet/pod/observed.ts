// What the container runtime says about one pod, as a value of our own.

export type ContainerPhase = 'created' | 'running' | 'exited' | 'unknown'

export interface ObservedContainer {
  readonly id: string
  readonly name: string
  readonly sandboxId: string
  /** 0 for the first, then one more for each restart. */
  readonly attempt: number
  readonly phase: ContainerPhase
  /** As the pod named it. */
  readonly image: string
  /** The reference or digest that was resolved: `imageID` in the API. */
  readonly imageRef: string
  /** The image's own id. */
  readonly imageId: string
  /** Milliseconds since 1970; 0 when it has not come to that. */
  readonly createdAt: number
  readonly startedAt: number
  readonly finishedAt: number
  readonly exitCode: number
  readonly signal?: number | undefined
  /** `Completed`, `Error`, `OOMKilled`, … */
  readonly reason: string
  readonly message: string
  /** Hash of the parts of the spec whose change needs a new container. */
  readonly specHash: string
  readonly logPath: string
  readonly user?: { readonly uid: number; readonly gid: number; readonly supplementalGroups: readonly number[] } | undefined
}

export interface ObservedSandbox {
  readonly id: string
  readonly attempt: number
  readonly ready: boolean
  readonly createdAt: number
  readonly ips: readonly string[]
}

/** Both lists are newest first. */
export interface ObservedPod {
  readonly sandboxes: readonly ObservedSandbox[]
  readonly containers: readonly ObservedContainer[]
}

export const nothingObserved: ObservedPod = { sandboxes: [], containers: [] }

const rank: Readonly<Record<ContainerPhase, number>> = { unknown: 0, created: 1, running: 2, exited: 3 }

const newestContainerFirst = (a: ObservedContainer, b: ObservedContainer): number => b.attempt - a.attempt || b.createdAt - a.createdAt

const newestSandboxFirst = (a: ObservedSandbox, b: ObservedSandbox): number => b.attempt - a.attempt || b.createdAt - a.createdAt

/** A container with news about it. News may be older than what is known: a container never goes back from exited to running. */
export function withContainer(observed: ObservedPod, news: ObservedContainer): ObservedPod {
  const known = observed.containers.find(({ id }) => id === news.id)
  if (known && rank[known.phase] > rank[news.phase]) return observed
  const others = observed.containers.filter(({ id }) => id !== news.id)
  return { ...observed, containers: [...others, news].sort(newestContainerFirst) }
}

export const withoutContainer = (observed: ObservedPod, gone: string): ObservedPod => ({
  ...observed,
  containers: observed.containers.filter(({ id }) => id !== gone),
})

/** A sandbox with news about it; one that has stopped never becomes ready again. */
export function withSandbox(observed: ObservedPod, news: ObservedSandbox): ObservedPod {
  const known = observed.sandboxes.find(({ id }) => id === news.id)
  if (known && !known.ready && news.ready) return observed
  // A sandbox that is going down no longer tells its addresses; the API keeps showing the last ones.
  const kept = known && news.ips.length === 0 ? { ...news, ips: known.ips } : news
  const others = observed.sandboxes.filter(({ id }) => id !== news.id)
  return { ...observed, sandboxes: [...others, kept].sort(newestSandboxFirst) }
}

export const withoutSandbox = (observed: ObservedPod, gone: string): ObservedPod => ({
  sandboxes: observed.sandboxes.filter(({ id }) => id !== gone),
  containers: observed.containers.filter(({ sandboxId }) => sandboxId !== gone),
})

/**
 * With all that a runtime has of the pod, read when `before` was known. What has ended stays as its end was seen, and what came while the
 * lists were read stays; what else they do not have is gone.
 */
export function withList(observed: ObservedPod, found: ObservedPod, before: ObservedPod): ObservedPod {
  const ended = new Set(observed.containers.filter(({ phase }) => phase === 'exited').map(({ id }) => id))
  let all = observed
  for (const sandbox of found.sandboxes) all = withSandbox(all, sandbox)
  for (const container of found.containers) if (!ended.has(container.id)) all = withContainer(all, container)
  const idsOf = ({ sandboxes, containers }: ObservedPod): readonly string[] => [...sandboxes, ...containers].map(({ id }) => id)
  const gone = new Set(idsOf(before))
  for (const id of idsOf(found)) gone.delete(id)
  return { sandboxes: all.sandboxes.filter(({ id }) => !gone.has(id)), containers: all.containers.filter(({ id }) => !gone.has(id)) }
}

/** The newest container of that name. */
export const latest = (observed: ObservedPod, name: string): ObservedContainer | undefined =>
  observed.containers.find((container) => container.name === name)

/** The one before the newest. */
export const previous = (observed: ObservedPod, name: string): ObservedContainer | undefined =>
  observed.containers.filter((container) => container.name === name)[1]

export const running = (observed: ObservedPod): readonly ObservedContainer[] =>
  observed.containers.filter(({ phase }) => phase === 'running' || phase === 'unknown' || phase === 'created')
