// Events of a runtime that sends none: the difference between two looks at its lists, a second apart.
import { type Container, type ContainerEvent, type ContainerEventType, type Cri, CriError, type PodSandbox } from '../../cri/index.js'
import { type Clock, sleep } from '../../lib/index.js'

const PERIOD_MS = 1_000

const types: Readonly<Record<string, ContainerEventType>> = {
  CONTAINER_CREATED: 'CONTAINER_CREATED_EVENT',
  CONTAINER_RUNNING: 'CONTAINER_STARTED_EVENT',
  CONTAINER_EXITED: 'CONTAINER_STOPPED_EVENT',
  CONTAINER_UNKNOWN: 'CONTAINER_STOPPED_EVENT',
}

const gone = (error: unknown): boolean => error instanceof CriError && error.code === 'NOT_FOUND'

const byId = <T extends { readonly id: string }>(list: readonly T[]): ReadonlyMap<string, T> => new Map(list.map((each) => [each.id, each]))

export async function* pollEvents(cri: Cri, clock: Clock, signal: AbortSignal): AsyncGenerator<ContainerEvent> {
  let containers: ReadonlyMap<string, Container> = new Map()
  let sandboxes: ReadonlyMap<string, PodSandbox> = new Map()

  /** What changed, as one event; undefined when it is gone before it could be asked. */
  async function event(
    containerEventType: ContainerEventType,
    sandboxId: string,
    containerId?: string,
  ): Promise<ContainerEvent | undefined> {
    try {
      const { status } = await cri.podSandboxStatus(sandboxId)
      const own = containerId === undefined ? [] : [(await cri.containerStatus(containerId)).status]
      const about = { containerId: containerId ?? sandboxId, containerEventType, createdAt: clock.now() }
      return { ...about, podSandboxStatus: status, containersStatuses: own }
    } catch (error) {
      if (gone(error)) return undefined
      throw error
    }
  }

  while (!signal.aborted) {
    const [nowSandboxes, nowContainers] = [byId(await cri.listPodSandbox()), byId(await cri.listContainers())]
    const changed = await Promise.all([
      ...[...nowSandboxes.values()]
        .filter(({ id, state }) => sandboxes.has(id) && sandboxes.get(id)?.state !== state)
        .map(({ id }) => event('CONTAINER_STOPPED_EVENT', id)),
      ...[...nowContainers.values()]
        .filter(({ id, state }) => containers.get(id)?.state !== state)
        .map(({ id, state, podSandboxId }) => event(types[state] ?? 'CONTAINER_STOPPED_EVENT', podSandboxId, id)),
    ])
    for (const each of changed) if (each) yield each
    containers = nowContainers
    sandboxes = nowSandboxes
    await sleep(clock, PERIOD_MS, signal).catch(() => {})
  }
}
