// What a container takes over from its root and from the host: environment, folders under a tmpfs, network links, processors. Needs root.
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { MountSpec, Spec } from '../../src/runtime/index.js'
import { hierarchies } from '../../src/runtime/plan/cgroup-mount.js'
import { cgroupLayout, openCgroup, withNetwork } from '../../src/sys/index.js'
import { leftovers, scene, skip } from './scene.js'

const proc: MountSpec = { destination: '/proc', type: 'proc', source: 'proc' }

t.test("HOME is the container's own, each name of the environment stands once", { skip }, async (t) => {
  const s = scene(t)
  writeFileSync(join(s.folder, 'secret'), 'root:x:0:0::/stolen:/bin/sh\n')
  writeFileSync(join(s.rootfs, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\nother:x:7:7::/home/other:/bin/sh\n')
  const home = async (env: readonly string[], uid = 0): Promise<string> =>
    (
      await s.run(
        s.spec(['/bin/sh', '-c', 'env | sort | tr "\\n" " "'], { process: { env: ['PATH=/bin', ...env], user: { uid, gid: 0 } } }),
      )
    ).output
  t.match(await home([]), /^HOME=\/root PATH=\/bin /)
  t.match(await home([], 7), /^HOME=\/home\/other /)
  t.match(await home([], 8), /^HOME=\/ /)
  t.match(await home(['HOME=/x', 'A=1', 'A=2']), /^A=2 HOME=\/x PATH/)
  t.match(await home(['HOME=']), /^HOME=\/root /)
  // What is mounted over the file counts, and a link leads nowhere but into the root.
  const mounted = join(s.folder, 'passwd')
  writeFileSync(mounted, 'root:x:0:0::/mounted:/bin/sh\n')
  const mounts: MountSpec[] = [proc, { destination: '/etc/passwd', type: 'bind', source: mounted, options: ['bind'] }]
  t.equal((await s.run(s.spec(['sh', '-c', 'echo $HOME'], { spec: { mounts } }))).output, '/mounted\n')
  await s.runtime.create({ id: 'a', bundle: s.bundle, spec: s.spec(['sleep', '1000']) })
  await s.runtime.start('a')
  const out = s.output()
  const process = { cwd: '/', args: ['/bin/sh', '-c', 'echo $HOME'], user: { uid: 7, gid: 7 } }
  await (await s.runtime.exec('a', { process, stdio: out.stdio })).wait()
  t.equal(out.text(), '/home/other\n')
  await s.runtime.delete('a', { force: true })
  symlinkSync(join(s.folder, 'secret'), join(s.rootfs, 'etc/passwd.new'))
  const { renameSync } = await import('node:fs')
  renameSync(join(s.rootfs, 'etc/passwd.new'), join(s.rootfs, 'etc/passwd'))
  t.match(await home([]), /^HOME=\/ /)
  t.same(await leftovers(s), [])
})

t.test('a tmpfs takes over mode and, with tmpcopyup, content of what it hides', { skip }, async (t) => {
  const s = scene(t)
  mkdirSync(join(s.rootfs, 'data/deep'), { recursive: true })
  chmodSync(join(s.rootfs, 'data'), 0o2710)
  chmodSync(join(s.rootfs, 'data/deep'), 0o1777)
  writeFileSync(join(s.rootfs, 'data/deep/file'), 'content', { mode: 0o644 })
  chownSync(join(s.rootfs, 'data/deep/file'), 12, 34)
  symlinkSync('/etc/hostname', join(s.rootfs, 'data/link'))
  const look =
    'stat -c "%a %u:%g" /data /data/deep /data/deep/file; readlink /data/link; cat /data/deep/file; echo new > /data/new && echo written'
  const tmpfs = (...options: readonly string[]): MountSpec[] => [proc, { destination: '/data', type: 'tmpfs', source: 'tmpfs', options }]
  const plain = await s.run(s.spec(['sh', '-c', 'stat -c %a /data; ls /data'], { spec: { mounts: tmpfs() } }))
  t.equal(plain.output, '2710\n')
  const given = await s.run(s.spec(['stat', '-c', '%a', '/data'], { spec: { mounts: tmpfs('mode=1500') } }))
  t.equal(given.output, '1500\n')
  const wanted = '2710 0:0\n1777 0:0\n644 12:34\n/etc/hostname\ncontentwritten\n'
  t.equal((await s.run(s.spec(['sh', '-c', look], { spec: { mounts: tmpfs('tmpcopyup') } }))).output, wanted)
  t.notOk(existsSync(join(s.rootfs, 'data/new')))
  // In a user namespace the copies belong to those that the files belong to there.
  const maps = [
    { containerID: 0, hostID: 0, size: 1 },
    { containerID: 1, hostID: 300_001, size: 1000 },
  ]
  const base = s.spec(['sh', '-c', look], { spec: { mounts: tmpfs('tmpcopyup') } })
  chownSync(join(s.rootfs, 'data/deep/file'), 300_012, 300_034)
  const inside = {
    ...base.linux,
    namespaces: [...(base.linux?.namespaces ?? []), { type: 'user' as const }],
    uidMappings: maps,
    gidMappings: maps,
  }
  t.equal((await s.run({ ...base, linux: inside })).output, wanted)
  t.same(await leftovers(s), [])
})

t.test('network links move in with their addresses', { skip }, async (t) => {
  const s = scene(t)
  const name = `kt${process.pid}`
  withNetwork(undefined, (host) => {
    host.addLink({ name, kind: 'veth', mtu: 1789, mac: '02:11:22:33:44:55', peer: { name: `${name}p`, up: true } })
    host.addAddress({ link: host.link(name).index, address: '169.254.169.77/32' })
  })
  t.teardown(() => withNetwork(undefined, (host) => host.deleteLink(`${name}p`)))
  const spec = s.spec(['sh', '-c', 'ip address show dev inside'], { linux: { netDevices: { [name]: { name: 'inside' } } } })
  const { output } = await s.run(spec)
  t.match(output, /inside(@\w+)?: <.*UP.*> mtu 1789/)
  t.match(output, /02:11:22:33:44:55/)
  t.match(output, /inet 169\.254\.169\.77\/32/)
  await t.rejects(s.run(spec), { message: new RegExp(`there is no link "${name}"`) }, 'it went with the namespace')
  await t.rejects(s.run({ ...spec, linux: { ...spec.linux, namespaces: [{ type: 'mount' }] }, hostname: '' }), {
    message: /netDevices: want a network namespace/,
  })
  t.same(await leftovers(s), [])
})

t.test('processors: those of the cpuset whatever ours are; for exec first and last', { skip }, async (t) => {
  const s = scene(t)
  const all = /^Cpus_allowed_list:\s+(.*)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? ''
  if (all === '0') return t.comment('one processor only: nothing to choose from')
  const show = ['sh', '-c', 'sed -n "s/^Cpus_allowed_list:[[:space:]]*//p" /proc/self/status']
  await s.runtime.create({ id: 'a', bundle: s.bundle, spec: s.spec(['sleep', '1000']) })
  await s.runtime.start('a')
  const run = async (execCPUAffinity?: { initial?: string; final?: string }): Promise<string> => {
    const out = s.output()
    const process = { cwd: '/', args: show, env: ['PATH=/bin'], ...(execCPUAffinity ? { execCPUAffinity } : {}) }
    await (await s.runtime.exec('a', { process, stdio: out.stdio })).wait()
    return out.text().trim()
  }
  t.equal(await run(), all)
  t.equal(await run({ initial: '0' }), all)
  t.equal(await run({ initial: '0', final: '1' }), '1')
  await s.runtime.delete('a', { force: true })
  t.same(await leftovers(s), [])
})

t.test('a folder that only root may enter, a shared mount, a masked path named twice', { skip }, async (t) => {
  const s = scene(t)
  mkdirSync(join(s.rootfs, 'closed'), { mode: 0o700 })
  for (const name of ['one', 'two']) mkdirSync(join(s.rootfs, name))
  const user = { process: { cwd: '/closed', user: { uid: 42, gid: 42 } } }
  t.equal((await s.run(s.spec(['sh', '-c', 'pwd'], user))).output, '/closed\n')
  const mounts: MountSpec[] = [proc, { destination: '/shared', type: 'bind', source: s.folder, options: ['bind', 'shared'] }]
  const { output } = await s.run(s.spec(['grep', ' /shared ', '/proc/self/mountinfo'], { spec: { mounts } }))
  t.match(output, / shared:\d+/, 'letting go of the old root does not reach it')
  const masked = await s.run(
    s.spec(['sh', '-c', 'grep -c /one /proc/self/mounts; ls /one /two; touch /one/x || stat -c %d /one /two | uniq | wc -l'], {
      linux: { maskedPaths: ['/one', '/two', '/one'] },
      spec: { mounts: [proc] },
    }),
  )
  t.match(masked.output, /^1\n\/one:\n\n\/two:\ntouch: \/one\/x: Read-only file system\n[12]\n$/)
  t.same(await leftovers(s), [])
})

t.test('a group that is in use is not taken, and 0 processes are 1', { skip }, async (t) => {
  const s = scene(t)
  const group = `${s.cgroups}/busy`
  const spec = s.spec(['sleep', '1000'], { linux: { cgroupsPath: group, resources: { pids: { limit: 0 } } } })
  await s.runtime.create({ id: 'a', bundle: s.bundle, spec })
  t.equal(openCgroup(group).limits().pids, 1)
  await t.rejects(s.runtime.create({ id: 'b', bundle: s.bundle, spec }), { message: /container's cgroup is not empty: 1 process/ })
  t.equal((await s.runtime.state('a')).status, 'created', 'its owner lives on')
  await s.runtime.delete('a', { force: true })
  t.same(await leftovers(s), [])
})

t.test("without a pid namespace of its own every process ends with the first one's SIGKILL", { skip }, async (t) => {
  const s = scene(t)
  const base = s.spec(['sleep', '1000'])
  const spec = { ...base, linux: { ...base.linux, namespaces: (base.linux?.namespaces ?? []).filter(({ type }) => type !== 'pid') } }
  await s.runtime.create({ id: 'a', bundle: s.bundle, spec })
  await s.runtime.start('a')
  const other = await s.runtime.exec('a', { process: { cwd: '/', args: ['/bin/sleep', '1000'] } })
  await s.runtime.kill('a', 'KILL')
  t.match(await other.wait(), { signal: 9 })
  t.match(await s.runtime.wait('a'), { signal: 9 })
  await t.rejects(s.runtime.kill('a', 0), { message: /container not running/ })
  await s.runtime.kill('a', 0, { all: true })
  await s.runtime.delete('a')
  t.same(await leftovers(s), [])
})

t.test('a mount of type cgroup shows the group, in each hierarchy, as the namespaces have it', { skip }, async (t) => {
  const s = scene(t)
  const layout = cgroupLayout()
  const names = hierarchies(layout).map(({ name }) => name)
  const maps = [{ containerID: 0, hostID: 100_000, size: 65_536 }]
  for (const own of [true, false]) {
    for (const user of [true, false]) {
      for (const access of ['ro', 'rw']) {
        const what = `${own ? 'own' : "host's"} cgroup namespace, ${user ? 'own' : "host's"} user namespace, ${access}`
        const base = s.spec(['cat', '/proc/self/mountinfo'])
        const namespaces = (base.linux?.namespaces ?? []).filter(({ type }) => own || type !== 'cgroup')
        const spec: Spec = {
          ...base,
          mounts: (base.mounts ?? []).map((mount) =>
            mount.type === 'cgroup' ? { ...mount, options: ['nosuid', 'noexec', 'nodev', access] } : mount,
          ),
          linux: {
            ...base.linux,
            namespaces: user ? [...namespaces, { type: 'user' }] : namespaces,
            ...(user ? { uidMappings: maps, gidMappings: maps } : {}),
          },
        }
        const { output } = await s.run(spec)
        const found = output
          .split('\n')
          .filter((line) => / - cgroup2? /.test(line))
          .map((line) => line.split(' '))
          .map(([, , , root, point, options]) => [point, root, options?.split(',').slice(0, 4).join(',')])
        const places = layout.mode === 'v2' ? ['/sys/fs/cgroup'] : names.map((name) => `/sys/fs/cgroup/${name}`)
        const root = own ? '/' : spec.linux?.cgroupsPath
        t.same(new Set(found.map(String)), new Set(places.map((place) => `${place},${root},${access},nosuid,nodev,noexec`)), what)
      }
    }
  }
  t.same(await leftovers(s), [])
})
