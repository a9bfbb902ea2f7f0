// postStart and preStop.
import type { LifecycleHandler } from '../../api/index.js'
import type { Cri } from '../../cri/index.js'
import { type Clock, sleep } from '../../lib/index.js'
import type { AnyContainer } from '../pod/services.js'
import { httpGet, httpTarget } from './http-call.js'

export interface HookTarget {
  readonly cri: Cri
  readonly clock: Clock
  readonly container: AnyContainer
  readonly containerId: string
  readonly podIp: string
  readonly signal: AbortSignal
}

const HTTP_TIMEOUT_MS = 30_000

/** Runs it to its end. Throws with its output when it fails. */
export async function runHook(hook: LifecycleHandler, target: HookTarget): Promise<void> {
  const { cri, clock, container, containerId, podIp, signal } = target
  if (hook.exec) {
    const command = hook.exec.command ?? []
    const { exitCode, stdout, stderr } = await cri.execSync(containerId, command, 0, { signal })
    if (exitCode !== 0) {
      const output = Buffer.concat([stdout, stderr]).toString('utf8').slice(0, 1024)
      throw new Error(`command '${command.join(' ')}' exited with ${exitCode}: ${output}`)
    }
  } else if (hook.httpGet) {
    const { status, body } = await httpGet(httpTarget(hook.httpGet, container, podIp), HTTP_TIMEOUT_MS, 'kube-lifecycle/1.37')
    if (status >= 400) throw new Error(`http status ${status}: ${body.slice(0, 1024)}`)
  } else if (hook.sleep) await sleep(clock, hook.sleep.seconds * 1000, signal)
  else throw new Error(`invalid handler for container ${container.name}`)
}
