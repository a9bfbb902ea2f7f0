// A containerd of our own, with our images and Debian's CNI plugins: the peer that tests and benchmarks are compared with.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pauseProgram } from '../../src/runtime/index.js'
import { criClient } from './client.js'
import { IMAGE, type Scene, until } from './scene.js'

export const hasContainerd = existsSync('/usr/bin/containerd') && existsSync('/usr/lib/cni/bridge')

export interface Containerd {
  readonly socket: string
  end(): Promise<void>
}

export async function startContainerd(s: Scene): Promise<Containerd> {
  const dir = join(s.dir, 'containerd')
  for (const name of ['net.d', 'pause']) mkdirSync(join(dir, name), { recursive: true })
  writeFileSync(join(dir, 'pause', 'pause'), pauseProgram(), { mode: 0o755 })
  await s.images.import(join(dir, 'pause'), { name: 'test.local/pause:1', config: { Entrypoint: ['/pause'] } })
  await s.images.export([IMAGE, 'test.local/pause:1'], join(dir, 'images.tar'), { format: 'oci' })
  const ipam = { type: 'host-local', dataDir: join(dir, 'ipam'), ranges: [[{ subnet: '10.214.0.0/16' }]] }
  const bridge = { type: 'bridge', bridge: `${s.bridge}c`, isGateway: true, ipam }
  const network = { cniVersion: '1.0.0', name: 'peer', plugins: [bridge, { type: 'portmap', capabilities: { portMappings: true } }] }
  writeFileSync(join(dir, 'net.d', '10-peer.conflist'), JSON.stringify(network))
  const socket = join(dir, 'containerd.sock')
  writeFileSync(
    join(dir, 'config.toml'),
    `version = 2
root = "${dir}/root"
state = "${dir}/state"
[grpc]
  address = "${socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "test.local/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${dir}/net.d"
`,
  )
  const child: ChildProcess = spawn('containerd', ['-c', join(dir, 'config.toml'), '-l', 'error'], { stdio: 'ignore' })
  const client = criClient(socket)
  await until(async () => await client.call('Version').catch(() => undefined))
  client.close()
  const imported = spawnSync('ctr', ['-a', socket, '-n', 'k8s.io', 'images', 'import', join(dir, 'images.tar')])
  if (imported.status !== 0) throw new Error(`ctr images import: ${imported.stderr}`)
  return {
    socket,
    async end() {
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGTERM')
      await gone
      spawnSync('umount', ['-R', join(dir, 'state')])
    },
  }
}
