import t from 'tap'
import { cgroupPath, parseCgroupMounts, systemdCgroupPath } from './layout.js'

let ids = 100
const line = (mount: string, type: string, options: string, parent = 23, id = ++ids): string =>
  `${id} ${parent} 0:28 / ${mount} rw,relatime - ${type} ${type} rw,${options}`

t.test('the mount table tells v1, v2 and hybrid machines apart', async (t) => {
  const v2 = parseCgroupMounts(line('/sys/fs/cgroup', 'cgroup2', 'nsdelegate'), () => ['cpu', 'memory'])
  t.equal(v2.mode, 'v2')
  t.same(v2.v2, { mount: '/sys/fs/cgroup', controllers: ['cpu', 'memory'] })

  const v1 = parseCgroupMounts(
    [
      line('/cg/cpu,cpuacct', 'cgroup', 'cpu,cpuacct'),
      line('/cg/my\\040mem', 'cgroup', 'memory'),
      line('/cg/systemd', 'cgroup', 'xattr,name=systemd'),
    ].join('\n'),
    () => [],
  )
  t.equal(v1.mode, 'v1')
  t.same(v1.v1, { cpu: '/cg/cpu,cpuacct', cpuacct: '/cg/cpu,cpuacct', memory: '/cg/my mem' })
  t.same(v1.named, { systemd: '/cg/systemd' })

  const both = [line('/cg/memory', 'cgroup', 'memory'), line('/cg/unified', 'cgroup2', '')].join('\n')
  t.equal(parseCgroupMounts(both, () => []).mode, 'hybrid')
  t.throws(() => parseCgroupMounts(line('/proc', 'proc', ''), () => []), /no cgroup file system is mounted/)
})

t.test('mounts that another one covers do not count', async (t) => {
  const root = ['1 1 0:2 / / rw - rootfs rootfs rw', '23 1 254:0 / / rw - ext4 /dev/vda rw', '24 23 0:20 / /sys rw - sysfs sysfs rw']
  const v1 = [line('/sys/fs/cgroup', 'tmpfs', '', 24, 25), line('/sys/fs/cgroup/memory', 'cgroup', 'memory', 25, 26)]
  const layout = (...lines: string[]) => parseCgroupMounts([...root, ...v1, ...lines, ''].join('\n'), () => ['pids'])
  t.equal(layout().mode, 'v1')
  const v2 = { mode: 'v2', v1: {}, v2: { mount: '/sys/fs/cgroup' } }
  t.match(layout(line('/sys/fs/cgroup', 'cgroup2', '', 25)), v2, 'at the same place')
  t.match(layout('40 24 0:21 / /sys rw - sysfs sysfs rw', line('/sys/fs/cgroup', 'cgroup2', '', 40)), v2, 'above')
  const again = [line('/sys/fs/cgroup', 'tmpfs', '', 40, 41), line('/sys/fs/cgroup/pids', 'cgroup', 'pids', 41, 42)]
  t.same(layout('40 24 0:21 / /sys rw - sysfs sysfs rw', ...again).v1, { pids: '/sys/fs/cgroup/pids' }, 'and made anew')
})

t.test('paths stay beneath the root', async (t) => {
  t.equal(cgroupPath('a//b/'), '/a/b')
  for (const bad of ['', '/', '..', '/a/../../b', 'a\0b']) t.throws(() => cgroupPath(bad), bad)
})

t.test('systemd notation becomes nested slices', async (t) => {
  t.equal(systemdCgroupPath('a-b.slice:knarr:c1'), '/a.slice/a-b.slice/knarr-c1.scope')
  t.equal(systemdCgroupPath(':cri:x'), '/system.slice/cri-x.scope')
  t.equal(systemdCgroupPath('-.slice::pod.slice'), '/pod.slice')
  for (const bad of ['/plain/path', 'a::', 'a--b.slice:x:y', 'a/b.slice:x:y', 'nope:x:y', 'a.slice:x:../../y'])
    t.throws(() => systemdCgroupPath(bad), bad)
})
