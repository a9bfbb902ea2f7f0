import t from 'tap'
import { type Facts, preflight } from './preflight.js'

const good: Facts = {
  uid: 0,
  kernel: '6.1.0-18-amd64',
  filesystems: 'nodev\tsysfs\nnodev\toverlay\n\text4\n',
  swaps: 'Filename\tType\tSize\tUsed\tPriority\n',
  missing: [],
  missingLinks: [],
  controllers: ['cpu', 'memory', 'pids'],
  appArmorWithoutParser: false,
  freeBytes: 10 * 2 ** 30,
  memoryBytes: 4 * 2 ** 30,
  nodeName: 'node-1',
  busyPorts: [],
  now: Date.UTC(2026, 10, 1),
}

t.test('a good machine has no findings', async (t) => {
  t.same(preflight(good), [])
})

t.test('each fault is named together with its mend', async (t) => {
  const cases: readonly (readonly [Partial<Facts>, 'error' | 'warning', RegExp])[] = [
    [{ uid: 1000 }, 'error', /needs root: run it with sudo/],
    [{ kernel: '4.19.0' }, 'error', /kernel is 4\.19\.0: version 5\.12 or newer/],
    [{ kernel: '5.10.0-28-amd64' }, 'error', /version 5\.12/],
    [{ controllers: [] }, 'error', /no control groups are mounted: mount them/],
    [{ controllers: ['cpu', 'pids'] }, 'error', /control groups lack memory: boot with "cgroup_enable=memory"/],
    [{ missing: ['net namespaces'] }, 'error', /kernel has no net namespaces/],
    [{ missingLinks: ['veth'] }, 'error', /no veth links, which pods need; "modprobe veth"/],
    [{ missingLinks: ['vxlan'] }, 'warning', /no vxlan links: only nodes on one network/],
    [{ appArmorWithoutParser: true }, 'warning', /AppArmor and apparmor_parser is missing: .*install the package apparmor/],
    [{ filesystems: 'ext4\n' }, 'warning', /no overlayfs/],
    [{ nodeName: 'My_Host' }, 'error', /"My_Host" is no node name: use lower-case/],
    [{ busyPorts: [{ port: 6443 }] }, 'error', /port 6443 is taken by another program/],
    [{ busyPorts: [{ port: 10250, program: 'kubelet (process 7)' }] }, 'error', /port 10250 is taken by kubelet \(process 7\): stop it/],
    [{ freeBytes: 5 * 2 ** 20 }, 'error', /has 5 MiB left: free at least 200 MiB/],
    [{ memoryBytes: 2 ** 28 }, 'warning', /256 MiB of memory/],
    [{ swaps: 'Filename\n/dev/sda2 partition 1 0 -2\n' }, 'warning', /swap is on/],
    [{ now: 0 }, 'error', /clock stands before 2026/],
  ]
  for (const [fault, severity, message] of cases) {
    const findings = preflight({ ...good, ...fault })
    t.equal(findings.length, 1, JSON.stringify(fault))
    t.equal(findings[0]?.severity, severity)
    t.match(findings[0]?.message, message)
  }
})
