// Random sequences of attaching, detaching and garbage collection, with failures and kills in between, leave nothing. Needs root.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { builtinPlugins, type Cni, createCni, type Plugin } from '../../src/cni/index.js'
import { systemClock } from '../../src/lib/index.js'
import { Nftables, withNetwork } from '../../src/sys/index.js'
import { type Lab, lab, options, root } from './network.js'

// A machine with other work is slow; nothing here measures time.
t.setTimeout(300_000)

if (!root) t.comment('SKIPPED: pod networks need root')

function configure(net: Lab, last: string, subnet: string): { confDir: string; cacheDir: string; leases: string } {
  const [confDir, cacheDir, leases] = ['conf', 'cache', 'leases'].map((name) => join(net.folder, name)) as [string, string, string]
  mkdirSync(confDir)
  const plugins = [
    {
      type: 'bridge',
      bridge: `seq${last.length}`,
      isDefaultGateway: true,
      ipMasq: true,
      ipam: { type: 'host-local', ranges: [[{ subnet }]], dataDir: leases },
    },
    { type: 'portmap', capabilities: { portMappings: true } },
    ...(last === '' ? [] : [{ type: last }]),
  ]
  writeFileSync(join(confDir, '10-seq.conflist'), JSON.stringify({ cniVersion: '1.1.0', name: 'seq', plugins }))
  return { confDir, cacheDir, leases }
}

/** What is on the machine for pods: links, leases, elements of the firewall, cached results. */
function residue(leases: string, cacheDir: string): Record<string, number> {
  const files = (folder: string, fits: RegExp): number => {
    try {
      return readdirSync(folder).filter((name) => fits.test(name)).length
    } catch {
      return 0
    }
  }
  using nft = new Nftables()
  const table = { family: 'inet', name: 'knarr-cni' } as const
  const sets = nft.hasTable(table) ? nft.sets(table) : []
  return {
    links: withNetwork(undefined, (network) => network.links().filter(({ kind }) => kind === 'veth').length),
    leases: files(join(leases, 'seq'), /^\d/),
    results: files(join(cacheDir, 'results'), /./),
    elements: sets.reduce((sum, { name }) => sum + nft.elements({ table, name, key: ['mark'] }).length, 0),
  }
}

const NOTHING = { links: 0, leases: 0, results: 0, elements: 0 }

t.test('random sequences with a plugin that fails now and then', options, async (t) => {
  const net = lab(t)
  const { confDir, cacheDir, leases } = configure(net, 'moody', '10.60.0.0/29')
  let mood = { add: false, del: false }
  const refuse = async (when: boolean): Promise<void> => {
    if (when) throw new Error('not today')
  }
  const moody: Plugin = {
    name: 'moody',
    add: async ({ config }) => {
      await refuse(mood.add)
      return config.prevResult ?? {}
    },
    del: () => refuse(mood.del),
    check: async () => {},
    status: async () => {},
    gc: async () => {},
  }
  const cni: Cni = createCni({ confDir, cacheDir, plugins: [...builtinPlugins(systemClock), moody] })
  const pods = [0, 1, 2, 3].map((i) => ({ containerId: `pod${i}`, netns: net.namespace(`pod${i}`) }))
  const step = fc.record({
    pod: fc.nat({ max: pods.length - 1 }),
    action: fc.constantFrom('add', 'add', 'add', 'del', 'check', 'gc'),
    failAdd: fc.constantFrom(false, false, true),
    failDel: fc.constantFrom(false, false, false, true),
  })
  const attached = new Set<string>()
  let refused = 0
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 10 }), async (steps) => {
      for (const { pod, action, failAdd, failDel } of steps) {
        const request = pods[pod] as (typeof pods)[number]
        mood = { add: failAdd, del: failDel }
        try {
          if (action === 'add') {
            await cni.add({ ...request, runtimeConfig: { portMappings: [{ hostPort: 1000 + pod, containerPort: 80 }] } })
            attached.add(request.containerId)
          } else if (action === 'del') {
            await cni.del(request)
            attached.delete(request.containerId)
          } else if (action === 'check') await cni.check(request)
          else {
            await cni.gc([...attached].map((containerId) => ({ containerId })))
          }
        } catch {
          refused++
        }
        const left = residue(leases, cacheDir)
        // Failed deletions may keep less than a whole attachment, never more.
        if ((left.links ?? 0) > attached.size || (left.elements ?? 0) > 2 * attached.size)
          throw new Error(`too much: ${JSON.stringify(left)} for ${attached.size}`)
      }
      mood = { add: false, del: false }
      for (const request of pods) await cni.del(request)
      attached.clear()
      t.same(residue(leases, cacheDir), NOTHING)
    }),
    { numRuns: 15, endOnFailure: true },
  )
  t.ok(refused > 0, 'failures took place')
})

t.test('kill -9 in the middle of anything, then DEL: nothing is left', options, async (t) => {
  const net = lab(t)
  const { confDir, cacheDir, leases } = configure(net, '', '10.61.0.0/24')
  const worker = new URL('./attach-worker.js', import.meta.url).pathname
  const namespaces = Array.from({ length: 30 }, (_, i) => net.namespace(`k${i}`))
  const cni = createCni({ confDir, cacheDir })
  // With no program to be found, such as ip or iptables.
  const env = { PATH: '/none' }
  for (let round = 0; round < 5; round++) {
    const child = spawn(process.execPath, [worker, confDir, cacheDir, `r${round}`, ...namespaces], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const closed = once(child, 'close')
    // At another moment each time: the pipe tells late, and the next attachment is under way then.
    let lines = 0
    for await (const chunk of child.stdout) {
      lines += String(chunk).split('\n').length - 1
      if (lines > round * 3) break
    }
    child.kill('SIGKILL')
    await closed
    t.ok((residue(leases, cacheDir).leases ?? 0) > 0, 'there was something')
    // As a kubelet would: garbage collection first, without any pod, or DEL of each.
    if (round % 2 === 0) await cni.gc([])
    else for (const [i, netns] of namespaces.entries()) await cni.del({ containerId: `r${round}-${i}`, netns })
    t.same(residue(leases, cacheDir), NOTHING)
  }
})
