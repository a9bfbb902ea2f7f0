// What the runtime's tests share: bundles made of busybox, runtimes with a folder of their own, and a look at what is left behind.
import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Containers } from '../../src/runtime/containers.js'
import type { Linux, Process, Spec, Stdio } from '../../src/runtime/index.js'
import { exampleSpec } from '../../src/runtime/oci/documents.js'
import { openCgroup } from '../../src/sys/index.js'

/** A reason to skip, or false. */
export const skip = process.getuid?.() !== 0 ? 'needs root' : existsSync('/bin/busybox') ? false : 'needs a static busybox'

export const has = (command: string): boolean => {
  try {
    execFileSync('sh', ['-c', `command -v ${command}`], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

let counter = 0

/** Also a cgroup namespace, which runc's example has on cgroup v2 alone. */
const ALL_NAMESPACES = (['pid', 'network', 'ipc', 'uts', 'mount', 'cgroup'] as const).map((type) => ({ type }))

export interface Scene {
  readonly folder: string
  readonly bundle: string
  readonly rootfs: string
  readonly runtime: Containers
  /** Where the containers of this scene keep their cgroups. */
  readonly cgroups: string
  spec(args: readonly string[], changes?: SpecChanges): Spec
  /** Creates, starts and waits; standard output and error together. */
  run(spec: Spec, id?: string): Promise<{ readonly code: number; readonly output: string }>
  /** A file that takes output. */
  output(): { readonly stdio: Stdio; text(): string }
}

export interface SpecChanges {
  readonly process?: Partial<Process>
  readonly linux?: Partial<Linux>
  readonly spec?: Partial<Spec>
}

/** Removes everything when the test ends, also when it fails. */
export function scene(t: { teardown(fn: () => unknown): unknown }): Scene {
  const folder = mkdtempSync(join(tmpdir(), 'knarr-runtime-'))
  const bundle = join(folder, 'bundle')
  const rootfs = join(bundle, 'rootfs')
  for (const name of ['bin', 'etc', 'tmp', 'proc', 'sys', 'dev']) mkdirSync(join(rootfs, name), { recursive: true })
  execFileSync('chmod', ['-R', 'a+rX', folder])
  copyFileSync('/bin/busybox', join(rootfs, 'bin/busybox'))
  for (const name of execFileSync('/bin/busybox', ['--list'], { encoding: 'utf8' }).split('\n').filter(Boolean))
    if (name !== 'busybox') symlinkSync('busybox', join(rootfs, 'bin', name))
  const cgroups = `/knarr-test-${process.pid}-${++counter}`
  const runtime = new Containers({ root: join(folder, 'state') })
  // Waiting for the kernel alone does not keep a process alive.
  const alive = setInterval(() => {}, 1 << 30)
  t.teardown(async () => {
    for (const { id } of await runtime.list()) await runtime.delete(id, { force: true })
    runtime.close()
    await openCgroup(cgroups).delete()
    rmSync(folder, { recursive: true, force: true })
    clearInterval(alive)
  })
  let outputs = 0
  const output = (): { stdio: Stdio; text(): string } => {
    const path = join(folder, `output-${++outputs}`)
    return { stdio: { stdout: { path }, stderr: { path } }, text: () => (existsSync(path) ? readFileSync(path, 'utf8') : '') }
  }
  const spec = (args: readonly string[], changes: SpecChanges = {}): Spec => {
    const base = exampleSpec({ rootless: false })
    const { rlimits: _, ...process } = base.process as Process
    return {
      ...base,
      process: { ...process, terminal: false, args, ...changes.process },
      linux: { ...base.linux, namespaces: ALL_NAMESPACES, cgroupsPath: `${cgroups}/${++counter}`, ...changes.linux },
      ...changes.spec,
    }
  }
  const run = async (wanted: Spec, id = `run-${++counter}`): Promise<{ code: number; output: string }> => {
    const out = output()
    await runtime.create({ id, bundle, spec: wanted, stdio: out.stdio })
    await runtime.start(id)
    const { exitCode } = await runtime.wait(id)
    await runtime.delete(id)
    return { code: exitCode, output: out.text() }
  }
  return { folder, bundle, rootfs, runtime, cgroups, spec, run, output }
}

/** What stays of a scene's containers once everything has settled: the last signals of ended processes may still be on their way. */
export async function leftovers(s: Scene): Promise<readonly string[]> {
  for (let left = 200; left > 0 && look(s).length > 0; left--) await new Promise((resolve) => setTimeout(resolve, 10))
  return look(s)
}

/** Everything of a scene's containers that the machine has: processes, cgroups, mounts, state. */
function look(s: Scene): readonly string[] {
  const found: string[] = []
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const cmdline = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      const cgroup = readFileSync(`/proc/${pid}/cgroup`, 'utf8')
      const child = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')
      if (cgroup.includes(`${s.cgroups}/`)) found.push(`process ${pid} ${cmdline}`)
      if (child?.[1] === String(process.pid) && (child[0] === 'Z' || cmdline.startsWith('knarr-')))
        found.push(`child ${pid} ${cmdline} ${child[0]}`)
    } catch {
      // Gone meanwhile.
    }
  }
  for (const folder of openCgroup(s.cgroups).folders) {
    if (existsSync(folder))
      for (const entry of readdirSync(folder, { withFileTypes: true }))
        if (entry.isDirectory()) found.push(`cgroup ${folder}/${entry.name}`)
  }
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) if (line.includes(s.folder)) found.push(`mount ${line}`)
  const state = s.runtime.files.root
  if (existsSync(state)) for (const name of readdirSync(state)) found.push(`state ${name}`)
  return found
}
