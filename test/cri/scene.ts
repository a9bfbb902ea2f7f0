// A CRI of its own for a test: own folders, own network, an image made of busybox; nothing of it stays.
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createCni } from '../../src/cni/index.js'
import {
  type ContainerConfig,
  type ContainerStatus,
  type Cri,
  cniNetwork,
  createCri,
  type PodSandboxConfig,
  parseLogLine,
  type RunningCri,
  thisMachine,
} from '../../src/cri/index.js'
import { createImageStore, type ImageStore } from '../../src/image/index.js'
import { type Logger, silentLog, sleep, systemClock, systemRandom } from '../../src/lib/index.js'
import { createRuntime, type Runtime } from '../../src/runtime/index.js'
import { checked, sysNumber, withNetwork } from '../../src/sys/index.js'

export interface Daemon {
  readonly cri: RunningCri
  readonly runtime: Runtime
  close(): void
}

export interface Scene {
  readonly dir: string
  readonly images: ImageStore
  /** Another daemon on the same folders, as after a restart. */
  open(): Promise<Daemon>
  readonly bridge: string
  pod(name: string, more?: Partial<PodSandboxConfig>): PodSandboxConfig
  /** As if the machine had been started anew since. */
  pretendReboot(): void
  /** Removes every pod, and the folders. */
  end(): Promise<void>
}

export const IMAGE = 'test.local/busybox:1'

const APPLETS = [
  'sh',
  'sleep',
  'cat',
  'echo',
  'ls',
  'id',
  'true',
  'false',
  'hostname',
  'ip',
  'nc',
  'wget',
  'httpd',
  'ps',
  'mount',
  'env',
  'kill',
  'head',
  'dd',
  'yes',
  'seq',
  'stat',
  'touch',
  'grep',
  'ping',
  'tee',
  'wc',
  'stty',
  'tty',
  'pwd',
  'mkdir',
  'rm',
  'printf',
  'date',
  'df',
  'readlink',
]

function busyboxRoot(dir: string): string {
  for (const folder of ['bin', 'etc', 'tmp', 'proc', 'sys', 'dev', 'root', 'var', 'home/web'])
    mkdirSync(join(dir, folder), { recursive: true })
  cpSync('/bin/busybox', join(dir, 'bin/busybox'))
  for (const name of APPLETS) symlinkSync('busybox', join(dir, 'bin', name))
  writeFileSync(join(dir, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000::/home/web:/bin/sh\n')
  writeFileSync(join(dir, 'etc/group'), 'root:x:0:\nweb:x:1000:\nextra:x:3000:web\n')
  return dir
}

/** Prints warnings and errors, so that a failing test says why. */
export const testLog: Logger = {
  ...silentLog,
  warn: (message, fields) => console.error('warn', message, fields),
  error: (message, fields) => console.error('error', message, fields),
  child: () => testLog,
}

let scenes = 0
const CLONE_NEWNET = 0x40000000

export const root = process.getuid?.() === 0
/** How many times longer everything may take than on a machine that is not emulated. */
export const slowness = Number(process.env.KNARR_SLOWNESS ?? 1)
export const options = root ? { timeout: 240_000 * slowness } : { skip: 'needs root' }

/** From the first scene on the test is on a machine of its own, as far as the network goes. */
function ownNetwork(): void {
  checked('unshare', 'network namespace', sysNumber('unshare'), CLONE_NEWNET)
  withNetwork(undefined, (network) => network.setLink(network.link('lo').index, { up: true }))
}

/** The cgroup that all pods of this test are in, in every hierarchy. */
const cgroup = `/kcri-test-${process.pid}`

function removeCgroups(): void {
  const base = '/sys/fs/cgroup'
  for (const folder of [base, ...readdirSync(base).map((name) => join(base, name))]) {
    const path = join(folder, cgroup)
    if (existsSync(path)) rmdirSync(path)
  }
}

/** The daemon on a scene's folders: what it needs of the scene is all on disk. */
export async function openIn(dir: string, images: ImageStore = createImageStore({ root: join(dir, 'images') })): Promise<Daemon> {
  const runtime = createRuntime({ root: join(dir, 'runtime'), restrictOomScoreAdj: true })
  const cri = await createCri({
    root: join(dir, 'cri'),
    runDir: join(dir, 'run'),
    runtime,
    images,
    network: cniNetwork(
      createCni({ confDir: join(dir, 'net.d'), cacheDir: join(dir, 'cni'), binDirs: [join(dir, 'bin'), '/usr/lib/cni'] }),
    ),
    machine: thisMachine(),
    cdiDirs: [join(dir, 'cdi')],
    clock: systemClock,
    random: systemRandom,
    log: testLog,
    version: 'test',
  })
  return {
    cri,
    runtime,
    close() {
      cri.close()
      runtime.close()
    },
  }
}

export async function scene(): Promise<Scene> {
  if (scenes === 0) ownNetwork()
  const dir = mkdtempSync(join(tmpdir(), 'kcri-'))
  // As the folders of a daemon are: root of a user namespace must be able to pass.
  chmodSync(dir, 0o711)
  // Timers and descriptors of the daemon do not keep a test alive.
  const alive = setInterval(() => {}, 60_000)
  const number = (process.pid % 200) + 20
  const bridge = `kcri${process.pid % 10000}${scenes++}`
  const images = createImageStore({ root: join(dir, 'images') })
  await images.import(busyboxRoot(join(dir, 'busybox')), { name: IMAGE, config: { Env: ['PATH=/bin', 'FROM=image'], Cmd: ['/bin/sh'] } })
  mkdirSync(join(dir, 'net.d'))
  writeFileSync(
    join(dir, 'net.d', '10-test.conflist'),
    JSON.stringify({
      cniVersion: '1.1.0',
      name: `net-${bridge}`,
      plugins: [
        {
          type: 'bridge',
          bridge,
          isGateway: true,
          ipMasq: false,
          ipam: {
            type: 'host-local',
            dataDir: join(dir, 'ipam'),
            ranges: [[{ subnet: `10.213.${number}.0/24` }]],
            routes: [{ dst: '0.0.0.0/0' }],
          },
        },
      ],
    }),
  )
  const open = () => openIn(dir, images)
  return {
    dir,
    images,
    open,
    bridge,
    pod: (name, more = {}) => ({
      metadata: { name, namespace: 'test', uid: `uid-${name}`, attempt: 0 },
      hostname: name,
      logDirectory: join(dir, 'logs', name),
      ...more,
      linux: { cgroupParent: cgroup, ...more.linux },
    }),
    pretendReboot() {
      for (const kind of ['sandboxes', 'containers']) {
        for (const name of readdirSync(join(dir, 'cri', kind))) {
          const path = join(dir, 'cri', kind, name)
          writeFileSync(path, readFileSync(path, 'utf8').replace(/"bootId":"[^"]*"/, '"bootId":"another"'))
        }
      }
    },
    async end() {
      const { cri, close } = await open()
      for (const { id } of await cri.listPodSandbox()) await cri.removePodSandbox(id)
      close()
      await images.close()
      rmSync(dir, { recursive: true, force: true })
      removeCgroups()
      clearInterval(alive)
    },
  }
}

export const logOf = (dir: string, pod: string, name: string): string => readFileSync(join(dir, 'logs', pod, name), 'utf8')

/** The contents of a log's lines. */
export const contents = (dir: string, pod: string, name: string): readonly string[] =>
  logOf(dir, pod, name)
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const parsed = parseLogLine(Buffer.from(line))
      if (!parsed) throw new Error(`not a log line: ${JSON.stringify(line)}`)
      return parsed.content.toString()
    })

/** Asks again until there is an answer. */
export async function until<T>(ask: () => Promise<T | undefined>, ms = 60_000): Promise<T> {
  const end = systemClock.monotonic() + ms * slowness
  for (;;) {
    const answer = await ask()
    if (answer !== undefined) return answer
    if (systemClock.monotonic() > end) throw new Error(`waited ${ms * slowness} ms in vain`)
    await sleep(systemClock, 5)
  }
}

/** Makes and starts a container that runs a line of shell. */
export async function run(
  cri: Cri,
  podSandboxId: string,
  sandboxConfig: PodSandboxConfig,
  script: string,
  more: Partial<ContainerConfig> = {},
): Promise<string> {
  const name = more.metadata?.name ?? 'main'
  const { containerId } = await cri.createContainer({
    podSandboxId,
    sandboxConfig,
    config: { metadata: { name }, image: { image: IMAGE }, command: ['sh', '-c', script], logPath: `${name}/0.log`, ...more },
  })
  await cri.startContainer(containerId)
  return containerId
}

/** The status of a container that has ended, once it has. */
export const exited = (cri: Cri, id: string): Promise<ContainerStatus> =>
  until(async () => {
    const { status } = await cri.containerStatus(id)
    return status.state === 'CONTAINER_EXITED' ? status : undefined
  })

/** What should not be there when there is no pod: mounts, namespaces, folders, snapshots, cgroups, addresses, links, processes. */
export async function leftovers(s: Scene): Promise<readonly string[]> {
  const found: string[] = []
  const inFolder = (...parts: readonly string[]): void => {
    const path = join(s.dir, ...parts)
    if (existsSync(path)) found.push(...readdirSync(path).map((name) => join(...parts, name)))
  }
  for (const folder of ['sandboxes', 'containers', 'netns']) inFolder('run', folder)
  for (const folder of ['sandboxes', 'containers', 'spools', 'volumes']) inFolder('cri', folder)
  inFolder('runtime')
  inFolder('images', 'snapshots')
  for (const line of readFileSync('/proc/mounts', 'utf8').split('\n')) if (line.includes(` ${s.dir}/`)) found.push(`mount ${line}`)
  const leases = join(s.dir, 'ipam', `net-${s.bridge}`)
  if (existsSync(leases))
    found.push(
      ...readdirSync(leases)
        .filter((name) => /^\d+\.\d+/.test(name))
        .map((name) => `address ${name}`),
    )
  withNetwork(undefined, (network) => {
    for (const { name } of network.links()) if (name.startsWith('veth')) found.push(`link ${name}`)
  })
  for (const name of readdirSync('/sys/fs/cgroup')) {
    const path = join('/sys/fs/cgroup', name, cgroup)
    if (existsSync(path))
      for (const entry of readdirSync(path, { withFileTypes: true })) if (entry.isDirectory()) found.push(join(path, entry.name))
  }
  return found
}
