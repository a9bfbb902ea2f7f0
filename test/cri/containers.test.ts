// What a ContainerConfig asks for, seen from within the container on the real kernel. Needs root.
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { ContainerConfig, LinuxContainerSecurityContext, NamespaceOption, PodSandboxConfig } from '../../src/cri/index.js'
import { Cgroup, mount, unmount } from '../../src/sys/index.js'
import { contents, exited, IMAGE, options, run, scene, until } from './scene.js'

t.setTimeout(300_000)

t.test('containers', options, async (t) => {
  const s = await scene()
  const { cri, close } = await s.open()
  t.teardown(async () => {
    close()
    await s.end()
  })
  const config: PodSandboxConfig = s.pod('pod', { linux: { securityContext: { privileged: true } } })
  const { podSandboxId } = await cri.runPodSandbox({ config })
  let count = 0

  /** What a line of shell prints in a container made so. */
  const output = async (script: string, more: Partial<ContainerConfig> = {}): Promise<readonly string[]> => {
    const name = `c${count++}`
    const id = await run(cri, podSandboxId, config, script, { metadata: { name }, ...more })
    await exited(cri, id)
    return contents(s.dir, 'pod', `${name}/0.log`)
  }
  const secure = (securityContext: LinuxContainerSecurityContext): Partial<ContainerConfig> => ({ linux: { securityContext } })
  const capabilities = async (context: LinuxContainerSecurityContext): Promise<bigint> =>
    BigInt(`0x${(await output('grep CapBnd /proc/self/status', secure(context)))[0]?.split(/\s+/)[1]}`)

  t.test('command, arguments, environment, folder: over the image', { timeout: 120_000 }, async (t) => {
    t.strictSame(await output('', { command: ['sh', '-c'], args: ['echo $0 $1', 'a'] }), ['a'])
    t.strictSame(await output('echo $FROM $X; pwd; echo $HOME', { envs: [{ key: 'X', value: 'a "b" $c' }], workingDir: '/tmp' }), [
      'image a "b" $c',
      '/tmp',
      '/root',
    ])
    t.strictSame(await output('pwd', { workingDir: '/made/for/it' }), ['/made/for/it'])
  })

  t.test('users and groups', { timeout: 120_000 }, async (t) => {
    t.strictSame(await output('id -u; id -g; id -G; echo $HOME', secure({ runAsUsername: 'web' })), [
      '1000',
      '1000',
      '1000 3000',
      '/home/web',
    ])
    t.strictSame(await output('id -u; id -g; id -G', secure({ runAsUser: 4242, runAsGroup: 77, supplementalGroups: [5, 6] })), [
      '4242',
      '77',
      '77 5 6',
    ])
    t.strictSame(await output('id -G', secure({ runAsUser: 1000, supplementalGroupsPolicy: 'Strict', supplementalGroups: [9] })), [
      '1000 9',
    ])
    await t.rejects(output('true', secure({ runAsUsername: 'nobody-here' })), /nobody-here/)
    await t.rejects(output('true', secure({ runAsGroup: 5 })), /runAsGroup/)
  })

  t.test('capabilities, privileges', { timeout: 120_000 }, async (t) => {
    const NET_ADMIN = 1n << 12n
    const CHOWN = 1n
    const SYS_ADMIN = 1n << 21n
    const usual = await capabilities({})
    t.ok(usual & CHOWN && !(usual & NET_ADMIN))
    const changed = await capabilities({ capabilities: { addCapabilities: ['NET_ADMIN'], dropCapabilities: ['CAP_CHOWN'] } })
    t.ok(changed & NET_ADMIN && !(changed & CHOWN))
    t.equal(await capabilities({ capabilities: { dropCapabilities: ['ALL'] } }), 0n)
    t.ok((await capabilities({ privileged: true })) & SYS_ADMIN)
    t.match(await output('grep NoNewPrivs /proc/self/status', secure({ noNewPrivs: true })), [/1$/])
    t.match(await output('grep NoNewPrivs /proc/self/status'), [/0$/])
    const ambient = { runAsUser: 1000, capabilities: { addAmbientCapabilities: ['NET_ADMIN'] } }
    t.match(await output('grep -E "CapEff|CapAmb" /proc/self/status', secure(ambient)), [/CapEff:\s+0{12}1000$/, /CapAmb:\s+0{12}1000$/])
    await t.rejects(output('true', secure({ capabilities: { addCapabilities: ['FLY'] } })), /FLY/)
  })

  t.test('a privileged container is refused in a pod sandbox that is not', { timeout: 120_000 }, async (t) => {
    const plain = s.pod('plain')
    const { podSandboxId: id } = await cri.runPodSandbox({ config: plain })
    const privileged = { metadata: { name: 'all' }, image: { image: IMAGE }, ...secure({ privileged: true }) }
    const create = (sandboxConfig: PodSandboxConfig) => cri.createContainer({ podSandboxId: id, sandboxConfig, config: privileged })
    await t.rejects(create(plain), { code: 'INVALID_ARGUMENT', message: /no privileged container is allowed in pod sandbox/ })
    t.strictSame(await cri.listContainers({ podSandboxId: id }), [], 'nothing of it stays')
    await create({ ...plain, linux: { ...plain.linux, securityContext: { privileged: true } } })
    await cri.removePodSandbox(id)
  })

  t.test('system call filters', { timeout: 120_000 }, async (t) => {
    const attempt = 'grep Seccomp: /proc/self/status; mount -t tmpfs none /tmp 2>&1 | tail -1; echo end'
    const admin = { capabilities: { addCapabilities: ['SYS_ADMIN'] } }
    t.match((await output(attempt))[0], /2$/, 'RuntimeDefault is the default')
    t.match((await output(attempt, secure({ ...admin, seccomp: { profileType: 'Unconfined' } })))[0], /0$/)
    const users = 'busybox unshare -U true 2>&1 && echo own'
    t.match(await output(users, secure({ runAsUser: 1000 })), [/not permitted/i])
    t.strictSame(await output(users, secure({ runAsUser: 1000, seccomp: { profileType: 'Unconfined' } })), ['own'])
    const profile = join(s.dir, 'profile.json')
    writeFileSync(
      profile,
      JSON.stringify({
        defaultAction: 'SCMP_ACT_ALLOW',
        syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 71 }],
      }),
    )
    t.match(await output('mkdir /tmp/x 2>&1; echo end', secure({ seccomp: { profileType: 'Localhost', localhostRef: profile } })), [
      /Protocol error/,
      'end',
    ])
    await t.rejects(output('true', secure({ seccomp: { profileType: 'Localhost', localhostRef: '/none.json' } })), /none\.json/)
  })

  t.test('read-only root, masked and read-only paths', { timeout: 120_000 }, async (t) => {
    t.match(await output('touch /x 2>&1', secure({ readonlyRootfs: true })), [/Read-only/])
    t.strictSame(await output('wc -c < /proc/keys; touch /proc/sys/kernel/x 2>/dev/null || echo refused'), ['0', 'refused'])
    t.not((await output('wc -c < /proc/interrupts', secure({ maskedPaths: [], readonlyPaths: [] })))[0], '0', 'an empty list unmasks')
    t.match(await output('grep " /sys " /proc/mounts', secure({ privileged: true })), [/\brw\b/])
  })

  t.test('mounts: access, propagation, files, image volumes', { timeout: 120_000 }, async (t) => {
    const host = join(s.dir, 'volume')
    mkdirSync(host)
    writeFileSync(join(host, 'file'), 'word\n')
    const at = (more: object): Partial<ContainerConfig> => ({ mounts: [{ hostPath: host, containerPath: '/data', ...more }] })
    t.strictSame(await output('cat /data/file; echo new > /data/new'.concat('; cat /data/new'), at({})), ['word', 'new'])
    t.equal(readFileSync(join(host, 'new'), 'utf8'), 'new\n')
    t.match(await output('touch /data/x 2>&1', at({ readonly: true })), [/Read-only/])
    mkdirSync(join(host, 'below'))
    mount({ source: 'below', target: join(host, 'below'), type: 'tmpfs', options: [] })
    t.teardown(() => unmount(join(host, 'below'), { detach: true }))
    const both = 'for f in /data/x /data/below/x; do touch $f 2>/dev/null && echo written || echo refused; done'
    t.strictSame(await output(both, at({ readonly: true })), ['refused', 'written'])
    t.strictSame(await output(both, at({ readonly: true, recursiveReadOnly: true })), ['refused', 'refused'])
    t.strictSame(await output('cat /one', { mounts: [{ hostPath: join(host, 'file'), containerPath: '/one' }] }), ['word'])
    const hosts = { mounts: [{ hostPath: join(host, 'file'), containerPath: '/etc/hosts' }] }
    t.strictSame(await output('cat /etc/hosts', hosts), ['word'], "the caller's own takes the place of ours")
    t.strictSame(await output('echo made', { mounts: [{ hostPath: join(s.dir, 'not', 'there'), containerPath: '/x' }] }), ['made'])
    t.ok(existsSync(join(s.dir, 'not', 'there')))
    const image = { mounts: [{ containerPath: '/image', image: { image: IMAGE }, readonly: true }] }
    t.match(await output('ls /image/bin/busybox; touch /image/x 2>&1', image), ['/image/bin/busybox', /Read-only/])
    const part = { mounts: [{ containerPath: '/image', image: { image: IMAGE }, imageSubPath: 'etc', readonly: true }] }
    t.match(await output('ls /image', part), ['group', 'passwd'])
    await t.rejects(
      output('true', { mounts: [{ containerPath: '/i', image: { image: IMAGE }, imageSubPath: '../etc', readonly: true }] }),
      /sub-path/,
    )
    await t.rejects(output('true', { mounts: [{ containerPath: '/i', image: { image: IMAGE } }] }), /read-only/)
    await t.rejects(output('true', { mounts: [{ containerPath: '/i', image: { image: 'test.local/none:1' }, readonly: true }] }), {
      code: 'NOT_FOUND',
    })
    await t.rejects(output('true', { mounts: [{ hostPath: '/proc/none/x', containerPath: '/x' }] }), /\/proc\/none\/x/)
    await t.rejects(output('true', { mounts: [{ hostPath: '', containerPath: '/x' }] }), /neither a host path/)
  })

  t.test('mount propagation: to the container, from it, not at all', { timeout: 120_000 }, async (t) => {
    const volume = join(s.dir, 'propagating')
    for (const name of ['from-host', 'from-container', 'source']) mkdirSync(join(volume, name), { recursive: true })
    writeFileSync(join(volume, 'source', 'seen'), '')
    mount({ source: volume, target: volume, type: '', options: ['rbind', 'rshared'] })
    t.teardown(() => unmount(volume, { detach: true }))
    for (const [propagation, inside, outside] of [
      ['PROPAGATION_PRIVATE', '', false],
      ['PROPAGATION_HOST_TO_CONTAINER', 'seen', false],
      ['PROPAGATION_BIDIRECTIONAL', 'seen', true],
    ] as const) {
      const id = await run(cri, podSandboxId, config, 'exec sleep 1000', {
        metadata: { name: propagation },
        ...secure({ privileged: true }),
        mounts: [{ hostPath: volume, containerPath: '/v', propagation }],
      })
      mount({ source: join(volume, 'source'), target: join(volume, 'from-host'), type: '', options: ['rbind'] })
      const shown = await cri.execSync(id, ['ls', '/v/from-host'])
      t.equal(String(shown.stdout).trim(), inside, `${propagation}: into the container`)
      t.match(await cri.execSync(id, ['mount', '-o', 'bind', '/v/source', '/v/from-container']), { exitCode: 0 })
      t.equal(existsSync(join(volume, 'from-container', 'seen')), outside, `${propagation}: out of the container`)
      await cri.removeContainer(id)
      for (const name of ['from-host', 'from-container']) {
        try {
          unmount(join(volume, name), { detach: true })
        } catch {
          // Was not mounted on the host.
        }
      }
    }
    mount({ source: join(volume, 'source'), target: join(volume, 'from-host'), type: '', options: ['rbind'] })
    const mounts = [{ hostPath: volume, containerPath: '/v', propagation: 'PROPAGATION_BIDIRECTIONAL' as const }]
    t.strictSame(await output('ls /v/from-host', { ...secure({ privileged: true }), mounts }), ['seen'])
    t.ok(existsSync(join(volume, 'from-host', 'seen')), 'a container that lets go of the root of the machine unmounts nothing there')
  })

  t.test(
    'volumes that the image declares begin with what the image has there, and end with the container',
    { timeout: 120_000 },
    async (t) => {
      const root = join(s.dir, 'busybox')
      mkdirSync(join(root, 'data', 'deep'), { recursive: true })
      writeFileSync(join(root, 'data', 'deep', 'file'), 'from the image\n')
      chownSync(join(root, 'data', 'deep', 'file'), 1000, 3000)
      chownSync(join(root, 'data'), 1000, 1000)
      chmodSync(join(root, 'data'), 0o1730)
      symlinkSync('data', join(root, 'link'))
      const Volumes = { '/data': {}, '/made/for/it': {}, '/link': {} }
      await s.images.import(root, { name: 'test.local/volumes:1', config: { Env: ['PATH=/bin'], Volumes } })
      const from = { image: { image: 'test.local/volumes:1' } }
      const script =
        'stat -c "%u:%g %a" /data /data/deep/file; cat /data/deep/file; echo changed > /data/deep/file; ls /made/for/it /link/deep'
      const shown = ['1000:1000 1730', '1000:3000 644', 'from the image', '/link/deep:', 'file', '', '/made/for/it:']
      t.strictSame(await output(script, from), shown)
      t.strictSame(await output(script, from), shown, 'each container has its own')
      const mounted = { ...from, mounts: [{ hostPath: join(s.dir, 'empty'), containerPath: '/data' }] }
      t.strictSame(await output('ls /data', mounted), [], 'what the caller mounts there counts')
      const [line = ''] = await output('grep " /data " /proc/mounts', from)
      t.notMatch(line, /tmpfs/, 'not in memory')
      for (const { id } of await cri.listContainers()) if (!(await cri.containerStatus(id)).status.exitCode) await cri.removeContainer(id)
      t.strictSame(readdirSync(join(s.dir, 'cri', 'volumes')), [])
    },
  )

  t.test('devices', { timeout: 120_000 }, async (t) => {
    const devices = [{ hostPath: '/dev/null', containerPath: '/dev/hole', permissions: 'rw' }]
    t.strictSame(await output('echo x > /dev/hole && echo written; stat -c %t:%T /dev/hole', { devices }), ['written', '1:3'])
    await t.rejects(output('true', { devices: [{ hostPath: '/dev/none', containerPath: '/dev/x' }] }), /\/dev\/none/)
    t.match(
      (await output('ls /dev | wc -l', secure({ privileged: true })))[0],
      /^([2-9]\d|\d{3,})$/,
      "a privileged container has the machine's",
    )
  })

  t.test('devices as vendors describe them (CDI)', { timeout: 120_000 }, async (t) => {
    mkdirSync(join(s.dir, 'cdi'))
    mkdirSync(join(s.dir, 'driver'))
    writeFileSync(join(s.dir, 'driver', 'lib'), 'library\n')
    writeFileSync(
      join(s.dir, 'cdi', 'vendor.yaml'),
      JSON.stringify({
        cdiVersion: '0.6.0',
        kind: 'vendor.test/card',
        containerEdits: {
          env: ['DRIVER=5'],
          mounts: [{ hostPath: join(s.dir, 'driver'), containerPath: '/driver', options: ['ro', 'rbind'] }],
        },
        devices: [
          {
            name: '0',
            containerEdits: {
              deviceNodes: [{ path: '/dev/card0', hostPath: '/dev/fuse', permissions: 'r' }],
              hooks: [{ hookName: 'createContainer', path: '/bin/sh', args: ['sh', '-c', `touch ${join(s.dir, 'driver', 'hooked')}`] }],
              additionalGids: [4343],
            },
          },
        ],
      }),
    )
    const cdi = (name: string): Partial<ContainerConfig> => ({ cdiDevices: [{ name }] })
    const script =
      'echo $DRIVER; cat /driver/lib; ls /driver/hooked; stat -c %t:%T /dev/card0; true < /dev/card0 && echo opened; (true > /dev/card0) 2>/dev/null || echo refused; id -G'
    t.strictSame(await output(script, cdi('vendor.test/card=0')), ['5', 'library', '/driver/hooked', 'a:e5', 'opened', 'refused', '0 4343'])
    await t.rejects(output('true', cdi('vendor.test/card=1')), { code: 'INVALID_ARGUMENT', message: /vendor\.test\/card=1 is in no file/ })
  })

  t.test('process namespaces: own, of the host, of another container', { timeout: 120_000 }, async (t) => {
    const pid = (namespaceOptions: NamespaceOption): Partial<ContainerConfig> => secure({ namespaceOptions })
    t.strictSame(await output('echo $$', pid({ pid: 'CONTAINER' })), ['1'])
    t.strictSame(await output('readlink /proc/self/ns/pid; exit', pid({ pid: 'NODE' })), [readlinkSync('/proc/self/ns/pid')])
    const target = await run(cri, podSandboxId, config, 'exec sleep 4321', { metadata: { name: 'target' }, ...pid({ pid: 'CONTAINER' }) })
    t.match(await output('ps -o pid,args', pid({ pid: 'TARGET', targetId: target })), [/PID/, /1 sleep 4321/, /ps/])
    await cri.removeContainer(target)
    await t.rejects(output('true', pid({ pid: 'TARGET', targetId: target })), /not running/)
  })

  t.test('stop signals, patience, and what is left of processes', { timeout: 120_000 }, async (t) => {
    const script = 'trap "echo got it; exit 21" USR1; trap "exit 99" TERM; echo up; while :; do sleep 0.05; done'
    const up = (name: string) =>
      until(
        async () =>
          (existsSync(join(s.dir, 'logs/pod', name, '0.log')) && contents(s.dir, 'pod', `${name}/0.log`).includes('up')) || undefined,
      )
    const polite = await run(cri, podSandboxId, config, script, { metadata: { name: 'polite' }, stopSignal: 'SIGUSR1' })
    await up('polite')
    await cri.stopContainer(polite, 30)
    t.match((await cri.containerStatus(polite)).status, { exitCode: 21, reason: 'Error', stopSignal: 'SIGUSR1' })
    const stubborn = await run(cri, podSandboxId, config, 'trap "" TERM; echo up; while :; do sleep 0.05; done', {
      metadata: { name: 'stubborn' },
    })
    await up('stubborn')
    await cri.stopContainer(stubborn, 0.2)
    t.match((await cri.containerStatus(stubborn)).status, { exitCode: 137 })
    await cri.stopContainer(stubborn, 1)
    await run(cri, podSandboxId, config, 'sleep 7654 & exit 0', { metadata: { name: 'parent' } }).then((id) => exited(cri, id))
    t.notOk((await output('ps -o args')).includes('sleep 7654'), 'what it left in the pod is gone with it')
    await t.rejects(output('true', { stopSignal: 'SIGFOO' }), /SIGFOO/)
  })

  t.test('limits: set, changed while it runs, and what happens beyond', { timeout: 120_000 }, async (t) => {
    const id = await run(cri, podSandboxId, config, 'exec sleep 1000', {
      metadata: { name: 'limited' },
      linux: { resources: { cpuShares: 512, cpuPeriod: 100_000, cpuQuota: 50_000, memoryLimitInBytes: 64 * 2 ** 20 } },
    })
    const read = (controller: string, file: string): string => {
      const parent = readdirSync('/sys/fs/cgroup').includes(controller) ? join('/sys/fs/cgroup', controller) : '/sys/fs/cgroup'
      return readFileSync(join(parent, config.linux?.cgroupParent ?? '', id, file), 'utf8').trim()
    }
    const v1 = existsSync('/sys/fs/cgroup/memory')
    const limit = (): string => (v1 ? read('memory', 'memory.limit_in_bytes') : read('', 'memory.max'))
    t.equal(limit(), String(64 * 2 ** 20))
    await cri.updateContainerResources(id, { memoryLimitInBytes: 96 * 2 ** 20, cpuQuota: 20_000 })
    t.equal(limit(), String(96 * 2 ** 20))
    t.match(v1 ? read('cpu', 'cpu.cfs_quota_us') : read('', 'cpu.max'), /^20000/)
    t.match((await cri.containerStatus(id)).status.resources?.linux, { memoryLimitInBytes: 96 * 2 ** 20, cpuQuota: 20_000, cpuShares: 512 })
    await t.rejects(cri.updateContainerResources(id, { memoryLimitInBytes: -5 }), /negative/)
    await cri.removeContainer(id)
    const greedy = await run(cri, podSandboxId, config, 'x=$(head -c 200000000 /dev/zero | tr "\\\\0" x); echo survived', {
      metadata: { name: 'greedy' },
      command: ['/bin/busybox', 'sh', '-c', 'x=$(busybox yes | busybox head -c 200000000); echo survived'],
      linux: { resources: { memoryLimitInBytes: 20 * 2 ** 20, memorySwapLimitInBytes: 20 * 2 ** 20 } },
    })
    t.match(await exited(cri, greedy), { reason: 'OOMKilled', exitCode: 137 })
  })

  t.test('what cannot be executed says so', { timeout: 120_000 }, async (t) => {
    const { containerId } = await cri.createContainer({
      podSandboxId,
      sandboxConfig: config,
      config: { metadata: { name: 'none' }, image: { image: IMAGE }, command: ['/no/such'] },
    })
    await t.rejects(cri.startContainer(containerId), /\/no\/such.*no such file/)
    t.match((await cri.containerStatus(containerId)).status, {
      state: 'CONTAINER_EXITED',
      reason: 'StartError',
      exitCode: 128,
      message: /no such file/,
    })
  })

  t.test('logs: reopened after rotation', { timeout: 120_000 }, async (t) => {
    const id = await run(cri, podSandboxId, config, 'i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done', {
      metadata: { name: 'rotated' },
    })
    const log = join(s.dir, 'logs/pod/rotated/0.log')
    await until(async () => (existsSync(log) && contents(s.dir, 'pod', 'rotated/0.log').length > 3) || undefined)
    renameSync(log, `${log}.old`)
    await cri.reopenContainerLog(id)
    await until(async () => contents(s.dir, 'pod', 'rotated/0.log').length > 3 || undefined)
    await cri.stopContainer(id, 0)
    const all = [...contents(s.dir, 'pod', 'rotated/0.log.old'), ...contents(s.dir, 'pod', 'rotated/0.log')].map(Number)
    t.ok(
      all.every((number, i) => number === i),
      'no line is lost or twice',
    )
    await t.rejects(cri.reopenContainerLog(id), { code: 'FAILED_PRECONDITION' })
  })

  t.test('the limits of the pod, which its caller sets, bound its containers', { timeout: 120_000 }, async (t) => {
    const parent = `${config.linux?.cgroupParent}/pod-limited`
    const group = new Cgroup(parent)
    t.teardown(() => group.delete())
    group.create()
    group.limit({ memory: { limit: 20 * 2 ** 20, swap: 20 * 2 ** 20 } })
    const limited = s.pod('limited', { linux: { cgroupParent: parent } })
    const { podSandboxId: id } = await cri.runPodSandbox({ config: limited })
    const greedy = await run(cri, id, limited, 'x=$(busybox yes | busybox head -c 200000000); echo survived')
    t.match(await exited(cri, greedy), { reason: 'OOMKilled', exitCode: 137 })
    t.equal((await cri.podSandboxStatus(id)).status.state, 'SANDBOX_READY', 'the pause process is the last to be killed')
    await cri.removePodSandbox(id)
  })

  t.test('what is gone already may be stopped and removed again; what never was may not be used', { timeout: 120_000 }, async (t) => {
    const again = s.pod('again')
    const { podSandboxId: id } = await cri.runPodSandbox({ config: again })
    const container = await run(cri, id, again, 'exec sleep 1000')
    for (let times = 0; times < 2; times++) await cri.stopContainer(container, 0)
    for (let times = 0; times < 2; times++) await cri.removeContainer(container)
    await cri.stopContainer(container, 0)
    for (let times = 0; times < 2; times++) await cri.stopPodSandbox(id)
    await t.rejects(
      cri.createContainer({ podSandboxId: id, sandboxConfig: again, config: { metadata: { name: 'x' }, image: { image: IMAGE } } }),
      {
        code: 'FAILED_PRECONDITION',
      },
    )
    for (let times = 0; times < 2; times++) await cri.removePodSandbox(id)
    await cri.stopPodSandbox(id)
    await t.rejects(output('true', { image: { image: 'test.local/none:1' } }), {
      code: 'NOT_FOUND',
      message: 'image test.local/none:1 is not on this machine: pull it first',
    })
  })

  t.test('pods: sysctls, host IPC, wrong wishes', { timeout: 120_000 }, async (t) => {
    const sandbox = async (name: string, linux: NonNullable<PodSandboxConfig['linux']>, script: string): Promise<readonly string[]> => {
      const own = s.pod(name, { linux: { ...config.linux, ...linux } })
      const { podSandboxId: id } = await cri.runPodSandbox({ config: own })
      await exited(
        cri,
        await run(cri, id, own, script, {
          linux: {
            securityContext: {
              ...(linux.securityContext?.namespaceOptions ? { namespaceOptions: linux.securityContext.namespaceOptions } : {}),
            },
          },
        }),
      )
      await cri.removePodSandbox(id)
      return contents(s.dir, name, 'main/0.log')
    }
    t.strictSame(
      await sandbox(
        'sys',
        { sysctls: { 'net.core.somaxconn': '77', 'kernel.shm_rmid_forced': '1' } },
        'cat /proc/sys/net/core/somaxconn /proc/sys/kernel/shm_rmid_forced',
      ),
      ['77', '1'],
    )
    t.strictSame(await sandbox('ipc', { securityContext: { namespaceOptions: { ipc: 'NODE' } } }, 'readlink /proc/self/ns/ipc'), [
      readlinkSync('/proc/self/ns/ipc'),
    ])
    const wrong = (linux: NonNullable<PodSandboxConfig['linux']>, more: Partial<PodSandboxConfig> = {}) =>
      cri.runPodSandbox({ config: s.pod('wrong', { ...more, linux: { ...config.linux, ...linux } }) })
    await t.rejects(
      wrong({ sysctls: { 'net.core.somaxconn': '1' }, securityContext: { namespaceOptions: { network: 'NODE' } } }),
      /somaxconn/,
    )
    await t.rejects(wrong({ sysctls: { 'net.core.no_such': '1' } }), /no_such/)
    await t.rejects(wrong({}, { hostname: 'a b' }), /hostname/)
    await t.rejects(wrong({}, { dnsConfig: { servers: ['1.1.1.1 x'] } }), /space/)
    t.strictSame(
      (await cri.listPodSandbox()).map(({ metadata }) => metadata.name),
      ['pod'],
      'nothing of them stays',
    )
  })
})
