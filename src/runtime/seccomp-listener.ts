// Seccomp filters that ask: their listener goes to the supervisor that the profile names (runtime-spec config-linux.md, container process state).
import { closeSync } from 'node:fs'
import { connectUnix, descriptorOf, openPidfd, sendDescriptors } from '../sys/index.js'
import { OCI_VERSION, type OciState, type Seccomp } from './spec.js'
import { RuntimeError } from './types.js'

export interface ListenerOwner {
  /** The process that loaded the filter, and its descriptor of the listener. */
  readonly pid: number
  readonly fd: number
  readonly seccomp: Seccomp | undefined
  /** Of the container. */
  readonly state: OciState
}

/** Fetches the listener out of the process and sends it on with the state that says whose it is. */
export function passListener({ pid, fd, seccomp, state }: ListenerOwner): void {
  const path = seccomp?.listenerPath ?? ''
  const toClose: number[] = []
  const open = (descriptor: number): number => {
    toClose.push(descriptor)
    return descriptor
  }
  try {
    const owner = openPidfd(pid)
    if (owner === undefined) throw new RuntimeError('Failed', `seccomp: process ${pid} ended before its listener was passed on`)
    const listener = open(descriptorOf(open(owner), fd))
    const record = {
      ociVersion: OCI_VERSION,
      fds: ['seccompFd'],
      pid,
      ...(seccomp?.listenerMetadata ? { metadata: seccomp.listenerMetadata } : {}),
      state,
    }
    sendDescriptors(open(connect(path)), Buffer.from(JSON.stringify(record)), [listener])
  } finally {
    for (const descriptor of toClose) closeSync(descriptor)
  }
}

function connect(path: string): number {
  try {
    return connectUnix(path)
  } catch (error) {
    throw new RuntimeError('Failed', `failed to connect with seccomp agent ${path}`, { cause: error })
  }
}
