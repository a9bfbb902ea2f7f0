// Other people's plugins under our caller, ours under other people's programs, and ours as executables. Needs root.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createCni } from '../../src/cni/index.js'
import { Cgroup, inNetworkNamespace, withNetwork } from '../../src/sys/index.js'
import { HOST, type Lab, lab, options, pings, root } from './network.js'

// A machine with other work is slow; nothing here measures time.
t.setTimeout(300_000)

if (!root) t.comment('SKIPPED: pod networks need root')
const main = new URL('../../src/cli/main.js', import.meta.url).pathname
const debian = '/usr/lib/cni'
const haveDebian = existsSync(join(debian, 'bridge'))
if (!haveDebian) t.comment('SKIPPED: containernetworking-plugins is not installed')
const havePodman = spawnSync('podman', ['--version']).status === 0
if (!havePodman) t.comment('SKIPPED: podman is not installed')
const haveContainerd = spawnSync('ctr', ['--version']).status === 0 && spawnSync('runc', ['--version']).status === 0
if (!haveContainerd) t.comment('SKIPPED: containerd is not installed')

function configured(net: Lab, cniVersion: string, plugins: readonly object[]): { confDir: string; cacheDir: string } {
  const confDir = join(net.folder, `conf-${cniVersion}`)
  mkdirSync(confDir, { recursive: true })
  writeFileSync(join(confDir, '10-net.conflist'), JSON.stringify({ cniVersion, name: 'others', plugins }))
  return { confDir, cacheDir: join(net.folder, 'cache') }
}

function install(net: Lab): string {
  const bin = join(net.folder, 'bin')
  const { status, stderr } = spawnSync(process.execPath, [main, 'cni', 'install', bin], { encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
  return bin
}

const bridgeWith = (folder: string, bridge: string, number: number): object => ({
  type: 'bridge',
  bridge,
  isGateway: true,
  ipam: {
    type: 'host-local',
    ranges: [[{ subnet: `10.${number}.0.0/24` }]],
    routes: [{ dst: '0.0.0.0/0' }],
    dataDir: join(folder, 'leases'),
  },
})

t.test("Debian's plugins under our caller", { ...options, skip: !root || !haveDebian }, async (t) => {
  const net = lab(t)
  const conf = configured(net, '1.0.0', [
    bridgeWith(net.folder, 'deb0', 91),
    { type: 'tuning', capabilities: { mac: true }, sysctl: { 'net.ipv4.conf.eth0.forwarding': '1' } },
  ])
  const cni = createCni({ ...conf, binDirs: [debian], plugins: [] })
  const [a, b] = [net.namespace('a'), net.namespace('b')]
  t.same(await cni.status(), { ready: true })
  const result = await cni.add({ containerId: 'a', netns: a, runtimeConfig: { mac: '02:00:00:00:00:77' } })
  t.match(result, { ips: [{ address: '10.91.0.2/24', gateway: '10.91.0.1' }] })
  t.equal(
    withNetwork(a, (network) => network.link('eth0').mac),
    '02:00:00:00:00:77',
    'capabilities reach the plugin that declares them',
  )
  await cni.add({ containerId: 'b', netns: b })
  t.ok(pings(net, a, '10.91.0.3'))
  await cni.check({ containerId: 'a', netns: a })
  await t.rejects(cni.add({ containerId: 'x', netns: '/run/netns/knarr-test-absent' }))
  await cni.del({ containerId: 'a', netns: a })
  await cni.del({ containerId: 'a', netns: a })
  await cni.del({ containerId: 'b', netns: b })
  t.same(
    readdirSync(join(net.folder, 'leases', 'others')).filter((name) => name.startsWith('10.')),
    [],
  )

  // They are older than specification 1.1, and say so when they are asked.
  const newer = createCni({ ...configured(net, '1.1.0', [bridgeWith(net.folder, 'deb0', 91)]), binDirs: [debian], plugins: [] })
  t.match(await newer.status(), {
    ready: false,
    message: /plugin "bridge" does not speak version 1\.1\.0 of CNI, only .*0\.4\.0, 1\.0\.0$/,
  })

  // Our host-local shares its folder with theirs.
  const mixed = createCni({ ...configured(net, '0.4.0', [bridgeWith(net.folder, 'deb0', 91)]), binDirs: [debian] })
  const ours = await mixed.add({ containerId: 'c', netns: a })
  t.match(ours.ips, [{ address: '10.91.0.4/24' }], 'the next address after theirs')
  await cni.del({ containerId: 'c', netns: a })
})

t.test('the words of a failing plugin are passed on', options, async (t) => {
  const net = lab(t)
  const bin = join(net.folder, 'bin')
  mkdirSync(bin)
  const script = (name: string, body: string): void => writeFileSync(join(bin, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 })
  script(
    'speaks',
    `[ "$CNI_COMMAND" = ADD ] || exit 0; echo '{"cniVersion":"1.0.0","code":7,"msg":"the moon is wrong","details":"try later"}'; exit 1`,
  )
  script('mumbles', '[ "$CNI_COMMAND" = ADD ] || exit 0; echo it broke >&2; exit 3')
  script('silent', '[ "$CNI_COMMAND" = ADD ] || exit 0; exit 4')
  script('babbles', 'echo this is no json')
  script('hangs', '[ "$CNI_COMMAND" = ADD ] || exit 0; exec sleep 100')
  const trace = join(net.folder, 'trace')
  script('traces', `echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME $CNI_ARGS" >> ${trace}; echo '{"cniVersion":"1.0.0","ips":[]}'`)
  const pod = net.namespace('pod')
  const add = (type: string, timeoutMs = 60_000): Promise<unknown> =>
    createCni({ ...configured(net, '1.0.0', [{ type: 'traces' }, { type }]), binDirs: [bin], timeoutMs }).add({
      containerId: 'pod',
      netns: pod,
      args: { K8S_POD_NAME: 'web' },
    })
  await t.rejects(add('speaks'), { code: 7, message: 'plugin speaks: the moon is wrong; try later', details: 'try later' })
  await t.rejects(add('mumbles'), { message: 'plugin mumbles failed (exit status 3): it broke' })
  await t.rejects(add('silent'), { message: 'plugin silent failed (exit status 4) without a word' })
  await t.rejects(add('babbles'), { code: 6, message: /not JSON: this is no json/ })
  await t.rejects(add('absent'), { message: `failed to find plugin "absent" in path [${bin}]` })
  await t.rejects(add('hangs', 300), { code: 11, message: /did not end within 0.3 s/ })
  t.same(
    readFileSync(trace, 'utf8').trim().split('\n').slice(0, 2),
    ['ADD pod eth0 K8S_POD_NAME=web', 'DEL pod eth0 K8S_POD_NAME=web'],
    'what the first plugin made is taken back',
  )
})

t.test('our plugins as executables, in every version of the protocol', options, async (t) => {
  const net = lab(t)
  const bin = install(net)
  t.same(readdirSync(bin).sort(), ['bridge', 'host-local', 'loopback', 'portmap', 'ptp'])
  const pod = net.namespace('pod')
  const call = (plugin: string, config: object | string, env: Record<string, string>): { status: number | null; stdout: string } =>
    inNetworkNamespace(HOST, () =>
      spawnSync(join(bin, plugin), {
        input: typeof config === 'string' ? config : JSON.stringify(config),
        env: { PATH: process.env.PATH ?? '', CNI_PATH: bin, ...env },
        encoding: 'utf8',
      }),
    )
  const base = { CNI_CONTAINERID: 'c1', CNI_NETNS: pod, CNI_IFNAME: 'eth0' }
  t.match(JSON.parse(call('bridge', '', { CNI_COMMAND: 'VERSION' }).stdout), {
    cniVersion: '1.1.0',
    supportedVersions: ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'],
  })
  const config = (cniVersion: string): object => ({ cniVersion, name: 'exec', ...bridgeWith(net.folder, 'exe0', 92) })
  for (const [version, shape] of [
    ['0.2.0', { ip4: { ip: /^10\.92\.0\.\d+\/24$/, gateway: '10.92.0.1', routes: [{ dst: '0.0.0.0/0' }] } }],
    ['0.4.0', { interfaces: [{ name: 'exe0' }, {}, { name: 'eth0', sandbox: pod }], ips: [{ version: '4', interface: 2 }] }],
    ['1.1.0', { interfaces: [{ name: 'exe0', mtu: 1500 }, {}, {}], ips: [{ interface: 2, gateway: '10.92.0.1' }] }],
  ] as const) {
    const added = call('bridge', config(version), { CNI_COMMAND: 'ADD', ...base })
    const result = JSON.parse(added.stdout) as object
    t.match(result, { cniVersion: version, ...shape }, version)
    if (version !== '0.2.0')
      t.equal(call('bridge', { ...config(version), prevResult: result }, { CNI_COMMAND: 'CHECK', ...base }).status, 0)
    t.equal(call('bridge', config(version), { CNI_COMMAND: 'DEL', ...base }).status, 0)
  }
  t.equal(call('bridge', config('1.1.0'), { CNI_COMMAND: 'DEL', ...base, CNI_NETNS: '' }).status, 0, 'DEL without a namespace')
  t.equal(call('host-local', config('1.1.0'), { CNI_COMMAND: 'STATUS' }).status, 0)
  t.equal(call('host-local', config('1.1.0'), { CNI_COMMAND: 'GC' }).status, 0)

  const refused = (plugin: string, input: object | string, env: Record<string, string>): { code: number; msg: string } => {
    const { status, stdout } = call(plugin, input, env)
    t.equal(status, 1)
    return JSON.parse(stdout) as { code: number; msg: string }
  }
  t.match(refused('bridge', config('9.9.9'), { CNI_COMMAND: 'ADD', ...base }), { code: 1 })
  t.match(refused('bridge', config('1.0.0'), { CNI_COMMAND: 'STATUS', ...base }), { code: 1 })
  t.match(refused('bridge', '{', { CNI_COMMAND: 'ADD', ...base }), { code: 6 })
  t.match(refused('bridge', config('1.0.0'), { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'c' }), {
    code: 4,
    msg: 'required env variables [CNI_NETNS,CNI_IFNAME] missing',
  })
  t.match(refused('bridge', config('1.0.0'), { CNI_COMMAND: 'DANCE', ...base }), { code: 4 })
  t.match(refused('bridge', config('1.0.0'), { CNI_COMMAND: 'ADD', ...base, CNI_CONTAINERID: '../x' }), { code: 4 })
  t.match(refused('bridge', config('1.0.0'), { CNI_COMMAND: 'ADD', ...base, CNI_NETNS: '/proc/self/ns/net' }), {
    msg: /network of the machine itself/,
  })

  writeFileSync(join(bin, 'ptp'), 'somebody else')
  const again = spawnSync(process.execPath, [main, 'cni', 'install', bin], { encoding: 'utf8' })
  t.equal(again.status, 1)
  t.match(again.stderr, /ptp is there and not ours/)
})

t.test('every verb by executables alone', options, async (t) => {
  const net = lab(t)
  const plugins = [bridgeWith(net.folder, 'verb0', 95), { type: 'portmap', capabilities: { portMappings: true } }]
  const cni = createCni({ ...configured(net, '1.1.0', plugins), binDirs: [install(net)], plugins: [] })
  const leases = join(net.folder, 'leases', 'others')
  const addresses = (): string[] => readdirSync(leases).filter((name) => name.startsWith('10.'))
  const pod = { containerId: 'pod', netns: net.namespace('pod') }
  t.same(await cni.status(), { ready: true })
  await cni.add({ ...pod, runtimeConfig: { portMappings: [{ hostPort: 9095, containerPort: 80 }] } })
  t.ok(pings(net, HOST, '10.95.0.2'))
  await cni.check(pod)
  writeFileSync(join(leases, '10.95.0.77'), 'lost\r\neth0')
  await cni.gc([pod])
  t.same(addresses(), ['10.95.0.2'], 'what the plugins alone know of is gone, what is named stays')
  withNetwork(pod.netns, (network) => network.setLink(network.link('eth0').index, { up: false }))
  await t.rejects(cni.check(pod), { message: /^plugin bridge: eth0 in .*: the interface is down$/ })
  await cni.gc([])
  t.same(addresses(), [])
})

t.test('podman runs containers on our plugins', { ...options, skip: !root || !havePodman }, async (t) => {
  const net = lab(t)
  const bin = install(net)
  const confDir = join(net.folder, 'podman-net')
  mkdirSync(confDir)
  writeFileSync(
    join(confDir, 'knarr.conflist'),
    JSON.stringify({
      cniVersion: '0.4.0',
      name: 'knarrtest',
      plugins: [
        { ...bridgeWith(net.folder, 'pod0', 93), ipMasq: true, hairpinMode: true },
        { type: 'portmap', capabilities: { portMappings: true } },
      ],
    }),
  )
  const conf = join(net.folder, 'containers.conf')
  writeFileSync(
    conf,
    `[network]\nnetwork_backend = "cni"\ncni_plugin_dirs = ["${bin}"]\nnetwork_config_dir = "${confDir}"\n[engine]\ncgroup_manager = "cgroupfs"\n[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n`,
  )
  const rootfs = join(net.folder, 'rootfs')
  mkdirSync(join(rootfs, 'bin'), { recursive: true })
  for (const folder of ['proc', 'sys', 'dev', 'etc', 'tmp']) mkdirSync(join(rootfs, folder))
  mkdirSync(join(rootfs, 'www'))
  writeFileSync(join(rootfs, 'www', 'index.html'), 'hello\n')
  writeFileSync(join(rootfs, 'bin', 'busybox'), readFileSync('/bin/busybox'), { mode: 0o755 })
  const podman = (...words: string[]): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(
      'podman',
      ['--root', join(net.folder, 'store'), '--runroot', join(net.folder, 'run'), '--runtime', 'runc', '--storage-driver', 'vfs', ...words],
      {
        encoding: 'utf8',
        env: { ...process.env, CONTAINERS_CONF: conf },
        timeout: 120_000,
      },
    )
  net.onEnd(() => void podman('rm', '-af', '-t', '0'))
  const ran = podman(
    'run',
    '-d',
    '--name',
    'web',
    '--network',
    'knarrtest',
    '-p',
    '9093:80',

    '--rootfs',
    rootfs,
    '/bin/busybox',
    'httpd',
    '-f',
    '-p',
    '80',
    '-h',
    '/www',
  )
  if (ran.status !== 0) {
    t.comment(ran.stderr)
    t.fail('podman run')
    return
  }
  const address = podman('inspect', '-f', '{{.NetworkSettings.Networks.knarrtest.IPAddress}}', 'web').stdout.trim()
  t.match(address, /^10\.93\.0\.\d+$/)
  const get = async (url: string): Promise<string> => {
    // The server may still be starting.
    for (let attempt = 0; ; attempt++)
      try {
        return await (await fetch(url, { signal: AbortSignal.timeout(10_000) })).text()
      } catch (error) {
        if (attempt === 50) throw error
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
  }
  t.equal(await get(`http://${address}/`), 'hello\n')
  t.equal(await get('http://127.0.0.1:9093/'), 'hello\n', 'the port map')
  const removed = podman('rm', '-f', '-t', '0', 'web')
  t.equal(removed.status, 0, removed.stderr)
  t.same(
    readdirSync(join(net.folder, 'leases', 'knarrtest')).filter((name) => name.startsWith('10.')),
    [],
  )
})

t.test('containerd runs containers on our plugins', { ...options, skip: !root || !haveContainerd }, async (t) => {
  const net = lab(t)
  const bin = install(net)
  const [confDir, rootfs, socket] = ['ctr-net', 'ctr-rootfs', 'ctr.sock'].map((name) => join(net.folder, name)) as [string, string, string]
  mkdirSync(confDir)
  writeFileSync(
    join(confDir, '10-knarr.conflist'),
    JSON.stringify({ cniVersion: '1.0.0', name: 'ctrtest', plugins: [{ ...bridgeWith(net.folder, 'ctr0', 94), ipMasq: true }] }),
  )
  const routed = join(net.folder, 'routed.conflist')
  const { ipam } = bridgeWith(net.folder, '', 96) as { ipam: object }
  writeFileSync(routed, JSON.stringify({ cniVersion: '1.0.0', name: 'routed', plugins: [{ type: 'ptp', ipMasq: true, ipam }] }))
  for (const folder of ['bin', 'proc', 'sys', 'dev', 'etc']) mkdirSync(join(rootfs, folder), { recursive: true })
  writeFileSync(join(rootfs, 'bin', 'busybox'), readFileSync('/bin/busybox'), { mode: 0o755 })
  const config = join(net.folder, 'containerd.toml')
  writeFileSync(
    config,
    `version = 2\nroot = "${net.folder}/ctr-root"\nstate = "${net.folder}/ctr-state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "${socket}"\n`,
  )
  // ctr reads its networks from fixed folders: a mount namespace of its own shows ours there.
  const space = `knarr-test-${process.pid}`
  net.onEnd(() => new Cgroup(`/${space}`).delete())
  const script = [
    'mkdir -p /etc/cni/net.d /opt/cni/bin',
    `mount --bind ${confDir} /etc/cni/net.d`,
    `mount --bind ${bin} /opt/cni/bin`,
    `containerd -c ${config} > ${net.folder}/ctr.log 2>&1 & daemon=$!`,
    `for i in $(seq 100); do ctr -a ${socket} version > /dev/null 2>&1 && break; sleep 0.2; done`,
    `ctr -a ${socket} -n ${space} run --cni --rootfs ${rootfs} c1 /bin/busybox ip -o addr show; status=$?`,
    `cp ${routed} ${confDir}/10-knarr.conflist`,
    `ctr -a ${socket} -n ${space} run --cni --rootfs ${rootfs} c2 /bin/busybox ip -o addr show eth0; status=$status$?`,
    'kill $daemon; wait $daemon; exit $status',
  ]
  const { status, stdout, stderr } = spawnSync('unshare', ['-m', '/bin/sh', '-c', script.join('\n')], {
    encoding: 'utf8',
    timeout: 120_000,
  })
  t.equal(status, 0, stderr)
  t.match(stdout, /lo +inet 127\.0\.0\.1\/8/, 'loopback')
  t.match(stdout, /inet 10\.94\.0\.2\/24/, 'bridge')
  t.match(stdout, /inet 10\.96\.0\.2\/24/, 'ptp')
  for (const name of ['ctrtest', 'routed'])
    t.same(
      readdirSync(join(net.folder, 'leases', name)).filter((file) => file.startsWith('10.')),
      [],
      'and gives the address back',
    )
})
