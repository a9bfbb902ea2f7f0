// A container on a machine with cgroup v2 alone: each command in a mount namespace whose cgroup tree is v2's, over whatever was there. Needs root.
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Process } from '../../src/runtime/index.js'
import { execProgram } from '../../src/runtime/plan/exec.js'
import { cgroupLayout } from '../../src/sys/index.js'
import { leftovers, scene, skip } from './scene.js'

const binary = join(import.meta.dirname, '../../../knarr-oci')
const noV2 = skip || (cgroupLayout().v2 ? false : 'no cgroup v2')

t.test('cgroup v2 alone: birth, view, devices, exec, pause, kill, delete', { skip: noV2 }, async (t) => {
  const s = scene(t)
  const covered = 'mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$0" "$@"'
  const output = join(s.folder, 'said')
  const inV2 = (...argv: readonly string[]): { code: number | null; out: string } => {
    // Into a file: a container that lives on must not hold the pipe that we read to its end.
    const into = `{ ${covered}; } >"${output}" 2>&1 </dev/null`
    const { status } = spawnSync('unshare', ['--mount', 'sh', '-c', into, ...argv], { timeout: 60_000 })
    return { code: status, out: spawnSync('cat', [output], { encoding: 'utf8' }).stdout }
  }
  const oci = (...args: readonly string[]) => inV2(binary, '--root', join(s.folder, 'oci'), ...args)
  const group = `/sys/fs/cgroup${s.cgroups}/v2`
  const file = (name: string): string => inV2('cat', `${group}/${name}`).out

  const view =
    'grep ^0: /proc/self/cgroup; test -e /sys/fs/cgroup/cgroup.procs && echo own; ls /sys/fs/cgroup | grep -c memory.limit_in_bytes'
  const spec = s.spec(['sh', '-c', `${view}; exec sleep 1000`], {
    process: { capabilities: { bounding: ['CAP_MKNOD'], effective: ['CAP_MKNOD'], permitted: ['CAP_MKNOD'] } },
    linux: {
      cgroupsPath: `${s.cgroups}/v2`,
      resources: { devices: [{ allow: false, access: 'rwm' }] },
    },
  })
  writeFileSync(join(s.bundle, 'config.json'), JSON.stringify(spec))
  t.equal(oci('run', '--detach', '--bundle', s.bundle, 'a').code, 0)
  t.teardown(() => oci('delete', '--force', 'a'))
  t.equal(file('cgroup.procs').trim(), String((JSON.parse(oci('state', 'a').out) as { pid: number }).pid), 'born into its group')
  t.same(oci('exec', 'a', 'sh', '-c', view).out, '0::/\nown\n0\n', 'and another process, which sees that group as the whole tree')
  const devices = 'mknod /dev/log c 1 11 && echo made; head -c 1 /dev/log; echo x >/dev/null && echo null'
  t.match(oci('exec', 'a', 'sh', '-c', devices).out, /^made\nhead: .*Operation not permitted\nnull\n$/, 'a filter of devices')
  t.equal(oci('pause', 'a').code, 0)
  t.match(file('cgroup.events'), /frozen 1/)
  t.match(oci('state', 'a').out, /"paused"/)
  t.equal(oci('resume', 'a').code, 0)
  t.match(file('cgroup.events'), /frozen 0/)
  t.equal(oci('delete', '--force', 'a').code, 0)
  t.equal(inV2('test', '-e', group).code, 1, 'the group is gone')
  t.equal(inV2('rmdir', `/sys/fs/cgroup${s.cgroups}`).code, 0, 'and nothing else was made beneath its parent')
  t.same(await leftovers(s), [])
})

t.test('exec enters the cgroup namespace only after birth: with nsdelegate the kernel would refuse it', { skip }, async (t) => {
  const spec = scene(t).spec(['true'])
  const { blocks } = execProgram({
    process: spec.process as Process,
    spec,
    cgroup: { files: [], directory: '/sys/fs/cgroup/a' },
    restrictOomScoreAdj: undefined,
    seccomp: undefined,
    env: [],
    preserveFds: 0,
    consoleSocket: false,
  })
  const CLONE_NEWCGROUP = 0x2000000
  const entered = (label: string): number => {
    const steps = blocks.find((block) => block.label === label)?.steps ?? []
    return steps.filter(({ call }) => call === 'setns').reduce((bits, { args }) => bits | Number(args[1]), 0)
  }
  t.equal(entered('launcher') & CLONE_NEWCGROUP, 0)
  t.not(entered('launcher'), 0)
  t.equal(entered('first'), CLONE_NEWCGROUP)
})
