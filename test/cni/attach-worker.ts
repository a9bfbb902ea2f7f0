// Attaches namespaces one after the other until it is killed; told by sequences.test.ts what to use.
import { createCni } from '../../src/cni/index.js'

const [confDir = '', cacheDir = '', prefix = '', ...namespaces] = process.argv.slice(2)
const cni = createCni({ confDir, cacheDir })
setInterval(() => {}, 60_000)
for (const [i, netns] of namespaces.entries()) {
  await cni.add({ containerId: `${prefix}-${i}`, netns, runtimeConfig: { portMappings: [{ hostPort: 2000 + i, containerPort: 80 }] } })
  process.stdout.write(`${i}\n`)
}
process.exit(0)
