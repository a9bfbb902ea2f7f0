import t from 'tap'
import { deviceLine, planLimitsV1 } from './limits-v1.js'
import { blkioToIoWeight, planLimitsV2, sharesToWeight } from './limits-v2.js'
import type { CgroupResources, CgroupWrite } from './resources.js'

const lines = (writes: readonly CgroupWrite[]): string[] => writes.map(({ file, value }) => `${file} = ${value}`)

const usual: CgroupResources = {
  memory: { limit: 100, swap: 150, reservation: 50, swappiness: 10 },
  cpu: { shares: 1024, quota: 50_000, period: 100_000, cpus: '0-1', mems: '0' },
  pids: { limit: 32 },
  blockIO: { throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1000 }] },
}

t.test('v1: the usual limits', async (t) => {
  t.same(lines(planLimitsV1(usual)), [
    'memory.limit_in_bytes = 100',
    'memory.memsw.limit_in_bytes = 150',
    'memory.soft_limit_in_bytes = 50',
    'memory.swappiness = 10',
    'cpu.cfs_period_us = 100000',
    'cpu.cfs_quota_us = 50000',
    'cpu.shares = 1024',
    'cpuset.cpus = 0-1',
    'cpuset.mems = 0',
    'pids.max = 32',
    'blkio.throttle.read_bps_device = 8:0 1000',
  ])
})

t.test('v1: the swap limit is raised before the limit and lowered after it', async (t) => {
  const memory = { limit: 300, swap: 400 }
  t.same(lines(planLimitsV1({ memory }, { swapLimit: 200n })), ['memory.memsw.limit_in_bytes = 400', 'memory.limit_in_bytes = 300'])
  t.same(lines(planLimitsV1({ memory }, { swapLimit: 900n })), ['memory.limit_in_bytes = 300', 'memory.memsw.limit_in_bytes = 400'])
  t.same(lines(planLimitsV1({ memory: { limit: -1 } }, { swapLimit: 9n })), [
    'memory.memsw.limit_in_bytes = -1',
    'memory.limit_in_bytes = -1',
  ])
})

t.test('v2: the usual limits', async (t) => {
  t.same(lines(planLimitsV2(usual)), [
    'memory.swap.max = 50',
    'memory.max = 100',
    'memory.low = 50',
    'cpu.weight = 100',
    'cpu.max = 50000 100000',
    'cpuset.cpus = 0-1',
    'cpuset.mems = 0',
    'pids.max = 32',
    'io.max = 8:0 rbps=1000',
  ])
  t.same(lines(planLimitsV2({ cpu: { quota: -1 }, pids: { limit: -1 }, memory: { limit: -1 } })), [
    'memory.swap.max = max',
    'memory.max = max',
    'cpu.max = max',
    'pids.max = max',
  ])
})

t.test('weights keep their ends and their middle', async (t) => {
  t.same([0, 2, 1024, 262_144].map(sharesToWeight), [1, 1, 100, 10_000])
  t.same([10, 1000].map(blkioToIoWeight), [1, 10_000])
})

t.test('unified: written last on v2, refused on v1 and for names that leave the group', async (t) => {
  t.same(lines(planLimitsV2({ pids: { limit: 1 }, unified: { 'memory.high': '5' } })), ['pids.max = 1', 'memory.high = 5'])
  const io = { 'io.max': '7:0 riops=333\n7:1 riops=555\n' }
  t.same(lines(planLimitsV2({ unified: io })), ['io.max = 7:0 riops=333', 'io.max = 7:1 riops=555'], 'a line with each write')
  t.throws(() => planLimitsV1({ unified: { 'memory.high': '5' } }), /needs cgroup v2/)
  for (const bad of ['../x.y', 'a/b.c', '', 'nodot']) t.throws(() => planLimitsV2({ unified: { [bad]: '1' } }), bad)
})

t.test('wrong values are refused before anything is written', async (t) => {
  t.throws(() => planLimitsV1({ memory: { swappiness: 101 } }), /0 to 100/)
  t.throws(() => planLimitsV2({ memory: { limit: 100, swap: 50 } }), /may not be below/)
  t.throws(() => planLimitsV2({ memory: { swap: 50 } }), /memory.limit/)
  t.throws(() => deviceLine({ allow: true, type: 'x' }), /type "x"/)
  t.throws(() => deviceLine({ allow: true, type: 'c', access: 'rq' }), /access "rq"/)
})

t.test('device rules as v1 lines', async (t) => {
  t.equal(deviceLine({ allow: false, access: 'rwm' }), 'a')
  t.equal(deviceLine({ allow: true, type: 'c', major: 1, minor: 3, access: 'rw' }), 'c 1:3 rw')
  t.equal(deviceLine({ allow: true, type: 'b', major: 8 }), 'b 8:* rwm')
})

t.test('a device rule: letters of access, and one that says nothing', async (t) => {
  const rule = { allow: false, type: 'c', major: 1, minor: 11 }
  t.equal(deviceLine({ ...rule, access: 'rwa' }), 'c 1:11 rw')
  t.equal(deviceLine({ ...rule, access: 'a' }), 'c 1:11 rwm')
})
