// What the specification lets a container have, looked at from inside. Needs root.
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { MountSpec, Spec } from '../../src/runtime/index.js'
import { leftovers, scene, skip } from './scene.js'

const proc: MountSpec = { destination: '/proc', type: 'proc', source: 'proc' }

t.test('user, groups, umask, limits, capabilities, environment', { skip }, async (t) => {
  const s = scene(t)
  const caps = ['CAP_NET_BIND_SERVICE', 'CAP_CHOWN']
  const { output } = await s.run(
    s.spec(
      ['sh', '-c', 'id -u; id -g; id -G; umask; ulimit -n; pwd; echo $NAME; grep Cap /proc/self/status; cat /proc/self/oom_score_adj'],
      {
        process: {
          user: { uid: 1000, gid: 1001, umask: 0o077, additionalGids: [5, 6] },
          rlimits: [{ type: 'RLIMIT_NOFILE', soft: 99, hard: 100 }],
          cwd: '/tmp',
          env: ['PATH=/bin', 'NAME=value'],
          oomScoreAdj: 700,
          capabilities: { bounding: caps, permitted: caps, inheritable: caps, effective: caps, ambient: ['CAP_CHOWN'] },
        },
      },
    ),
  )
  t.equal(
    output,
    '1000\n1001\n1001 5 6\n0077\n99\n/tmp\nvalue\nCapInh:\t0000000000000401\nCapPrm:\t0000000000000001\nCapEff:\t0000000000000001\nCapBnd:\t0000000000000401\nCapAmb:\t0000000000000001\n700\n',
  )
  t.same(await leftovers(s), [])
})

t.test('a user namespace with maps', { skip }, async (t) => {
  const s = scene(t)
  const maps = [{ containerID: 0, hostID: 200_000, size: 65_536 }]
  const base = s.spec(['sh', '-c', 'cat /proc/self/uid_map; id -u; echo > /dev/null && echo null; mount -t tmpfs x /tmp && echo mounted'])
  const spec = {
    ...base,
    root: { path: 'rootfs' },
    linux: {
      ...base.linux,
      namespaces: [...(base.linux?.namespaces ?? []), { type: 'user' as const }],
      uidMappings: maps,
      gidMappings: maps,
    },
    process: {
      ...base.process,
      cwd: '/',
      capabilities: { bounding: ['CAP_SYS_ADMIN'], permitted: ['CAP_SYS_ADMIN'], effective: ['CAP_SYS_ADMIN'] },
    },
  }
  const { code, output } = await s.run(spec)
  t.match(output, /^ +0 +200000 +65536\n0\nnull\nmounted\n$/)
  t.equal(code, 0)

  // A second container joins the namespaces of the first, as those of a pod do; exec goes there too.
  const sleeping = { ...spec, process: { ...spec.process, args: ['sleep', '1000'] } }
  await s.runtime.create({ id: 'first', bundle: s.bundle, spec: sleeping })
  await s.runtime.start('first')
  const { pid = 0 } = await s.runtime.state('first')
  t.match(readFileSync(`/proc/${pid}/status`, 'utf8'), /Uid:\t200000\t/)
  const join = (type: 'user' | 'network' | 'ipc' | 'uts', name: string): { type: typeof type; path: string } => ({
    type,
    path: `/proc/${pid}/ns/${name}`,
  })
  const second = await s.run({
    ...spec,
    hostname: '',
    process: { ...spec.process, args: ['sh', '-c', 'readlink /proc/self/ns/user; readlink /proc/self/ns/net; id -u; hostname'] },
    linux: {
      ...base.linux,
      cgroupsPath: `${s.cgroups}/second`,
      namespaces: [
        { type: 'pid' },
        { type: 'mount' },
        { type: 'cgroup' },
        join('user', 'user'),
        join('network', 'net'),
        join('ipc', 'ipc'),
        join('uts', 'uts'),
      ],
    },
  })
  const { readlinkSync } = await import('node:fs')
  t.equal(second.output, `${readlinkSync(`/proc/${pid}/ns/user`)}\n${readlinkSync(`/proc/${pid}/ns/net`)}\n0\nknarr\n`)
  const out = s.output()
  const inside = await s.runtime.exec('first', {
    process: { cwd: '/', args: ['/bin/sh', '-c', 'id -u; cat /proc/self/uid_map'] },
    stdio: out.stdio,
  })
  t.match(await inside.wait(), { exitCode: 0 })
  t.match(out.text(), /^0\n +0 +200000/)
  await s.runtime.delete('first', { force: true })
  t.same(await leftovers(s), [])
})

t.test('mount options: ro, rro, rw over a read-only root, nosuid, propagation, files, tmpfs', { skip }, async (t) => {
  const s = scene(t)
  const data = join(s.folder, 'data')
  mkdirSync(data)
  writeFileSync(join(data, 'file'), 'content\n')
  symlinkSync('/jump/deep/file', join(s.rootfs, 'dangling'))
  symlinkSync('../made/here', join(s.rootfs, 'jump'))
  const mounts: MountSpec[] = [
    proc,
    { destination: '/ro', type: 'bind', source: data, options: ['rbind', 'ro', 'nosuid'] },
    { destination: '/rw/deep', type: 'bind', source: data, options: ['rbind', 'rw', 'rprivate'] },
    { destination: '/rro', type: 'bind', source: data, options: ['rbind', 'rro'] },
    { destination: '/one/file', type: 'bind', source: join(data, 'file'), options: ['bind', 'ro'] },
    { destination: '/scratch', type: 'tmpfs', source: 'tmpfs', options: ['size=1m', 'mode=1777', 'noexec'] },
    { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['mode=755', 'ro'] },
    { destination: '/dangling', type: 'bind', source: join(data, 'file'), options: ['bind'] },
    { destination: '/relative', type: 'bind', source: 'rootfs/etc', options: ['bind'] },
  ]
  const { output } = await s.run(
    s.spec(
      [
        'sh',
        '-c',
        'cat /one/file /made/here/deep/file; echo x > /dev/null; touch /dev/x; for f in /ro/x /rw/deep/x /rro/x /scratch/x /one/file; do (echo 1 > $f) 2>/dev/null && echo wrote $f; done; grep -E " (/ro|/scratch) " /proc/self/mounts',
      ],
      {
        spec: { mounts },
      },
    ),
  )
  t.match(output, /^content\ncontent\ntouch: \/dev\/x: Read-only file system\nwrote \/rw\/deep\/x\nwrote \/scratch\/x\n/)
  t.match(output, / \/ro .*ro,nosuid/)
  t.match(output, / \/scratch tmpfs rw,noexec/)
  t.ok(existsSync(join(data, 'x')))
  t.same(await leftovers(s), [])
})

t.test('idmapped mounts: files of one owner seen as those of another', { skip }, async (t) => {
  const s = scene(t)
  const data = join(s.folder, 'data')
  mkdirSync(data)
  writeFileSync(join(data, 'file'), '')
  const maps = [{ containerID: 0, hostID: 300_000, size: 1000 }]
  const mounts: MountSpec[] = [
    proc,
    { destination: '/plain', type: 'bind', source: data, options: ['bind'] },
    { destination: '/mapped', type: 'bind', source: data, options: ['bind', 'idmap'], uidMappings: maps, gidMappings: maps },
  ]
  const { output } = await s.run(s.spec(['sh', '-c', 'stat -c %u:%g /plain/file /mapped/file'], { spec: { mounts } }))
  t.equal(output, '0:0\n300000:300000\n')

  // Without maps of its own a mount has those of the container, also when the container joins the namespace of another.
  const own = (path?: string): Partial<NonNullable<Spec['linux']>> => ({
    namespaces: [...(s.spec([]).linux?.namespaces ?? []), { type: 'user', ...(path ? { path } : {}) }],
    ...(path ? {} : { uidMappings: maps, gidMappings: maps }),
  })
  const implied: MountSpec[] = [proc, { destination: '/mapped', type: 'bind', source: data, options: ['bind', 'idmap'] }]
  const show = ['stat', '-c', '%u:%g', '/mapped/file']
  const holder = await s.runtime.create({ id: 'holder', bundle: s.bundle, spec: s.spec(['sleep', '1000'], { linux: own() }) })
  await s.runtime.start('holder')
  const joins = own(`/proc/${holder.pid}/ns/user`)
  for (const linux of [own(), joins]) t.equal((await s.run(s.spec(show, { spec: { mounts: implied }, linux }))).output, '0:0\n')
  await s.runtime.delete('holder', { force: true })
  t.same(await leftovers(s), [])
})

t.test('sysctls, time offsets, domain name, personality, devices, seccomp', { skip }, async (t) => {
  const s = scene(t)
  const base = s.spec([])
  const { output, code } = await s.run(
    s.spec(
      [
        'sh',
        '-c',
        'cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/domainname; cut -d. -f1 /proc/uptime; uname -m; stat -c "%t:%T %a" /dev/extra /dev/sub/fifo; mkdir /tmp/x 2>&1',
      ],
      {
        spec: { domainname: 'example.org', root: { path: 'rootfs' } },
        linux: {
          namespaces: [...(base.linux?.namespaces ?? []), { type: 'time' }],
          timeOffsets: { boottime: { secs: 1_000_000_000 } },
          sysctl: { 'net.ipv4.ip_unprivileged_port_start': '80' },
          personality: { domain: 'LINUX32' },
          devices: [
            { type: 'c', path: '/dev/extra', major: 1, minor: 3, fileMode: 0o640 },
            { type: 'p', path: '/dev/sub/fifo', fileMode: 0o600 },
          ],
          seccomp: { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 30 }] },
        },
      },
    ),
  )
  t.match(output, /^80\nexample.org\n10\d{8}\ni[3-6]86|^80\nexample.org\n10\d{8}\narm/)
  t.match(output, /\n1:3 640\n0:0 600\n/)
  t.match(output, /mkdir: .*Read-only file system/)
  t.equal(code, 1)
  t.same(await leftovers(s), [])
})

t.test('hooks: each kind where and when it belongs, with the state on its input', { skip }, async (t) => {
  const s = scene(t)
  const log = join(s.folder, 'hooks')
  writeFileSync(
    join(s.rootfs, 'inside'),
    '#!/bin/sh\necho "startContainer $(hostname) $MINE $(cat) $(test -e /proc/self/fd && echo self)" > /hook; mkdir /tmp/x || true\n',
    {
      mode: 0o755,
    },
  )
  const outside = (kind: string): { path: string; args: string[]; env: string[] } => ({
    path: '/bin/sh',
    args: ['sh', '-c', `echo "${kind} $(hostname) $X $(cat)" >> ${log}`],
    env: ['X=1', 'PATH=/usr/bin:/bin'],
  })
  const spec = s.spec(['cat', '/hook'], {
    process: { env: ['PATH=/bin', 'MINE=yes'] },
    linux: { seccomp: { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO' }] } },
    spec: {
      root: { path: 'rootfs' },
      annotations: { note: 'yes' },
      hooks: {
        prestart: [outside('prestart')],
        createRuntime: [outside('createRuntime')],
        createContainer: [
          outside('createContainer'),
          { path: '/bin/sh', args: ['sh', '-c', 'touch ./bin/here'], env: ['PATH=/usr/bin:/bin'] },
        ],
        startContainer: [{ path: '/inside' }],
        poststart: [outside('poststart')],
        poststop: [outside('poststop'), { path: '/does/not/exist' }],
      },
    },
  })
  const { output } = await s.run(spec, 'hooked')
  const lines = readFileSync(log, 'utf8').trim().split('\n')
  t.same(
    lines.map((line) => line.split(' ')[0]),
    ['prestart', 'createRuntime', 'createContainer', 'poststart', 'poststop'],
  )
  const state = (line = ''): Record<string, unknown> => JSON.parse(line.slice(line.indexOf('{'))) as Record<string, unknown>
  t.match(state(lines[0]), { ociVersion: '1.3.0', id: 'hooked', status: 'creating', bundle: s.bundle, annotations: { note: 'yes' } })
  t.ok(Number(state(lines[0]).pid) > 1)
  t.equal(state(lines[3]).status, 'running')
  t.equal(state(lines[4]).status, 'stopped')
  t.equal(lines[2]?.split(' ')[1], 'knarr', 'createContainer sees the container')
  t.not(lines[1]?.split(' ')[1], 'knarr', 'createRuntime does not')
  t.match(output, /^startContainer knarr yes \{.*"status":"created"/, 'with the environment of the process')
  t.match(output, /\} self\n$/, 'in the pid namespace')
  t.notOk(existsSync(join(s.rootfs, 'tmp/x')), 'and behind its filter')
  t.ok(existsSync(join(s.rootfs, 'bin/here')), 'createContainer begins in the root')
  await t.rejects(
    s.runtime.create({ id: 'bad', bundle: s.bundle, spec: { ...spec, hooks: { createRuntime: [{ path: '/bin/false' }] } } }),
    {
      message: 'error running createRuntime hook #0: /bin/false',
    },
  )
  await t.rejects(
    s.runtime.create({
      id: 'slow',
      bundle: s.bundle,
      spec: { ...spec, hooks: { prestart: [{ path: '/bin/sleep', args: ['sleep', '1000'], timeout: 1 }] } },
    }),
    {
      cause: { message: 'took longer than 1 s' },
    },
  )
  t.same(await leftovers(s), [])
})
