import t from 'tap'
import { cgroupPath, parseCgroupMounts, systemdCgroupPath } from './layout.js'

const line = (mount: string, type: string, options: string): string => `31 23 0:28 / ${mount} rw,relatime - ${type} ${type} rw,${options}`

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
