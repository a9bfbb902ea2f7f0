// A daemon of its own process on a scene's folders, to be killed: `node daemon.js DIR`.
import { join } from 'node:path'
import { serveCri, serveStreams } from '../../src/cri/index.js'
import { systemClock, systemRandom } from '../../src/lib/index.js'
import { openIn, testLog } from './scene.js'

const dir = process.argv[2] ?? ''
const { cri } = await openIn(dir)
const streams = await serveStreams({ cri, clock: systemClock, random: systemRandom, log: testLog })
await serveCri({ cri, urls: streams.urls, socket: join(dir, 'cri.sock'), log: testLog })
process.send?.('ready')
// Ends with its parent.
process.on('disconnect', () => process.exit(0))
