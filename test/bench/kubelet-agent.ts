// The node of the kubelet benchmark in a process of its own: kubelet, runtime, images and networking, over TLS to the API server.
// `node kubelet-agent.js DIR CGROUP`; answers the message `calls` with how long each call of the runtime took.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient, httpsTransport } from '../../src/client/index.js'
import type { RunningCri } from '../../src/cri/index.js'
import { accessOf, readKubeconfig } from '../../src/pki/index.js'
import { openIn } from '../cri/scene.js'
import { kubeletIn } from '../kubelet/node.js'

const calls = new Map<string, number[]>()

/** Notes how long each call of the runtime takes. */
const timed = (cri: RunningCri): RunningCri =>
  new Proxy(cri, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name)
      if (typeof member !== 'function' || name === 'getContainerEvents') return member
      return (...args: readonly unknown[]) => {
        const began = performance.now()
        const result: unknown = Reflect.apply(member, target, args)
        if (result instanceof Promise) {
          const note = (): void => {
            const list = calls.get(String(name)) ?? []
            list.push(performance.now() - began)
            calls.set(String(name), list)
          }
          result.then(note, note)
        }
        return result
      }
    },
  })

const [dir = '', cgroupRoot = ''] = process.argv.slice(2)
const { server, ca, identity } = accessOf(readKubeconfig(readFileSync(join(dir, 'node.conf'), 'utf8')))
if (!identity) throw new Error('no identity')
const transport = await httpsTransport({ server, ca, identity: () => identity })
const { cri } = await openIn(dir)
const kubelet = kubeletIn(dir, { client: createClient(transport.handler), cri: timed(cri), settings: { cgroupRoot } })
process.on('message', () => {
  process.send?.([...calls])
  calls.clear()
})
// Ends with its parent.
process.on('disconnect', () => process.exit(0))
void kubelet.run(new AbortController().signal)
await kubelet.ready
process.send?.('ready')
