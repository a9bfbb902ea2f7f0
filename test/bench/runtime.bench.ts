// Start of a container, through the library and the command, against runc, crun and a bare C program doing the same kernel work.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { limiter } from '../../src/lib/index.js'
import { createRuntime, type Spec } from '../../src/runtime/index.js'
import { exampleSpec } from '../../src/runtime/oci/documents.js'
import { openCgroup } from '../../src/sys/index.js'
import { median, printAim, printTable, quantile } from './table.js'

const RUNS = Number(process.env.KNARR_BENCH_RUNS ?? 40)
const STARTS = Number(process.env.KNARR_BENCH_STARTS ?? 1000)
const folder = mkdtempSync(join(tmpdir(), 'knarr-bench-'))
const bundle = join(folder, 'bundle')
const group = `/knarr-bench-${process.pid}`
mkdirSync(join(bundle, 'rootfs/bin'), { recursive: true })
for (const name of ['proc', 'sys', 'dev']) mkdirSync(join(bundle, 'rootfs', name))
copyFileSync('/bin/busybox', join(bundle, 'rootfs/bin/busybox'))
for (const name of ['true', 'sleep', 'sh']) symlinkSync('busybox', join(bundle, 'rootfs/bin', name))
const home = join(import.meta.dirname, '../../..')

const spec = (args: readonly string[], id = 'bench'): Spec => {
  const base = exampleSpec({ rootless: false })
  const { rlimits: _, ...process } = base.process ?? { cwd: '/' }
  return {
    ...base,
    process: { ...process, terminal: false, args },
    linux: {
      ...base.linux,
      cgroupsPath: `${group}/${id}`,
      resources: { ...base.linux?.resources, memory: { limit: 256 << 20 }, pids: { limit: 100 }, cpu: { shares: 512 } },
      seccomp: {
        defaultAction: 'SCMP_ACT_ALLOW',
        architectures: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_AARCH64'],
        syscalls: [{ names: ['reboot', 'kexec_load', 'init_module', 'finit_module', 'delete_module', 'bpf'], action: 'SCMP_ACT_ERRNO' }],
      },
    },
  }
}
/** Older peers refuse a newer version of the specification. */
const writeSpec = (wanted: Spec): void => writeFileSync(join(bundle, 'config.json'), JSON.stringify({ ...wanted, ociVersion: '1.0.2' }))

async function sample(run: () => void | Promise<void>, runs = RUNS): Promise<readonly number[]> {
  const samples: number[] = []
  for (let i = -3; i < runs; i++) {
    const began = performance.now()
    await run()
    if (i >= 0) samples.push(performance.now() - began)
  }
  return samples
}

const must = (command: string, args: readonly string[]): void => {
  const { status, stderr } = spawnSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${status} ${stderr}`)
}

const installed = (command: string): boolean => spawnSync('sh', ['-c', `command -v ${command}`]).status === 0

/** The same namespaces, mounts, cgroups and exec, and nothing else. */
const FLOOR = `
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
static char stack[1 << 16] __attribute__((aligned(16)));
static char *root; static char **groups; static int count;
static int child(void *unused) {
  char path[512];
  for (int i = 0; i < count; i++) { snprintf(path, sizeof path, "%s/floor/tasks", groups[i]); int fd = open(path, O_WRONLY); if (fd < 0 || write(fd, "0", 1) != 1) perror(path); close(fd); }
  mount(0, "/", 0, MS_REC | MS_SLAVE, 0); mount(root, root, 0, MS_BIND | MS_REC, 0); chdir(root);
  mount("proc", "proc", "proc", 0, 0); mount("tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=755,size=65536k");
  mkdir("dev/pts", 0755); mkdir("dev/shm", 0755); mkdir("dev/mqueue", 0755);
  mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620");
  mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777"); mount("mqueue", "dev/mqueue", "mqueue", 0, 0);
  mount("sysfs", "sys", "sysfs", MS_RDONLY, 0);
  const char *names[] = {"null", "zero", "full", "random", "urandom"}; int minors[] = {3, 5, 7, 8, 9};
  for (int i = 0; i < 5; i++) { snprintf(path, sizeof path, "dev/%s", names[i]); mknod(path, S_IFCHR | 0666, makedev(1, minors[i])); }
  if (syscall(SYS_pivot_root, ".", ".")) perror("pivot_root");
  umount2(".", MNT_DETACH); chdir("/"); sethostname("floor", 5);
  execl("/bin/true", "true", (char *)0); _exit(127);
}
int main(int argc, char **argv) {
  root = argv[1]; groups = argv + 2; count = argc - 2; char path[512];
  for (int i = 0; i < count; i++) { snprintf(path, sizeof path, "%s/floor", groups[i]); mkdir(path, 0755); }
  int pid = clone(child, stack + sizeof stack, CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET | SIGCHLD, 0);
  if (pid < 0) { perror("clone"); return 1; }
  int status; waitpid(pid, &status, 0);
  for (int i = 0; i < count; i++) { snprintf(path, sizeof path, "%s/floor", groups[i]); for (int k = 0; k < 500 && rmdir(path); k++) usleep(200); }
  return WEXITSTATUS(status);
}
`

const alive = setInterval(() => {}, 1 << 30)
const rows: (readonly (string | number)[])[] = []
const note = (name: string, samples: readonly number[]): number => {
  const middle = median(samples)
  rows.push([name, middle, quantile(samples, 0.95)])
  return middle
}
const runtime = createRuntime({ root: join(folder, 'state') })
const start = async (id: string): Promise<void> => {
  await runtime.create({ id, bundle, spec: spec(['/bin/true'], id) })
  await runtime.start(id)
  await runtime.wait(id)
  await runtime.delete(id)
}

try {
  writeSpec(spec(['/bin/true']))
  openCgroup(group).create()
  const measured = new Map<string, number>()
  const keep = (name: string, samples: readonly number[]): void => void measured.set(name, note(name, samples))

  if (installed('gcc')) {
    writeFileSync(join(folder, 'floor.c'), FLOOR)
    execFileSync('gcc', ['-O2', '-o', join(folder, 'floor'), join(folder, 'floor.c')], { stdio: 'ignore' })
    const groups = openCgroup(group).folders.filter((path) => existsSync(join(path, 'tasks')))
    keep('bare C program', await sample(() => must(join(folder, 'floor'), [join(bundle, 'rootfs'), ...groups])))
  }
  keep('knarr, library', await sample(() => start('bench')))
  let launched = 0
  const toExit: number[] = []
  await sample(async () => {
    const id = `exit-${launched++}`
    const began = performance.now()
    await runtime.create({ id, bundle, spec: spec(['/bin/true'], id) })
    await runtime.start(id)
    await runtime.wait(id)
    toExit.push(performance.now() - began)
    await runtime.delete(id)
  })
  keep('knarr, library, start to exit', toExit.slice(3))
  // crun refuses a hybrid machine: it gets a mount namespace without the v2 hierarchy.
  const crun = installed('crun')
    ? ['unshare', '-m', '--propagation', 'private', 'sh', '-c', 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"', 'sh']
    : undefined
  const hybrid = existsSync('/sys/fs/cgroup/unified')
  const shell = async (words: readonly string[]): Promise<{ run(line: string): Promise<void>; end(): void }> => {
    const [command = '', ...args] = words
    const child = spawn(command, [...args, 'sh'], { stdio: ['pipe', 'pipe', 'inherit'] })
    return {
      async run(line) {
        child.stdin.write(`${line}; echo done $?\n`)
        const [chunk] = (await once(child.stdout, 'data')) as [Buffer]
        if (!chunk.toString().includes('done 0')) throw new Error(`${line}: ${chunk}`)
      },
      end: () => child.stdin.end(),
    }
  }
  const inside = crun && (await shell(hybrid ? crun : ['env']))
  const quiet = '</dev/null >/dev/null'
  if (inside) keep('crun run', await sample(() => inside.run(`crun --root ${folder}/crun run -b ${bundle} bench ${quiet}`)))
  if (installed('runc')) keep('runc run', await sample(() => must('runc', ['--root', join(folder, 'runc'), 'run', '-b', bundle, 'bench'])))
  const cli = join(home, 'knarr-oci')
  keep('knarr oci run', await sample(() => must(cli, ['--root', join(folder, 'oci'), 'run', '-b', bundle, 'bench']), Math.min(RUNS, 20)))

  // exec
  writeSpec(spec(['/bin/sleep', '1000'], 'exec'))
  await runtime.create({ id: 'exec', bundle, spec: spec(['/bin/sleep', '1000'], 'exec') })
  await runtime.start('exec')
  const process = { ...(await runtime.spec('exec')).process, cwd: '/', args: ['/bin/true'] }
  keep('knarr, library exec', await sample(async () => void (await (await runtime.exec('exec', { process })).wait())))
  const { pid: first = 0 } = await runtime.state('exec')
  const monitor = readFileSync(`/proc/${first}/stat`, 'utf8').split(') ')[1]?.split(' ')[1]
  const pss = Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${monitor}/smaps_rollup`, 'utf8'))?.[1])
  await runtime.delete('exec', { force: true })
  if (inside) {
    await inside.run(`crun --root ${folder}/crun run -d -b ${bundle} exec ${quiet}`)
    keep('crun exec', await sample(() => inside.run(`crun --root ${folder}/crun exec exec /bin/true ${quiet}`)))
    await inside.run(`crun --root ${folder}/crun delete -f exec ${quiet}`)
    inside.end()
  }

  // Throughput, and growth over many starts.
  const descriptors = (): number => readdirSync('/proc/self/fd').length
  const mounts = (): number => readFileSync('/proc/self/mountinfo', 'utf8').split('\n').length
  const before = { fds: descriptors(), mounts: mounts(), rss: globalThis.process.memoryUsage.rss() }
  const gate = limiter(8)
  const began = performance.now()
  await Promise.all(Array.from({ length: STARTS }, (_, i) => gate(() => start(`many-${i}`))))
  const perSecond = (STARTS * 1000) / (performance.now() - began)
  const growth = {
    fds: descriptors() - before.fds,
    mounts: mounts() - before.mounts,
    rss: globalThis.process.memoryUsage.rss() - before.rss,
  }
  const groupsLeft = openCgroup(group).folders.flatMap((path) =>
    readdirSync(path, { withFileTypes: true }).filter((one) => one.isDirectory()),
  ).length

  printTable(['run of /bin/true', 'median ms', 'p95 ms'], rows)
  console.log(`starts per second, 8 in flight: ${perSecond.toFixed(0)}; monitor: ${pss} kB PSS`)
  console.log(
    `after ${STARTS} starts: ${growth.fds} descriptors, ${growth.mounts} mounts, ${groupsLeft} cgroups, ${(growth.rss / 2 ** 20).toFixed(1)} MiB more`,
  )
  const ratio = (name: string, ours: string, peer: string, wanted: number): void => {
    const [a, b] = [measured.get(ours), measured.get(peer)]
    if (a === undefined || b === undefined) console.log(`AIM ${name}: not measured, ${peer} is not installed`)
    else printAim({ name, wanted: `${wanted} times faster`, measured: `${(b / a).toFixed(1)} times`, met: b / a >= wanted })
  }
  const atMost = (name: string, ours: string, peer: string, wanted: number): void => {
    const [a, b] = [measured.get(ours), measured.get(peer)]
    if (a === undefined || b === undefined) console.log(`AIM ${name}: not measured, ${peer} is not installed`)
    else printAim({ name, wanted: `at most ${wanted} times`, measured: `${(a / b).toFixed(2)} times`, met: a / b <= wanted })
  }
  ratio('start against crun run', 'knarr, library', 'crun run', 3)
  ratio('start against runc run', 'knarr, library', 'runc run', 6)
  atMost('start against a bare C program', 'knarr, library', 'bare C program', 2)
  ratio('exec against crun exec', 'knarr, library exec', 'crun exec', 3)
  atMost('command line against runc run', 'knarr oci run', 'runc run', 2.5)
  printAim({ name: 'monitor', wanted: 'below 64 kB PSS', measured: `${pss} kB`, met: pss < 64 })
  printAim({
    name: `growth after ${STARTS} starts`,
    wanted: 'no descriptor, mount or cgroup, and under 32 MiB (garbage not yet collected)',
    measured: `${growth.fds} descriptors, ${growth.mounts} mounts, ${groupsLeft} cgroups, ${(growth.rss / 2 ** 20).toFixed(1)} MiB`,
    met: growth.fds <= 0 && growth.mounts <= 0 && groupsLeft === 0 && growth.rss < 32 << 20,
  })
} finally {
  for (const { id } of await runtime.list()) await runtime.delete(id, { force: true })
  runtime.close()
  await openCgroup(group).kill()
  await openCgroup(group).delete()
  rmSync(folder, { recursive: true, force: true })
  clearInterval(alive)
}
