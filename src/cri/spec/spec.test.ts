import t from 'tap'
import type { Spec } from '../../runtime/index.js'
import type { ContainerConfig } from '../types.js'
import { ALL_CAPABILITIES, DEFAULT_CAPABILITIES, planCapabilities } from './capabilities.js'
import { applyCdi, type CdiFile, cdiEdits } from './cdi.js'
import { cleanPath, containerMounts, type MountFacts } from './mounts.js'
import { checkUserNamespace, containerNamespaces, sandboxNamespaces } from './namespaces.js'
import { processArgs, processEnv } from './process.js'
import { mergeResources, ociResources } from './resources.js'
import { sandboxSpec } from './sandbox.js'
import { defaultSeccomp, parseSeccompProfile } from './seccomp.js'
import { resolveUser } from './users.js'

const config = (more: Partial<ContainerConfig> = {}): ContainerConfig => ({ metadata: { name: 'c' }, image: { image: 'i' }, ...more })

t.test('capabilities', async (t) => {
  const known = ALL_CAPABILITIES
  const plan = (want: Parameters<typeof planCapabilities>[0], privileged = false) => planCapabilities(want, { privileged, known }).permitted
  t.strictSame([...plan(undefined)].sort(), [...DEFAULT_CAPABILITIES].sort())
  t.strictSame(plan({ dropCapabilities: ['ALL'], addCapabilities: ['net_bind_service'] }), ['CAP_NET_BIND_SERVICE'])
  t.strictSame(plan({ addCapabilities: ['ALL'] }), known)
  t.strictSame(plan({}, true), known)
  t.strictSame(planCapabilities({ addAmbientCapabilities: ['SYS_TIME'] }, { privileged: false, known }).ambient, ['CAP_SYS_TIME'])
  t.throws(() => plan({ dropCapabilities: ['NONSENSE'] }), /NONSENSE/)
  t.notOk(planCapabilities({ addCapabilities: ['BPF'] }, { privileged: false, known: known.slice(0, 30) }).permitted.includes('CAP_BPF'))
})

t.test('users', async (t) => {
  const files = {
    passwd: 'root:x:0:0:root:/root:/bin/sh\nweb:x:100:101::/srv:/bin/sh\nbroken\n',
    group: 'root:x:0:\nweb:x:101:\nmore:x:200:web,other\n',
  }
  const user = (wish: Partial<Parameters<typeof resolveUser>[0]>) => resolveUser({ imageUser: '', ...wish }, files)
  t.strictSame(user({}), { uid: 0, gid: 0, additionalGids: [0], home: '/root' })
  t.strictSame(user({ imageUser: 'web' }), { uid: 100, gid: 101, additionalGids: [101, 200], home: '/srv' })
  t.match(user({ imageUser: 'web:more' }), { uid: 100, gid: 200 })
  t.match(user({ imageUser: '7:8' }), { uid: 7, gid: 8, home: '/' })
  t.match(user({ imageUser: 'web', runAsUser: 0 }), { uid: 0, gid: 0 })
  t.match(user({ imageUser: 'web:more', runAsUser: 100 }), { uid: 100, gid: 101 })
  t.throws(() => user({ imageUser: 'web:none' }), /none/)
})

t.test('command and environment', async (t) => {
  const image = { Entrypoint: ['/entry'], Cmd: ['a', 'b'], Env: ['PATH=/x', 'A=1', 'B='] }
  t.strictSame(processArgs(config(), image), ['/entry', 'a', 'b'])
  t.strictSame(processArgs(config({ args: ['c'] }), image), ['/entry', 'c'])
  t.strictSame(processArgs(config({ command: ['/other'] }), image), ['/other'])
  t.throws(() => processArgs(config(), {}), /nothing to run/)
  const env = processEnv(config({ envs: [{ key: 'A', value: 'x=y' }], tty: true }), image, { hostname: 'h', home: '/root' })
  t.strictSame(env, ['PATH=/x', 'HOSTNAME=h', 'TERM=xterm', 'A=x=y', 'B=', 'HOME=/root'])
})

const facts: MountFacts = {
  paths: { hosts: '/s/hosts', hostname: '/s/hostname', resolvConf: '/s/resolv.conf', shm: '/s/shm' },
  hostNetwork: false,
  hostIpc: false,
  userNamespace: false,
  images: new Map(),
  volumes: new Map([['/var/lib/data', '/v/0']]),
}

t.test('mounts: outer before inner, the asked over the usual', async (t) => {
  const mounts = containerMounts(
    config({
      mounts: [
        { containerPath: '/a/b/c', hostPath: '/1' },
        { containerPath: '/a/', hostPath: '/2', readonly: true, propagation: 'PROPAGATION_HOST_TO_CONTAINER' },
        { containerPath: '/dev/shm', hostPath: '/3' },
      ],
    }),
    facts,
  )
  const at = mounts.map(({ destination }) => destination)
  t.ok(at.indexOf('/a') < at.indexOf('/a/b/c') && at.indexOf('/proc') < at.indexOf('/a'))
  t.equal(mounts.filter(({ destination }) => destination === '/dev/shm').length, 1)
  t.strictSame(mounts.find(({ destination }) => destination === '/a')?.options, ['rbind', 'rslave', 'ro'])
  t.ok(at.includes('/var/lib/data'))
  t.throws(() => containerMounts(config({ mounts: [{ containerPath: '/x', hostPath: '/y', recursiveReadOnly: true }] }), facts), /readonly/)
  t.strictSame(['/a//b/../c/', '', '../x'].map(cleanPath), ['/a/c', '/', '/x'])
})

t.test('namespaces', async (t) => {
  const sandbox = { pausePid: 7, netns: '/n', targetPid: undefined, cgroupNamespace: false }
  t.strictSame(sandboxNamespaces({ network: 'NODE', pid: 'NODE', ipc: 'NODE' }, undefined), [{ type: 'mount' }])
  t.match(containerNamespaces(undefined, sandbox), [
    { type: 'mount' },
    { type: 'pid', path: '/proc/7/ns/pid' },
    { type: 'ipc' },
    { path: '/n' },
  ])
  t.match(containerNamespaces({ pid: 'TARGET' }, { ...sandbox, targetPid: 9 })[1], { path: '/proc/9/ns/pid' })
  t.throws(() => containerNamespaces({ pid: 'TARGET', targetId: 'x' }, sandbox), /"x"/)
  const map = { containerId: 0, hostId: 1000, length: 10 }
  t.doesNotThrow(() => checkUserNamespace({ usernsOptions: { mode: 'POD', uids: [map], gids: [map] } }))
  t.throws(() => checkUserNamespace({ usernsOptions: { mode: 'POD', uids: [map, map], gids: [map] } }), /uids/)
  t.throws(() => checkUserNamespace({ usernsOptions: { mode: 'TARGET' } }), /TARGET/)
})

t.test('resources', async (t) => {
  t.strictSame(ociResources({ cpuShares: 2, cpuQuota: 0, memoryLimitInBytes: 5, cpusetCpus: '' }), {
    cpu: { shares: 2 },
    memory: { limit: 5 },
  })
  t.strictSame(mergeResources({ cpuShares: 1, memoryLimitInBytes: 2 }, { cpuShares: 9, cpuQuota: 0 }), {
    cpuShares: 9,
    memoryLimitInBytes: 2,
    unified: {},
  })
  t.throws(() => ociResources({ hugepageLimits: [{ pageSize: '2', limit: 1 }] }), /hugepage/)
})

t.test('the pause process has nothing but namespaces', async (t) => {
  const spec = sandboxSpec(
    { metadata: { name: 'p', namespace: 'n', uid: 'u' }, hostname: 'p' },
    { id: 'x', pauseRoot: '/pause', netns: '/n', cgroupsPath: '/c/x' },
  )
  t.match(spec, {
    hostname: 'p',
    root: { path: '/pause', readonly: true },
    process: { noNewPrivileges: true, capabilities: { bounding: [] } },
  })
  t.equal(spec.linux?.sysctl?.['net.ipv4.ip_unprivileged_port_start'], '0')
})

t.test('seccomp', async (t) => {
  const names = (capabilities: readonly string[]): Set<string> =>
    new Set(
      defaultSeccomp(capabilities, 'x64')
        .syscalls?.filter(({ action }) => action === 'SCMP_ACT_ALLOW')
        .flatMap((rule) => rule.names),
    )
  t.notOk(names([]).has('mount'))
  t.ok(names(['CAP_SYS_ADMIN']).has('mount') && names([]).has('read') && names([]).has('clone'))
  t.throws(() => parseSeccompProfile('{', '/p.json'), /\/p\.json/)
  t.throws(() => parseSeccompProfile('{}', '/p.json'), /defaultAction/)
})

t.test('CDI', async (t) => {
  const file: CdiFile = {
    cdiVersion: '0.6.0',
    kind: 'vendor.com/gpu',
    containerEdits: { env: ['ALL=1'] },
    devices: [
      {
        name: 'one',
        containerEdits: {
          env: ['A=2'],
          deviceNodes: [{ path: '/dev/gpu', type: 'c', major: 1, minor: 3 }],
          mounts: [{ hostPath: '/h', containerPath: '/c' }],
        },
      },
      { name: 'two', containerEdits: { hooks: [{ hookName: 'createContainer', path: '/hook' }] } },
    ],
  }
  const spec: Spec = { ociVersion: '1', process: { cwd: '/', env: ['A=1'] }, linux: {} }
  const edited = applyCdi(spec, cdiEdits(['vendor.com/gpu=one', 'vendor.com/gpu=two'], [file]), () => undefined)
  t.strictSame(edited.process?.env, ['ALL=1', 'A=2'])
  t.match(edited.linux?.devices, [{ path: '/dev/gpu', major: 1, minor: 3 }])
  t.match(edited.linux?.resources?.devices, [{ allow: true, type: 'c', major: 1, minor: 3, access: 'rwm' }])
  t.match(edited.mounts, [{ destination: '/c', source: '/h' }])
  t.match(edited.hooks?.createContainer, [{ path: '/hook' }])
  t.throws(() => cdiEdits(['gpu'], [file]), /vendor\/class=name/)
  t.throws(() => cdiEdits(['vendor.com/gpu=three'], [file]), /three/)
})
