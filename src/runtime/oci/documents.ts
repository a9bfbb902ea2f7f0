// Documents about what the runtime can do: `spec`, `features`, `explain`.
import { existsSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseFlags } from '../../lib/index.js'
import {
  CAPABILITIES,
  cgroupLayout,
  mountOptionWords,
  programText,
  SECCOMP_ARCHITECTURES,
  seccompActions,
  seccompFlags,
  seccompOperators,
} from '../../sys/index.js'
import { planContainer, readSpec } from '../create.js'
import { containerProgram } from '../plan/container.js'
import { memoryPolicyFlags, memoryPolicyModes } from '../plan/process.js'
import { HOOK_KINDS, NAMESPACE_TYPES, OCI_VERSION, type Spec } from '../spec.js'
import { RuntimeError } from '../types.js'
import { onlyArgument } from './create.js'
import { specFlags } from './flags.js'
import type { Session } from './session.js'

const CAPS = ['CAP_AUDIT_WRITE', 'CAP_KILL', 'CAP_NET_BIND_SERVICE']

/** What `runc spec` writes. */
export function exampleSpec(options: { readonly rootless: boolean }): Spec {
  const flags = ['nosuid', 'noexec', 'nodev']
  const { rootless } = options
  return {
    ociVersion: OCI_VERSION,
    process: {
      terminal: true,
      user: { uid: 0, gid: 0 },
      args: ['sh'],
      env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'TERM=xterm'],
      cwd: '/',
      capabilities: { bounding: CAPS, effective: CAPS, permitted: CAPS },
      rlimits: [{ type: 'RLIMIT_NOFILE', hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: 'rootfs', readonly: true },
    hostname: 'knarr',
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
      {
        destination: '/dev/pts',
        type: 'devpts',
        source: 'devpts',
        options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', ...(rootless ? [] : ['gid=5'])],
      },
      { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: [...flags, 'mode=1777', 'size=65536k'] },
      { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: flags },
      rootless
        ? { destination: '/sys', type: 'none', source: '/sys', options: ['rbind', 'nosuid', 'noexec', 'nodev', 'ro'] }
        : { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...flags, 'ro'] },
      ...(rootless ? [] : [{ destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: [...flags, 'relatime', 'ro'] }]),
    ],
    linux: {
      ...(rootless
        ? {
            uidMappings: [{ containerID: 0, hostID: process.getuid?.() ?? 0, size: 1 }],
            gidMappings: [{ containerID: 0, hostID: process.getgid?.() ?? 0, size: 1 }],
          }
        : { resources: { devices: [{ allow: false, access: 'rwm' }] } }),
      namespaces: [
        { type: 'pid' },
        ...(rootless ? [] : [{ type: 'network' } as const]),
        { type: 'ipc' },
        { type: 'uts' },
        { type: 'mount' },
        // As runc: on v1 programs expect to see where they are.
        ...(cgroupLayout().mode === 'v2' ? [{ type: 'cgroup' } as const] : []),
        ...(rootless ? [{ type: 'user' } as const] : []),
      ],
      maskedPaths: [
        '/proc/acpi',
        '/proc/asound',
        '/proc/kcore',
        '/proc/keys',
        '/proc/latency_stats',
        '/proc/timer_list',
        '/proc/timer_stats',
        '/proc/sched_debug',
        '/sys/firmware',
        '/proc/scsi',
      ],
      readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
    },
  }
}

export async function spec(session: Session, argv: readonly string[]): Promise<number> {
  const { flags } = parseFlags(specFlags, argv)
  const path = join(resolve(flags.bundle), 'config.json')
  if (existsSync(path)) throw new RuntimeError('Exists', 'file config.json exists. Remove it first')
  writeFileSync(path, `${JSON.stringify(exampleSpec(flags), undefined, '\t')}\n`, { mode: 0o666 })
  session.note('debug', `wrote ${path}`)
  return 0
}

/** runtime-spec features.md. */
export async function features(session: Session): Promise<number> {
  const { mode } = cgroupLayout()
  const document = {
    ociVersionMin: '1.0.0',
    ociVersionMax: OCI_VERSION,
    hooks: HOOK_KINDS,
    mountOptions: mountOptionWords,
    linux: {
      namespaces: [...NAMESPACE_TYPES].sort(),
      capabilities: CAPABILITIES,
      cgroup: { v1: mode !== 'v2', v2: mode !== 'v1', systemd: true, systemdUser: false, rdma: true },
      seccomp: {
        enabled: true,
        actions: seccompActions,
        operators: seccompOperators,
        archs: SECCOMP_ARCHITECTURES,
        knownFlags: seccompFlags,
        supportedFlags: seccompFlags,
      },
      apparmor: { enabled: true },
      selinux: { enabled: true },
      intelRdt: { enabled: false },
      memoryPolicy: { modes: Object.keys(memoryPolicyModes), flags: Object.keys(memoryPolicyFlags) },
      mountExtensions: { idmap: { enabled: true } },
      netDevices: { enabled: true },
    },
    annotations: { 'io.github.knarr.runtime': 'syscall program' },
    potentiallyUnsafeConfigAnnotations: [],
  }
  session.print(`${JSON.stringify(document, undefined, 4)}\n`)
  return 0
}

/** Prints the program that `create` would run, step by step. */
export async function explainBundle(session: Session, argv: readonly string[]): Promise<number> {
  const bundle = onlyArgument(parseFlags({}, argv).args, 'bundle')
  const planned = planContainer(readSpec(resolve(bundle)), { id: 'explained', bundle }, session.context({}))
  session.print(programText(containerProgram(planned.spec, planned.facts)))
  return 0
}
