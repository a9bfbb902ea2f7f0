// Which namespaces a container makes, joins, or leaves as the host's.
import type { Namespace } from '../../runtime/index.js'
import { invalid } from '../errors.js'
import type { IdMapping, NamespaceOption } from '../types.js'

/** What is known of a sandbox whose pause process runs. */
export interface SandboxNamespaces {
  readonly pausePid: number
  /** Where the network namespace is kept; undefined for the host's. */
  readonly netns: string | undefined
}

const path = (pid: number, name: string): string => `/proc/${pid}/ns/${name}`

export const hasUserNamespace = (options: NamespaceOption | undefined): boolean => options?.usernsOptions?.mode === 'POD'

export const ociMappings = (list: readonly IdMapping[] | undefined) =>
  (list ?? []).map(({ hostId, containerId, length }) => ({ hostID: hostId, containerID: containerId, size: length }))

/** Refuses maps that do not give the pod its own root. */
export function checkUserNamespace(options: NamespaceOption | undefined): void {
  const userns = options?.usernsOptions
  if (!userns || userns.mode === 'NODE') return
  if (userns.mode !== 'POD') throw invalid(`user namespace mode ${userns.mode} is not supported: want POD or NODE`)
  for (const [what, list] of [
    ['uids', userns.uids],
    ['gids', userns.gids],
  ] as const) {
    if (list?.length !== 1) throw invalid(`user namespace: want exactly one mapping of ${what}, got ${list?.length ?? 0}`)
    const [map] = list
    if (!map || map.length <= 0 || map.containerId !== 0)
      throw invalid(`user namespace: the mapping of ${what} must begin at 0 and not be empty`)
  }
}

/** The pause process's: it makes what the pod shares. `netns` is joined when it exists already. */
export function sandboxNamespaces(options: NamespaceOption | undefined, netns: string | undefined): readonly Namespace[] {
  const list: Namespace[] = [{ type: 'mount' }]
  if (options?.pid !== 'NODE') list.push({ type: 'pid' })
  if (options?.ipc !== 'NODE') list.push({ type: 'ipc' })
  if (options?.network !== 'NODE') {
    list.push(netns === undefined ? { type: 'network' } : { type: 'network', path: netns })
    // The host's network goes with the host's name.
    list.push({ type: 'uts' })
  }
  if (hasUserNamespace(options)) list.push({ type: 'user' })
  return list
}

export interface ContainerNamespaceFacts extends SandboxNamespaces {
  /** First process of the container that `targetId` names. */
  readonly targetPid: number | undefined
  /** cgroup v2: containers get their own view of the tree. */
  readonly cgroupNamespace: boolean
}

export function containerNamespaces(options: NamespaceOption | undefined, facts: ContainerNamespaceFacts): readonly Namespace[] {
  const { pausePid, netns } = facts
  const list: Namespace[] = [{ type: 'mount' }]
  switch (options?.pid ?? 'POD') {
    case 'POD':
      list.push({ type: 'pid', path: path(pausePid, 'pid') })
      break
    case 'CONTAINER':
      list.push({ type: 'pid' })
      break
    case 'TARGET':
      if (facts.targetPid === undefined) throw invalid(`target container ${JSON.stringify(options?.targetId ?? '')} is not running`)
      list.push({ type: 'pid', path: path(facts.targetPid, 'pid') })
      break
  }
  if (options?.ipc !== 'NODE') list.push({ type: 'ipc', path: path(pausePid, 'ipc') })
  if (options?.network !== 'NODE') {
    list.push({ type: 'network', path: netns ?? path(pausePid, 'net') })
    list.push({ type: 'uts', path: path(pausePid, 'uts') })
  }
  if (facts.cgroupNamespace) list.push({ type: 'cgroup' })
  if (hasUserNamespace(options)) list.push({ type: 'user', path: path(pausePid, 'user') })
  return list
}
