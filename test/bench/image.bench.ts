// Cold pull with unpacking of a six-layer image of 300 MB from a registry on loopback, against containerd's ctr in the same run.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createImageStore } from '../../src/image/index.js'
import { have, startRegistry } from '../image/fixture.js'
import { median, printAim, printTable } from './table.js'

const RUNS = 3
const LAYERS = 6
const WANTED_BYTES = 300_000_000

const outer = mkdtempSync(join(tmpdir(), 'knarr-bench-image-'))
const home = join(outer, 'fs')
const ends: (() => unknown)[] = [() => rmSync(outer, { recursive: true, force: true })]
const scope = { teardown: (run: () => unknown) => void ends.push(run) }

/**
 * A fresh ext4 for all that is unpacked. On a used one, making a file after bulk deletes can cost 25 times as much
 * (the allocator steps over inodes deleted lately), which would measure the history of the disk.
 */
function freshFileSystem(): string {
  mkdirSync(home)
  const image = join(outer, 'ext4')
  const made =
    spawnSync('truncate', ['-s', '16G', image]).status === 0 &&
    spawnSync('mkfs.ext4', ['-q', '-F', image]).status === 0 &&
    spawnSync('mount', ['-o', 'loop', image, home]).status === 0
  if (made) scope.teardown(() => spawnSync('umount', [home]))
  return made ? 'a fresh ext4' : 'the file system of the temporary folder'
}

/** Folders of this machine whose files make the layers: programs, libraries, texts, as in real images. */
function chooseFiles(): string[][] {
  const folders = [
    '/usr/lib/python3',
    '/usr/lib/python3.11',
    '/usr/share/perl',
    '/usr/share/vim',
    '/usr/share/doc',
    '/usr/share/locale',
    '/usr/lib/x86_64-linux-gnu',
    '/usr/lib/gcc',
    '/usr/bin',
    '/usr/share',
  ]
  const files: { path: string; size: number }[] = []
  const seen = new Set<string>()
  let total = 0
  const walk = (folder: string): void => {
    for (const entry of existsSync(folder) ? readdirSync(folder, { withFileTypes: true }) : []) {
      const path = join(folder, entry.name)
      if (total >= WANTED_BYTES) return
      if (entry.isDirectory()) walk(path)
      else if (entry.isFile() && !seen.has(path)) {
        seen.add(path)
        const { size } = statSync(path)
        if (size > 40_000_000) continue
        files.push({ path, size })
        total += size
      }
    }
  }
  for (const folder of folders) walk(folder)
  const layers: string[][] = Array.from({ length: LAYERS }, () => [])
  let at = 0
  let filled = 0
  for (const { path, size } of files) {
    layers[at]?.push(path)
    filled += size
    if (filled >= total / LAYERS && at < LAYERS - 1) {
      at++
      filled = 0
    }
  }
  return layers
}

/** The files, each behind the folders that lead to it, as image builders write them. */
function withFolders(files: readonly string[]): readonly string[] {
  const all = new Set<string>()
  for (const file of files) {
    const parts = file.split('/').slice(1, -1)
    for (let i = 1; i <= parts.length; i++) all.add(`/${parts.slice(0, i).join('/')}`)
    all.add(file)
  }
  return [...all].sort()
}

/** An OCI layout of these layers, packed by GNU tar and gzip. */
function makeLayout(layout: string): { compressed: number; unpacked: number } {
  mkdirSync(join(layout, 'blobs/sha256'), { recursive: true })
  const put = (bytes: Buffer): { digest: string; size: number } => {
    const hex = createHash('sha256').update(bytes).digest('hex')
    writeFileSync(join(layout, 'blobs/sha256', hex), bytes)
    return { digest: `sha256:${hex}`, size: bytes.length }
  }
  let compressed = 0
  let unpacked = 0
  const layers: { mediaType: string; digest: string; size: number }[] = []
  const diffIds: string[] = []
  for (const files of chooseFiles()) {
    const tar = execFileSync('tar', ['-cf', '-', '--no-recursion', '-T', '-'], {
      input: withFolders(files).join('\n'),
      maxBuffer: 1 << 30,
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    const gz = execFileSync('gzip', ['-6'], { input: tar, maxBuffer: 1 << 30 })
    diffIds.push(`sha256:${createHash('sha256').update(tar).digest('hex')}`)
    layers.push({ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', ...put(gz) })
    compressed += gz.length
    unpacked += tar.length
  }
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))
  const config = put(
    json({
      os: 'linux',
      architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
      config: {},
      rootfs: { type: 'layers', diff_ids: diffIds },
    }),
  )
  const manifest = put(
    json({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
      layers,
    }),
  )
  writeFileSync(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  writeFileSync(
    join(layout, 'index.json'),
    json({
      schemaVersion: 2,
      manifests: [
        {
          mediaType: 'application/vnd.oci.image.manifest.v1+json',
          ...manifest,
          annotations: { 'org.opencontainers.image.ref.name': 'latest' },
        },
      ],
    }),
  )
  return { compressed, unpacked }
}

/** Most memory of a process so far, in MB, and its CPU seconds; undefined once it is gone. */
function vitals(pid: number | undefined): { peak: number; cpu: number } | undefined {
  try {
    const peak = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1000
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return { peak, cpu: (Number(fields[11]) + Number(fields[12]) + Number(fields[13]) + Number(fields[14])) / 100 }
  } catch {
    return undefined
  }
}

interface Sample {
  readonly seconds: number
  readonly cpu: number
  readonly peak: number
}

/** Runs a command to its end and watches it; `daemon` is the process that does the work for it. */
async function measure(command: string, args: readonly string[], daemon?: number): Promise<Sample> {
  const before = daemon === undefined ? undefined : vitals(daemon)
  const started = performance.now()
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, HOME: home } })
  let errors = ''
  child.stderr.on('data', (chunk) => {
    errors += chunk
  })
  let last = vitals(child.pid)
  const watch = setInterval(() => {
    const now = vitals(child.pid)
    // A process that has just ended has no memory any more.
    if (now && !Number.isNaN(now.peak)) last = now
  }, 10)
  const [code] = (await once(child, 'exit')) as [number]
  clearInterval(watch)
  const seconds = (performance.now() - started) / 1000
  if (code !== 0) throw new Error(`${command} ${args.join(' ')}: ${errors}`)
  const after = daemon === undefined ? undefined : vitals(daemon)
  if (before && after) return { seconds, cpu: after.cpu - before.cpu + (last?.cpu ?? 0), peak: after.peak }
  return { seconds, cpu: last?.cpu ?? 0, peak: last?.peak ?? 0 }
}

async function startContainerd(folder: string): Promise<{ socket: string; pid: number }> {
  mkdirSync(folder, { recursive: true })
  const socket = join(folder, 'containerd.sock')
  const config = join(folder, 'config.toml')
  writeFileSync(
    config,
    `version = 2\nroot = "${folder}/root"\nstate = "${folder}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\n  address = "${socket}"\n[ttrpc]\n  address = "${socket}.ttrpc"\n`,
  )
  const child = spawn('containerd', ['--config', config], { stdio: 'ignore' })
  scope.teardown(async () => {
    child.kill('SIGTERM')
    if (child.exitCode === null) await once(child, 'exit')
  })
  while (spawnSync('ctr', ['-a', socket, 'version'], { stdio: 'ignore' }).status !== 0)
    await new Promise((resolve) => setTimeout(resolve, 50))
  return { socket, pid: child.pid ?? 0 }
}

const middle = (samples: readonly Sample[]): Sample => ({
  seconds: median(samples.map(({ seconds }) => seconds)),
  cpu: median(samples.map(({ cpu }) => cpu)),
  peak: Math.max(...samples.map(({ peak }) => peak)),
})

async function main(): Promise<void> {
  if (!have('docker-registry') || !have('skopeo')) {
    console.log('needs docker-registry and skopeo')
    return
  }
  const where = freshFileSystem()
  const { host } = await startRegistry(scope)
  const { compressed, unpacked } = makeLayout(join(home, 'layout'))
  const name = `${host}/bench:latest`
  execFileSync(
    'skopeo',
    ['--insecure-policy', 'copy', '--dest-tls-verify=false', `oci:${join(home, 'layout')}:latest`, `docker://${name}`],
    { stdio: 'ignore' },
  )
  console.log(
    `${LAYERS} layers, ${(compressed / 1e6).toFixed(0)} MB compressed, ${(unpacked / 1e6).toFixed(0)} MB unpacked; every run into a fresh folder on ${where}; median of ${RUNS}`,
  )

  const knarr: Sample[] = []
  const ctr: Sample[] = []
  const command = join(import.meta.dirname, '../../knarr/main.js')
  const withCtr = have('containerd') && have('ctr')
  for (let run = 0; run < RUNS; run++) {
    knarr.push(
      await measure(process.execPath, [command, 'image', 'pull', '--plain-http', '--quiet', '--root', join(home, `knarr-${run}`), name]),
    )
    if (withCtr) {
      const { socket, pid } = await startContainerd(join(home, `containerd-${run}`))
      ctr.push(await measure('ctr', ['-a', socket, 'images', 'pull', '--plain-http', name], pid))
    }
  }
  // As the agent does it: the process is there already, the image is too.
  const store = createImageStore({ root: join(home, 'knarr-0'), flush: false, registries: { plainHttp: true, env: {} } })
  await store.pull(name)
  const again: number[] = []
  for (let run = 0; run < 20; run++) {
    const started = performance.now()
    await store.pull(name)
    again.push(performance.now() - started)
  }
  await store.close()

  const ours = middle(knarr)
  const rows: (string | number)[][] = [['knarr image pull (a new process)', ours.seconds, ours.cpu, ours.peak]]
  if (withCtr) {
    const theirs = middle(ctr)
    rows.push(['ctr images pull (containerd running)', theirs.seconds, theirs.cpu, theirs.peak])
  }
  printTable(['what', 's', 'CPU s', 'peak MB'], rows)
  console.log(`second pull, everything present: ${median(again).toFixed(1)} ms`)
  if (withCtr) {
    const ratio = middle(ctr).seconds / ours.seconds
    printAim({ name: 'pull against containerd', wanted: '2 times as fast', measured: `${ratio.toFixed(2)} times`, met: ratio >= 2 })
  } else console.log('containerd is not installed: nothing to compare with')
  printAim({ name: 'peak memory of a pull', wanted: 'under 200 MB', measured: `${ours.peak.toFixed(0)} MB`, met: ours.peak < 200 })
  printAim({ name: 'pull of what is present', wanted: 'under 50 ms', measured: `${median(again).toFixed(1)} ms`, met: median(again) < 50 })
}

try {
  await main()
} finally {
  for (const end of ends.reverse()) await end()
}
