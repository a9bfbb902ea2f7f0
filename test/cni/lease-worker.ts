// Takes and gives back addresses until it is killed; told by leases.test.ts what to use. Writes down each address when it has it and before it gives it back.

import { writeSync } from 'node:fs'
import type { PluginRequest } from '../../src/cni/index.js'
import { hostLocal } from '../../src/cni/plugins/host-local.js'
import { systemClock } from '../../src/lib/index.js'

const [dataDir = '', name = ''] = process.argv.slice(2)
const plugin = hostLocal(systemClock)
setInterval(() => {}, 60_000)

const request = (containerId: string): PluginRequest => ({
  command: 'ADD',
  containerId,
  netns: '',
  ifName: 'eth0',
  args: '',
  path: [],
  config: {
    cniVersion: '1.1.0',
    name: 'leases',
    type: 'bridge',
    ipam: { type: 'host-local', ranges: [[{ subnet: '10.5.0.0/22' }]], dataDir },
  },
  delegate: async () => undefined,
})

for (let i = 0; ; i++) {
  const id = `${name}-${i}`
  const { ips } = await plugin.add(request(id))
  writeSync(1, `+ ${ips?.[0]?.address} ${id}\n`)
  if (i % 3 === 0) continue
  writeSync(1, `- ${ips?.[0]?.address} ${id}\n`)
  await plugin.del(request(id))
}
