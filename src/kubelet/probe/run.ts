// Asking once: exec, httpGet, tcpSocket, grpc.
import { connect } from 'node:net'
import type { Container, Probe } from '../../api/index.js'
import { type Cri, CriError } from '../../cri/index.js'
import { explain } from '../../lib/index.js'
import { dialError, httpGet, httpTarget, portOf } from '../container/http-call.js'
import { grpcProbe } from './grpc.js'
import { timeoutMs } from './machine.js'

export type ProbeAnswer =
  | { readonly outcome: 'success'; readonly output: string; readonly warning?: string }
  | { readonly outcome: 'failure'; readonly output: string }
  /** The question could not be put: no answer, so nothing changes. */
  | { readonly outcome: 'error'; readonly output: string }

export interface ProbeTarget {
  readonly cri: Cri
  readonly container: Container
  readonly containerId: string
  readonly podIp: string
}

const USER_AGENT = 'kube-probe/1.37'
const MAX_REDIRECTS = 10

function tcp(host: string, port: number, limit: number): Promise<ProbeAnswer> {
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    const finish = (answer: ProbeAnswer): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(limit, () => finish({ outcome: 'failure', output: `dial tcp ${host}:${port}: i/o timeout` }))
    socket.on('connect', () => finish({ outcome: 'success', output: '' }))
    socket.on('error', (error) => finish({ outcome: 'failure', output: dialError(error, host, port) }))
  })
}

async function http(probe: Probe, { container, podIp }: ProbeTarget): Promise<ProbeAnswer> {
  if (!probe.httpGet) return { outcome: 'error', output: 'no httpGet' }
  let target = httpTarget(probe.httpGet, container, podIp)
  try {
    for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
      const { status, location, body } = await httpGet(target, timeoutMs(probe), USER_AGENT)
      if (status >= 300 && status < 400 && location) {
        const next = new URL(location, `${target.scheme}://${target.host.includes(':') ? `[${target.host}]` : target.host}:${target.port}`)
        // Another host is none of this pod's business: that it answered is enough.
        if (next.hostname.replace(/^\[|\]$/g, '') !== target.host)
          return { outcome: 'success', output: body, warning: `Probe terminated redirects, Response body: ${body}` }
        const scheme = next.protocol === 'https:' ? 'https' : 'http'
        target = { ...target, scheme, port: Number(next.port) || (scheme === 'https' ? 443 : 80), path: next.pathname + next.search }
        continue
      }
      if (status >= 200 && status < 400) return { outcome: 'success', output: body }
      return { outcome: 'failure', output: `HTTP probe failed with statuscode: ${status}` }
    }
    return { outcome: 'failure', output: `stopped after ${MAX_REDIRECTS} redirects` }
  } catch (error) {
    return { outcome: 'failure', output: explain(error) }
  }
}

async function exec(probe: Probe, { cri, containerId }: ProbeTarget): Promise<ProbeAnswer> {
  const command = probe.exec?.command ?? []
  try {
    const { exitCode, stdout, stderr } = await cri.execSync(containerId, command, timeoutMs(probe) / 1000)
    const output = Buffer.concat([stdout, stderr])
      .toString('utf8')
      .slice(0, 10 * 1024)
    return { outcome: exitCode === 0 ? 'success' : 'failure', output }
  } catch (error) {
    if (error instanceof CriError && error.code === 'DEADLINE_EXCEEDED')
      return { outcome: 'failure', output: `command timed out: "${command.join(' ')}" timed out after ${timeoutMs(probe) / 1000}s` }
    return { outcome: 'error', output: explain(error) }
  }
}

/** Puts the question once and waits for an answer or the probe's timeout. Never throws. */
export async function runProbe(probe: Probe, target: ProbeTarget): Promise<ProbeAnswer> {
  try {
    if (probe.exec) return await exec(probe, target)
    if (probe.httpGet) return await http(probe, target)
    const limit = timeoutMs(probe)
    if (probe.tcpSocket) return await tcp(probe.tcpSocket.host || target.podIp, portOf(probe.tcpSocket.port, target.container), limit)
    if (probe.grpc) return await grpcProbe(target.podIp, probe.grpc.port, probe.grpc.service ?? '', limit)
    return { outcome: 'error', output: `missing probe handler for ${target.container.name}` }
  } catch (error) {
    return { outcome: 'error', output: explain(error) }
  }
}
