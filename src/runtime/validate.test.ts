import t from 'tap'
import { exampleSpec } from './oci/documents.js'
import { problemText, validateSpec } from './validate.js'

const valid = exampleSpec({ rootless: false })

t.test('what we write ourselves is right', async (t) => {
  t.same(validateSpec(valid), [])
  t.same(validateSpec(exampleSpec({ rootless: true })), [])
  t.same(validateSpec({ ...valid, futureField: { any: 'thing' } }), [], 'unknown fields are ignored')
})

t.test('names of fields count in any letters, those of maps as they are', async (t) => {
  const text = JSON.stringify({ ...valid, annotations: { Type: 'a', type: 'b' } }).replace('"hostname"', '"hostName"')
  const read = JSON.parse(text.replace('"noNewPrivileges"', '"nonewprivileges"')) as typeof valid
  t.same(validateSpec(read), [])
  t.equal(read.hostname, valid.hostname)
  t.equal(read.process?.noNewPrivileges, true)
  t.same(read.annotations, { Type: 'a', type: 'b' })
  const limits = { hugepageLimits: [{ pagesize: 2, limit: 0 }] }
  t.equal(
    problemText(validateSpec({ ...valid, linux: { ...valid.linux, resources: limits } })),
    'linux.resources.hugepageLimits[0].pageSize: want a string',
  )
})

t.test('each mistake names its path and what was expected', async (t) => {
  const { process, linux } = valid
  const cases: readonly (readonly [unknown, string | RegExp])[] = [
    [null, 'config.json: want an object'],
    [{ ...valid, ociVersion: undefined }, 'ociVersion: want a value: it is required'],
    [{ ...valid, ociVersion: '2.0.0' }, 'ociVersion: want a version 1.x.y'],
    [{ ...valid, root: undefined }, 'root: want a value: it is required'],
    [{ ...valid, root: { path: '' } }, 'root.path: want a path'],
    [{ ...valid, process: { ...process, cwd: 'relative' } }, 'process.cwd: want an absolute path'],
    [{ ...valid, process: { ...process, args: [] } }, 'process.args: want at least the program to run'],
    [{ ...valid, process: { ...process, args: ['a', 1] } }, 'process.args[1]: want a string without NUL'],
    [{ ...valid, process: { ...process, env: ['NOVALUE'] } }, 'process.env[0]: want NAME=VALUE'],
    [{ ...valid, process: { ...process, user: { uid: -1, gid: 0 } } }, 'process.user.uid: want an integer from 0 to 4294967294'],
    [
      { ...valid, process: { ...process, rlimits: [{ type: 'RLIMIT_NOFILE', soft: 5, hard: 4 }] } },
      'process.rlimits[0].soft: want at most the hard limit 4',
    ],
    [
      { ...valid, linux: { ...linux, memoryPolicy: { nodes: '0' } } },
      /^linux\.memoryPolicy\.mode: want one of MPOL_DEFAULT, .*invalid memory policy mode ""$/,
    ],
    [
      { ...valid, linux: { ...linux, memoryPolicy: { mode: 'MPOL_DEFAULT', nodes: '0-7' } } },
      'linux.memoryPolicy.nodes: want none: this mode requires 0 nodes but got 8',
    ],
    [
      { ...valid, linux: { ...linux, memoryPolicy: { mode: 'MPOL_BIND', nodes: '0-9876543210' } } },
      /^linux\.memoryPolicy\.nodes: .*invalid memory policy nodes/,
    ],
    [
      { ...valid, linux: { ...linux, memoryPolicy: { mode: 'MPOL_BIND', nodes: '0', flags: ['x'] } } },
      /^linux\.memoryPolicy\.flags: .*invalid memory policy flag "x"$/,
    ],
    [
      { ...valid, linux: { ...linux, personality: { domain: 'LINUX', flags: ['X'] } } },
      'linux.personality.flags: want an empty array: no flags are defined',
    ],
    [{ ...valid, mounts: [{ destination: '/x', options: ['bind'] }] }, 'mounts[0].source: want the path that shall be bound'],
    [{ ...valid, mounts: [{ destination: '/x/../..', type: 'tmpfs' }] }, 'mounts[0].destination: want a path without ".."'],
    [
      { ...valid, hooks: { prestart: [{ path: 'x', timeout: 0 }] } },
      'hooks.prestart[0].path: want an absolute path; hooks.prestart[0].timeout: want seconds above 0',
    ],
    [
      { ...valid, linux: { ...linux, namespaces: [{ type: 'net' }] }, hostname: '' },
      'linux.namespaces[0].type: want one of user, pid, network, mount, ipc, uts, cgroup, time',
    ],
    [
      { ...valid, linux: { ...linux, namespaces: [{ type: 'pid' }, { type: 'pid' }] }, hostname: '' },
      'linux.namespaces[1].type: want each type once: pid was there before',
    ],
    [{ ...valid, linux: { ...linux, cgroupsPath: '../../x' } }, 'linux.cgroupsPath: want a path without ".."'],
    [{ ...valid, linux: { ...linux, resources: { memory: { limit: 'much' } } } }, 'linux.resources.memory.limit: want an integer'],
    [
      { ...valid, linux: { ...linux, uidMappings: [{ containerID: 0, hostID: 1, size: 1 }] } },
      'linux.uidMappings: want a user namespace in linux.namespaces',
    ],
  ]
  const notify = validateSpec({
    ...valid,
    linux: { ...linux, seccomp: { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['mkdir'], action: 'SCMP_ACT_NOTIFY' }] } },
  })
  t.match(problemText(notify), /^linux\.seccomp\.listenerPath: want the socket of a supervisor/)
  for (const [spec, message] of cases) t.match(problemText(validateSpec(spec)), message)
})

t.test("settings of the machine are not the container's to make", async (t) => {
  const of = (key: string, types: readonly string[]): number =>
    validateSpec({ ...valid, hostname: '', linux: { namespaces: types.map((type) => ({ type })), sysctl: { [key]: '1' } } }).length
  t.equal(of('net.ipv4.ip_forward', ['network']), 0)
  t.equal(of('net.ipv4.ip_forward', []), 1)
  t.equal(of('kernel.shmmax', ['ipc']), 0)
  t.equal(of('kernel/shmmax', []), 1)
  for (const key of ['kernel.core_pattern', 'vm.overcommit_memory', '../x', 'net..x']) t.ok(of(key, ['network', 'ipc', 'uts']) > 0, key)
})
