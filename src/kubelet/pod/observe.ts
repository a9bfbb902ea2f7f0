// From the runtime's words to ours.
import { closeSync, openSync, readFileSync, readSync, statSync } from 'node:fs'
import type { ContainerStatus, PodSandboxStatus } from '../../cri/index.js'
import { ANNOTATIONS } from '../container/config.js'
import type { ContainerPhase, ObservedContainer, ObservedSandbox } from './observed.js'

const phases: Readonly<Record<ContainerStatus['state'], ContainerPhase>> = {
  CONTAINER_CREATED: 'created',
  CONTAINER_RUNNING: 'running',
  CONTAINER_EXITED: 'exited',
  CONTAINER_UNKNOWN: 'unknown',
}

const MESSAGE_LIMIT = 4096
const LOG_BYTES = 2048
const LOG_LINES = 80

/** The first bytes of the file a container leaves its last words in; '' when there is none. */
function messageFile(path: string): string {
  let fd: number
  try {
    if (!statSync(path).isFile()) return ''
    fd = openSync(path, 'r')
  } catch {
    return ''
  }
  try {
    const bytes = Buffer.alloc(MESSAGE_LIMIT)
    return bytes.toString('utf8', 0, readSync(fd, bytes, 0, MESSAGE_LIMIT, 0))
  } finally {
    closeSync(fd)
  }
}

/** The end of a log in CRI format, without its time stamps. */
export function logTail(text: string): string {
  const lines = text.split('\n').filter((line) => line !== '')
  const words = lines.slice(-LOG_LINES).map((line) => {
    const [, , tag = 'F', ...rest] = line.split(' ')
    return rest.join(' ') + (tag.startsWith('P') ? '' : '\n')
  })
  return words.join('').slice(-LOG_BYTES)
}

/** What `terminationMessagePath` and `terminationMessagePolicy` ask for. */
export function terminationMessage(status: ContainerStatus, hostFile: string): string {
  const fromFile = messageFile(hostFile)
  if (fromFile !== '') return fromFile
  if (status.annotations[ANNOTATIONS.messagePolicy] !== 'FallbackToLogsOnError' || status.exitCode === 0) return ''
  try {
    return logTail(readFileSync(status.logPath, 'utf8').slice(-64 * 1024))
  } catch {
    return ''
  }
}

/** `sandboxId` is not part of a container's status: the caller knows it. */
export function observedContainer(status: ContainerStatus, sandboxId: string, hostMessageFile: string): ObservedContainer {
  const phase = phases[status.state]
  const reason = status.reason === 'ContainerStatusUnknown' ? 'ContainerStatusUnknown' : status.reason
  return {
    id: status.id,
    name: status.metadata.name,
    sandboxId,
    attempt: status.metadata.attempt ?? 0,
    phase,
    image: status.image.userSpecifiedImage || status.image.image,
    imageRef: status.imageRef || status.imageId,
    imageId: status.imageId,
    createdAt: status.createdAt,
    startedAt: status.startedAt,
    finishedAt: status.finishedAt,
    exitCode: status.exitCode,
    reason: phase === 'exited' ? reason || (status.exitCode === 0 ? 'Completed' : 'Error') : '',
    message: phase === 'exited' ? terminationMessage(status, hostMessageFile) || status.message : status.message,
    specHash: status.annotations[ANNOTATIONS.hash] ?? '',
    logPath: status.logPath,
    user: status.user?.linux,
  }
}

export const observedSandbox = (status: PodSandboxStatus): ObservedSandbox => ({
  id: status.id,
  attempt: status.metadata.attempt ?? 0,
  ready: status.state === 'SANDBOX_READY',
  createdAt: status.createdAt,
  ips: [status.network.ip, ...status.network.additionalIps.map(({ ip }) => ip)].filter((ip) => ip !== ''),
})
