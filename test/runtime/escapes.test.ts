// Ways out of a container that other runtimes once had, each by its CVE. Needs root.
import { lstatSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { MountSpec } from '../../src/runtime/index.js'
import { leftovers, scene, skip } from './scene.js'

const proc: MountSpec = { destination: '/proc', type: 'proc', source: 'proc' }

t.test('CVE-2019-5736: /proc/self/exe of the runtime is no file of the host', { skip }, async (t) => {
  const s = scene(t)
  // A program of the image that is a link to whoever executes it.
  symlinkSync('/proc/self/exe', join(s.rootfs, 'bin/own-exe'))
  const node = statSync(process.execPath)
  const { output } = await s.run(
    s.spec(['/bin/own-exe'], {
      process: {
        args: [
          'sh',
          '-c',
          '(echo overwritten > /proc/self/exe) 2>&1; readlink /proc/self/exe; for p in /proc/[0-9]*; do readlink $p/exe; done',
        ],
      },
    }),
  )
  t.notMatch(output, /node/)
  // Executed directly, the link is our own launcher: a sealed file in memory.
  await s.runtime.create({
    id: 'a',
    bundle: s.bundle,
    spec: s.spec(['sleep', '1000'], { spec: { root: { path: 'rootfs', readonly: false } } }),
  })
  await s.runtime.start('a')
  const out = s.output()
  try {
    const started = await s.runtime.exec('a', { process: { cwd: '/', args: ['/proc/self/exe'] }, stdio: out.stdio })
    await started.wait()
  } catch {
    // A launcher that is executed anew finds nothing that it was given: any end is fine.
  }
  await s.runtime.delete('a', { force: true })
  t.same([statSync(process.execPath).size, statSync(process.execPath).mtimeMs], [node.size, node.mtimeMs])
  t.same(await leftovers(s), [])
})

t.test('CVE-2019-19921, CVE-2023-27561: /proc and /sys are not mounted through a symlink', { skip }, async (t) => {
  const s = scene(t)
  rmSync(join(s.rootfs, 'proc'), { recursive: true })
  mkdirSync(join(s.rootfs, 'elsewhere'))
  symlinkSync('elsewhere', join(s.rootfs, 'proc'))
  await t.rejects(s.run(s.spec(['true'])), { message: /mount \/proc: .*E(LOOP|EXIST|NOTDIR)/ })
  t.same(await leftovers(s), [])
})

t.test('CVE-2021-30465, CVE-2024-45310: mounts and their folders stay beneath the root whatever symlinks say', { skip }, async (t) => {
  const s = scene(t)
  const outside = join(s.folder, 'outside')
  mkdirSync(outside)
  for (const [name, target] of [
    ['absolute', outside],
    ['climbing', `../../../../../../../../..${outside}`],
  ] as const) {
    symlinkSync(target, join(s.rootfs, name))
    const mounts = [
      proc,
      { destination: `/${name}`, type: 'tmpfs', source: 'tmpfs' },
      { destination: `/${name}/new/deep`, type: 'tmpfs', source: 'tmpfs' },
    ]
    await s.run(s.spec(['true'], { spec: { mounts } })).catch(() => {})
    await s
      .run(
        s.spec(['true'], {
          spec: { mounts: [proc, { destination: `/${name}/file`, type: 'bind', source: '/etc/hostname', options: ['bind'] }] },
        }),
      )
      .catch(() => {})
    t.throws(() => lstatSync(join(outside, 'new')), { code: 'ENOENT' }, name)
    t.throws(() => lstatSync(join(outside, 'file')), { code: 'ENOENT' }, name)
  }
  t.notOk(readFileSync('/proc/self/mountinfo', 'utf8').includes(outside))
  t.same(await leftovers(s), [])
})

t.test('CVE-2024-21626: no descriptor of the host, and no working folder through one', { skip }, async (t) => {
  const s = scene(t)
  for (let fd = 3; fd < 20; fd++) {
    await t.rejects(
      s.runtime.create({ id: 'a', bundle: s.bundle, spec: s.spec(['true'], { process: { cwd: `/proc/self/fd/${fd}` } }) }),
      { message: /working folder/ },
      String(fd),
    )
  }
  await s.runtime.create({ id: 'a', bundle: s.bundle, spec: s.spec(['sleep', '1000']) })
  await s.runtime.start('a')
  for (let fd = 3; fd < 12; fd++) {
    await t.rejects(
      s.runtime.exec('a', { process: { cwd: `/proc/self/fd/${fd}`, args: ['/bin/true'] } }),
      { message: /working folder/ },
      `exec ${fd}`,
    )
  }
  symlinkSync('/proc/self/fd/7/..', join(s.rootfs, 'tmp/way-out'))
  await t.rejects(s.runtime.exec('a', { process: { cwd: '/tmp/way-out', args: ['/bin/true'] } }), { message: /working folder/ })
  const out = s.output()
  const started = await s.runtime.exec('a', { process: { cwd: '/', args: ['/bin/ls', '/proc/self/fd'] }, stdio: out.stdio })
  await started.wait()
  t.equal(out.text(), '0\n1\n2\n3\n', '3 is the folder that ls reads')
  await s.runtime.delete('a', { force: true })
  t.same(await leftovers(s), [])
})

t.test("CVE-2025-31133: what hides a path is the host's /dev/null", { skip }, async (t) => {
  const s = scene(t)
  const trap = join(s.folder, 'trap')
  writeFileSync(trap, 'trap')
  // The image's own /dev/null leads elsewhere; /dev is not a mount of its own here.
  symlinkSync('/proc/sysrq-trigger', join(s.rootfs, 'dev/null'))
  const { output } = await s.run(s.spec(['sh', '-c', 'stat -c %t:%T /proc/keys; cat /proc/keys | wc -c'], { spec: { mounts: [proc] } }))
  t.equal(output, '1:3\n0\n')
  t.same(await leftovers(s), [])
})

t.test('CVE-2025-52565: /dev/console is not mounted through a symlink', { skip }, async (t) => {
  const s = scene(t)
  const devpts: MountSpec = { destination: '/dev/pts', type: 'devpts', source: 'devpts', options: ['newinstance', 'ptmxmode=0666'] }
  symlinkSync('/proc/sys/kernel/core_pattern', join(s.rootfs, 'dev/console'))
  await t.rejects(
    s.runtime.create({
      id: 'a',
      bundle: s.bundle,
      spec: s.spec(['true'], { process: { terminal: true }, spec: { mounts: [proc, devpts] } }),
    }),
    {
      message: /mount \/dev\/console/,
    },
  )
  unlinkSync(join(s.rootfs, 'dev/console'))
  t.same(await leftovers(s), [])
})

t.test("CVE-2025-52881: settings are written through the host's /proc, whatever the container put over its own", { skip }, async (t) => {
  const s = scene(t)
  const fake = join(s.folder, 'fake')
  mkdirSync(join(fake, 'sys/net/ipv4'), { recursive: true })
  mkdirSync(join(fake, 'self/attr'), { recursive: true })
  const decoy = join(fake, 'sys/net/ipv4/ip_unprivileged_port_start')
  writeFileSync(decoy, 'untouched')
  writeFileSync(join(fake, 'self/oom_score_adj'), 'untouched')
  const mounts: MountSpec[] = [
    { destination: '/proc', type: 'bind', source: fake, options: ['rbind'] },
    { destination: '/real', type: 'proc', source: 'proc' },
  ]
  const { output } = await s.run(
    s.spec(['sh', '-c', 'cat /real/sys/net/ipv4/ip_unprivileged_port_start /real/self/oom_score_adj'], {
      process: { oomScoreAdj: 500 },
      spec: { mounts },
      linux: { sysctl: { 'net.ipv4.ip_unprivileged_port_start': '77' }, maskedPaths: [], readonlyPaths: [] },
    }),
  )
  t.equal(output, '77\n500\n')
  t.equal(readFileSync(decoy, 'utf8'), 'untouched')
  t.equal(readFileSync(join(fake, 'self/oom_score_adj'), 'utf8'), 'untouched')
  t.same(await leftovers(s), [])
})
