// A node's daemon in a process of its own, to be killed: `node daemon.js DIR CGROUP`.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient, httpsTransport } from '../../src/client/index.js'
import { accessOf, readKubeconfig } from '../../src/pki/index.js'
import { openIn } from '../cri/scene.js'
import { kubeletIn } from './node.js'

const [dir = '', cgroupRoot = ''] = process.argv.slice(2)
const { server, ca, identity } = accessOf(readKubeconfig(readFileSync(join(dir, 'node.conf'), 'utf8')))
if (!identity) throw new Error('no identity')
const transport = await httpsTransport({ server, ca, identity: () => identity })
const { cri } = await openIn(dir)
const kubelet = kubeletIn(dir, { client: createClient(transport.handler), cri, settings: { cgroupRoot } })
// Ends with its parent.
process.on('disconnect', () => process.exit(0))
void kubelet.run(new AbortController().signal)
await kubelet.ready
process.send?.('ready')
