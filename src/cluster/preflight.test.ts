import t from 'tap'
import { type Facts, preflight } from './preflight.js'

const good: Facts = {
  uid: 0,
  kernel: '6.1.0-18-amd64',
  filesystems: 'nodev\tsysfs\nnodev\toverlay\n\text4\n',
  swaps: 'Filename\tType\tSize\tUsed\tPriority\n',
  hasCgroups: true,
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
    [{ kernel: '4.19.0' }, 'error', /kernel is 4\.19\.0: version 5\.4 or newer/],
    [{ kernel: '5.3.18' }, 'error', /version 5\.4/],
    [{ hasCgroups: false }, 'error', /no control groups are mounted: mount them/],
    [{ filesystems: 'ext4\n' }, 'warning', /no overlayfs/],
    [{ nodeName: 'My_Host' }, 'error', /"My_Host" is no node name: use lower-case/],
    [{ busyPorts: [6443] }, 'error', /port 6443 is taken by another program/],
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
