// Events of a runtime that sends none: the difference between two lists, a second apart.
import type { Container, ContainerEvent, ContainerEventType, Cri } from '../../cri/index.js'
import { type Clock, sleep } from '../../lib/index.js'

const PERIOD_MS = 1_000

const types: Readonly<Record<string, ContainerEventType>> = {
  CONTAINER_CREATED: 'CONTAINER_CREATED_EVENT',
  CONTAINER_RUNNING: 'CONTAINER_STARTED_EVENT',
  CONTAINER_EXITED: 'CONTAINER_STOPPED_EVENT',
  CONTAINER_UNKNOWN: 'CONTAINER_STOPPED_EVENT',
}

export async function* pollEvents(cri: Cri, clock: Clock, signal: AbortSignal): AsyncGenerator<ContainerEvent> {
  let before = new Map<string, Container>()
  while (!signal.aborted) {
    const now = new Map((await cri.listContainers()).map((container) => [container.id, container]))
    for (const { id, state, podSandboxId } of now.values()) {
      if (before.get(id)?.state === state) continue
      const { status } = await cri.podSandboxStatus(podSandboxId)
      const { status: own } = await cri.containerStatus(id)
      yield {
        containerId: id,
        containerEventType: types[state] ?? 'CONTAINER_STOPPED_EVENT',
        createdAt: clock.now(),
        podSandboxStatus: status,
        containersStatuses: [own],
      }
    }
    before = now
    await sleep(clock, PERIOD_MS, signal).catch(() => {})
  }
}
