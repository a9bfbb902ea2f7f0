// Takes everything of ours off a machine, whatever state it is in: every part is tried, failures are told at the end.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { CNI_TABLE, overlay } from '../cni/index.js'
import { explain, hasErrno } from '../lib/index.js'
import { iptablesApplier, nftablesApplier } from '../proxy/index.js'
import { createRuntime } from '../runtime/index.js'
import { cgroupLayout, dropTable, openCgroup, unmount, withNetwork, withNftables } from '../sys/index.js'
import { forgetForwarding } from './forwarding.js'
import { removeAddressLink } from './hosts.js'
import { paths } from './paths.js'
import type { ProcessContext } from './server.js'

/** Mount points at or below one of the folders, deepest first. */
function mountsBelow(folders: readonly string[]): string[] {
  const decoded = (text: string): string =>
    text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .flatMap((line) => line.split(' ')[4] ?? [])
    .map(decoded)
    .filter((point) => folders.some((folder) => point.startsWith(`${folder}/`)))
    .reverse()
}

/** Removes a folder with all that is in it; one that is a mount point itself stays, empty. */
function removeFolder(folder: string): void {
  for (const name of existsSync(folder) ? readdirSync(folder) : []) rmSync(join(folder, name), { recursive: true, force: true })
  try {
    rmdirSync(folder)
  } catch (error) {
    if (!hasErrno(error, 'EBUSY', 'ENOENT')) throw error
  }
}

/** Ends containers one by one, with their hooks. What cannot be read any more is ended by the steps behind: its cgroup, mounts, files. */
async function removeContainers({ clock }: ProcessContext): Promise<void> {
  const root = join(paths.run, 'runtime')
  if (!existsSync(root)) return
  const runtime = createRuntime({ root, clock })
  try {
    const containers = await runtime.list()
    await Promise.allSettled(containers.map(({ id }) => runtime.delete(id, { force: true })))
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  } finally {
    runtime.close()
  }
}

function removeMounts(): void {
  for (const point of mountsBelow([paths.kubelet, paths.run, paths.images, paths.state, '/run/netns'])) {
    if (point.startsWith('/run/netns/') && !point.startsWith('/run/netns/cni-') && !point.startsWith('/run/netns/knarr-')) continue
    try {
      unmount(point, { detach: true })
    } catch (error) {
      if (!hasErrno(error, 'EINVAL', 'ENOENT')) throw error
    }
  }
}

function removeLinks(): void {
  withNetwork(undefined, (network) => {
    const bridge = network.findLink('knarr-pods')
    if (bridge) {
      for (const link of network.links()) if (link.master === bridge.index) network.deleteLink(link.index)
      network.deleteLink(bridge.index)
    }
  })
  overlay({ self: { name: '', address: '', podCidrs: [] } }).remove()
  removeAddressLink()
}

async function removeCgroups(): Promise<void> {
  for (const path of ['/kubepods', '/knarr']) {
    const group = openCgroup(path, { layout: cgroupLayout() })
    if (!group.exists()) continue
    await group.kill()
    await group.delete()
  }
}

/** Pods first, then what they stood on. */
export async function removeEverything({ purge }: { readonly purge: boolean }, context: ProcessContext): Promise<void> {
  const failures: string[] = []
  const steps: readonly (readonly [string, () => void | Promise<void>])[] = [
    ['containers', () => removeContainers(context)],
    ['cgroups', removeCgroups],
    ['mounts', removeMounts],
    ['links', removeLinks],
    [
      'rules',
      async () => {
        await nftablesApplier({ clusterCidrs: [] }).remove()
        // Only where somebody asked for the iptables mode is there something to remove, and the programs for it.
        if (spawnSync('iptables-save', ['-t', 'nat'], { encoding: 'utf8' }).stdout?.includes('KUBE-'))
          await iptablesApplier({ clusterCidrs: [] }).remove()
        forgetForwarding()
        withNftables(undefined, (nft) => nft.hasTable(CNI_TABLE) && nft.apply(dropTable(CNI_TABLE)))
      },
    ],
    [
      'state of pods',
      () => {
        for (const folder of [join(paths.state, 'cri'), join(paths.kubelet, 'pods'), paths.cniCache]) removeFolder(folder)
        rmSync(join(paths.cniConf, '10-knarr.conflist'), { force: true })
        // Links to pod logs; other runtimes' stay.
        for (const name of existsSync(paths.containerLogs) ? readdirSync(paths.containerLogs) : []) {
          const link = join(paths.containerLogs, name)
          if (!existsSync(link)) rmSync(link, { force: true })
        }
      },
    ],
    [
      'files',
      () => {
        if (!purge) return
        for (const folder of [paths.config, paths.state, paths.kubelet, paths.podLogs, paths.logs]) removeFolder(folder)
        for (const folder of [paths.containerLogs, paths.cniConf, '/etc/cni']) {
          try {
            rmdirSync(folder)
          } catch {
            // Not empty: somebody else lives there.
          }
        }
      },
    ],
  ]
  for (const [what, run] of steps) {
    try {
      await run()
    } catch (error) {
      failures.push(`${what}: ${explain(error)}`)
    }
  }
  if (failures.length > 0) throw new Error(`some things could not be removed:\n  ${failures.join('\n  ')}`)
}
