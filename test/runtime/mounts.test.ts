// Bind mounts and the flags of what they show, sources that earlier mounts make, and a root that is moved instead of pivoted. Needs root.
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Containers } from '../../src/runtime/containers.js'
import type { MountSpec, Spec } from '../../src/runtime/index.js'
import { leftovers, type Scene, scene, skip } from './scene.js'

const proc: MountSpec = { destination: '/proc', type: 'proc', source: 'proc' }

const inUserNamespace = (spec: Spec): Spec => {
  const maps = [{ containerID: 0, hostID: 100_000, size: 65_536 }]
  const namespaces = [...(spec.linux?.namespaces ?? []), { type: 'user' as const }]
  return { ...spec, linux: { ...spec.linux, namespaces, uidMappings: maps, gidMappings: maps } }
}

/** A tmpfs of the host whose flags a test sets anew each time. */
function hostMount(t: { teardown(fn: () => unknown): unknown }, s: Scene): (words: string) => string {
  const path = join(s.folder, 'host')
  mkdirSync(path)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'strictatime', 'tmpfs', path])
  t.teardown(() => execFileSync('umount', [path]))
  return (words) => {
    execFileSync('mount', ['--bind', '-o', 'remount,rw,suid,dev,exec,diratime,atime,strictatime', path])
    execFileSync('mount', ['--bind', '-o', `remount,${words}`, path])
    return path
  }
}

t.test('a bind mount keeps, clears and may not clear the flags of its source', { skip }, async (t) => {
  const s = scene(t)
  const host = hostMount(t, s)
  const show = async (flags: string, words: string, change = (spec: Spec): Spec => spec): Promise<string> => {
    const mounts: MountSpec[] = [proc, { destination: '/tmp', type: 'bind', source: host(flags), options: words.split(',') }]
    const { output } = await s.run(
      change(s.spec(['sed', '-n', 's:^[^ ]* /tmp [^ ]* \\([^ ]*\\).*:\\1:p', '/proc/mounts'], { spec: { mounts } })),
    )
    const options = output.trim().split(',')
    return ['ro', 'rw', 'nosuid', 'nodev', 'noexec', 'noatime', 'nodiratime', 'relatime'].filter((word) => options.includes(word)).join(',')
  }
  for (const [flags, words, outside, inside] of [
    ['ro,noexec,nodiratime', 'bind', 'ro,noexec,nodiratime,relatime', 'same'],
    ['ro,noexec', 'bind,dev', 'rw', 'ro,noexec'],
    ['ro', 'bind,nosuid,rprivate', 'rw,nosuid', 'ro,nosuid'],
    ['ro', 'bind,rw', 'rw', 'refused'],
    ['nosuid,nodev,noexec,noatime', 'bind,ro', 'ro,noatime', 'ro,nosuid,nodev,noexec,noatime'],
    ['nodev', 'bind,rprivate', 'rw,nodev', 'same'],
    ['noatime', 'bind,atime', 'rw,noatime', 'same'],
    ['noatime', 'bind,relatime', 'rw,relatime', 'refused'],
    ['noatime', 'bind,nodiratime', 'rw,nodiratime,relatime', 'refused'],
    ['nodiratime', 'bind,strictatime', 'rw', 'refused'],
    ['strictatime', 'bind,relatime', 'rw,relatime', 'refused'],
    ['relatime', 'bind,relatime', 'rw,relatime', 'same'],
    ['noatime', 'rbind,rnorelatime', 'rw,relatime', 'refused'],
    ['ro', 'rbind,rrw', 'rw', 'refused'],
  ] as const) {
    t.equal(await show(flags, words), outside, `${words} of ${flags}`)
    if (inside === 'refused')
      await t.rejects(
        show(flags, words, inUserNamespace),
        { message: /mount \/tmp: .*: operation not permitted/ },
        `${words} of ${flags} is refused`,
      )
    else t.equal(await show(flags, words, inUserNamespace), inside === 'same' ? outside : inside, `${words} of ${flags}, user namespace`)
  }
  t.same(await leftovers({ ...s, folder: s.bundle }), [])
})

t.test('no right in a user namespace changes what comes from the host', { skip }, async (t) => {
  const s = scene(t)
  const hostTmpfs = (name: string, words: string): string => {
    const path = join(s.folder, name)
    mkdirSync(path)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=777', 'tmpfs', path])
    t.teardown(() => execFileSync('umount', ['-R', path]))
    mkdirSync(join(path, 'below'))
    writeFileSync(join(path, 'below/hidden'), 'hidden')
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', join(path, 'below')])
    execFileSync('mount', ['--bind', '-o', `remount,${words}`, path])
    // Its root may make nothing in the root folder.
    mkdirSync(join(s.rootfs, name))
    return path
  }
  const locked = 'ro,nosuid,nodev,noexec'
  const shared = hostTmpfs('shared', 'rw')
  execFileSync('mount', ['--make-rshared', shared])
  const bind = (source: string, destination: string, words: string): MountSpec => ({
    destination,
    type: 'bind',
    source,
    options: ['rbind', ...words.split(',')],
  })
  const mounts = [
    proc,
    { destination: '/dev', type: 'tmpfs', source: 'tmpfs' },
    { destination: '/tmp', type: 'tmpfs', source: 'tmpfs' },
    bind(hostTmpfs('theirs', locked), '/theirs', 'defaults'),
    bind(hostTmpfs('asked', 'rw'), '/asked', locked),
    bind(hostTmpfs('tree', 'rw'), '/tree', 'rro,rnosuid,rnodev,rnoexec'),
    bind(shared, '/shared', 'rw'),
  ]
  const script = `
    deny() { "$@" 2>/dev/null && echo "allowed: $*"; }
    for place in /theirs /asked /tree /tree/below; do
      for words in rw,nosuid,nodev,noexec ro,suid,nodev,noexec ro,nosuid,dev,noexec ro,nosuid,nodev,exec; do
        deny mount -o remount,bind,$words $place
      done
      deny touch $place/new
    done
    for place in /theirs /asked /tree /shared; do
      deny umount $place/below
      deny cat $place/below/hidden
      deny mount --bind $place /tmp
    done
    mount -t tmpfs none /shared/below && touch /shared/below/from-within && echo mounted`
  const all = ['CAP_SYS_ADMIN', 'CAP_DAC_OVERRIDE', 'CAP_SYS_CHROOT', 'CAP_MKNOD', 'CAP_FOWNER', 'CAP_CHOWN']
  const capabilities = { bounding: all, permitted: all, effective: all }
  const spec = inUserNamespace(s.spec(['sh', '-c', script], { process: { capabilities }, spec: { mounts } }))
  t.equal((await s.run(spec)).output, 'mounted\n')
  t.same(readdirSync(join(shared, 'below')), [], 'nothing is mounted on the host')
  t.same(await leftovers({ ...s, folder: s.bundle }), [])
})

t.test('the source of a bind mount may be what an earlier one has made', { skip }, async (t) => {
  const s = scene(t)
  for (const name of ['a/x', 'b/y']) {
    mkdirSync(join(s.folder, name), { recursive: true })
    writeFileSync(join(s.folder, name, 'file'), name)
  }
  const bind = (source: string, destination: string): MountSpec => ({ destination, type: 'bind', source, options: ['rbind'] })
  const mounts = [
    bind(join(s.folder, 'a'), '/tmp'),
    bind(join(s.folder, 'b'), '/tmp/x'),
    bind(join(s.rootfs, 'tmp/x/y'), '/made/tree'),
    bind(join(s.rootfs, 'tmp/x/y/file'), join(s.rootfs, 'made/file')),
  ]
  const spec = s.spec(['cat', '/made/tree/file', '/made/file'], { spec: { mounts } })
  t.equal((await s.run(spec)).output, 'b/yb/y')
  t.equal((await s.run(inUserNamespace(spec))).output, 'b/yb/y', 'user namespace')
  const missing = s.spec(['true'], { spec: { mounts: [...mounts, bind(join(s.rootfs, 'tmp/x/none'), '/made/none')] } })
  await t.rejects(s.run(missing), { message: /mounts\[4\]\.source: cannot use .*ENOENT/ })
  t.same(await leftovers(s), [])
})

t.test('without pivot_root no whole proc of the host is left to make new ones by', { skip }, async (t) => {
  const s = scene(t)
  class Moving extends Containers {
    override context(): ReturnType<Containers['context']> {
      return { ...super.context(), noPivot: true }
    }
  }
  const runtime = new Moving({ root: join(s.folder, 'moved') })
  t.teardown(() => runtime.close())
  const all = ['CAP_SYS_ADMIN', 'CAP_SETFCAP', 'CAP_SETUID', 'CAP_SETGID']
  const capabilities = { bounding: all, permitted: all, effective: all }
  const spec = s.spec(['unshare', '-mrpf', 'mount', '-t', 'proc', 'none', '/proc'], { process: { capabilities } })
  const out = s.output()
  await runtime.create({ id: 'a', bundle: s.bundle, spec, stdio: out.stdio })
  await runtime.start('a')
  t.not((await runtime.wait('a')).exitCode, 0)
  await runtime.delete('a')
  t.match(out.text(), /permission denied|Operation not permitted/)
  t.same(await leftovers(s), [])
})

t.test('a program that its rights alone let it execute is found', { skip }, async (t) => {
  const s = scene(t)
  const program = join(s.rootfs, 'bin/only-root')
  writeFileSync(program, '#!/bin/sh\necho ran\n')
  chmodSync(program, 0o744)
  chownSync(program, 0, 0)
  const user = { uid: 1000, gid: 100 }
  await t.rejects(s.run(s.spec(['only-root'], { process: { user } })), { message: /permission denied/ })
  const all = ['CAP_DAC_OVERRIDE']
  const capabilities = { bounding: all, permitted: all, effective: all, inheritable: all, ambient: all }
  t.equal((await s.run(s.spec(['only-root'], { process: { user, capabilities } }))).output, 'ran\n')
  t.same(await leftovers(s), [])
})

t.test('a user namespace is joined together with namespaces of others', { skip }, async (t) => {
  const s = scene(t)
  const first = inUserNamespace(s.spec(['sleep', '1000'], { linux: { timeOffsets: { monotonic: { secs: 7881 } } } }))
  const namespaces = [...(first.linux?.namespaces ?? []), { type: 'time' as const }]
  await s.runtime.create({ id: 'target', bundle: s.bundle, spec: { ...first, linux: { ...first.linux, namespaces } } })
  await s.runtime.start('target')
  const { pid } = await s.runtime.state('target')
  const base = s.spec(['sh', '-c', 'cat /proc/self/timens_offsets; readlink /proc/self/ns/net'], {
    linux: {
      namespaces: [
        { type: 'mount' },
        { type: 'pid', path: `/proc/${pid}/ns/pid` },
        { type: 'user', path: `/proc/${pid}/ns/user` },
        { type: 'time', path: `/proc/${pid}/ns/time` },
        // The host's own: the user namespace has no rights in it.
        { type: 'network', path: '/proc/self/ns/net' },
      ],
    },
    spec: { mounts: [proc, { destination: '/dev', type: 'tmpfs', source: 'tmpfs' }], hostname: '' },
  })
  const { output } = await s.run(base)
  t.match(output, /^monotonic +7881 +0$/m)
  t.match(output, new RegExp(execFileSync('readlink', ['/proc/self/ns/net'], { encoding: 'utf8' }).trim().replace(/[[\]]/g, '\\$&')))
  await s.runtime.delete('target', { force: true })
  t.same(await leftovers(s), [])
})
