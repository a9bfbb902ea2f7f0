// Checks a config.json before anything is made. Each problem names the JSON path and what was expected there.
import { RLIMITS, SECCOMP_ARCHITECTURES, seccompActions, seccompFlags, seccompOperators } from '../sys/index.js'
import { isSchedulerFlag, isSchedulerPolicy, memoryPolicyFlags, memoryPolicyModes } from './plan/process.js'
import { HOOK_KINDS, type MemoryPolicy, NAMESPACE_TYPES, type Seccomp, type Spec } from './spec.js'

export interface Problem {
  readonly path: string
  readonly expected: string
}

/** Looks at one value and adds what is wrong with it. */
type Check = (value: unknown, path: string, problems: Problem[]) => void

const fail = (problems: Problem[], path: string, expected: string): void => {
  problems.push({ path: path === '' ? 'config.json' : path, expected })
}

const is =
  (expected: string, accepts: (value: unknown) => boolean): Check =>
  (value, path, problems) => {
    if (!accepts(value)) fail(problems, path, expected)
  }

const string = is('a string', (value) => typeof value === 'string')
const text = is('a string without NUL', (value) => typeof value === 'string' && !value.includes('\0'))
const boolean = is('true or false', (value) => typeof value === 'boolean')
const integer = is('an integer', Number.isInteger)
const unsigned = is('an integer of 0 or more', (value) => Number.isInteger(value) && (value as number) >= 0)
const id = is(
  'an integer from 0 to 4294967294',
  (value) => Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 32 - 1,
)
const absolute = is('an absolute path', (value) => typeof value === 'string' && value.startsWith('/') && !value.includes('\0'))
const oneOf = (names: readonly string[]): Check => is(`one of ${names.join(', ')}`, (value) => names.includes(value as string))

const list =
  (item: Check): Check =>
  (value, path, problems) => {
    if (!Array.isArray(value)) return fail(problems, path, 'an array')
    for (const [i, element] of value.entries()) item(element, `${path}[${i}]`, problems)
  }

const map =
  (item: Check): Check =>
  (value, path, problems) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return fail(problems, path, 'an object')
    for (const [key, element] of Object.entries(value)) item(element, `${path}[${JSON.stringify(key)}]`, problems)
  }

/**
 * Known fields are checked, unknown ones ignored: the specification asks for both. Names that end in `!` must be there.
 * A name in other letters (`pagesize`) is set right in the value: programs that read it with Go take them, so there are files that have them.
 */
const object = (fields: Readonly<Record<string, Check>>, more?: Check): Check => {
  const checks = Object.entries(fields).map(([key, check]) => ({ name: key.replace(/!$/, ''), required: key.endsWith('!'), check }))
  const names = new Map(checks.map(({ name }) => [name.toLowerCase(), name]))
  return (value, path, problems) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return fail(problems, path, 'an object')
    const before = problems.length
    const given = value as Record<string, unknown>
    for (const key of Object.keys(given)) {
      const name = names.get(key.toLowerCase())
      if (name !== undefined && !Object.hasOwn(given, name)) given[name] = given[key]
    }
    for (const { name, required, check } of checks) {
      const field = given[name]
      const at = path === '' ? name : `${path}.${name}`
      if (field === undefined || field === null) {
        if (required) fail(problems, at, 'a value: it is required')
      } else check(field, at, problems)
    }
    // What is said of fields together needs them to have the right types.
    if (problems.length === before) more?.(value, path, problems)
  }
}

/** Names that this kernel does not have are left out with a warning, as the specification asks. */
const capabilities = list(string)

const rlimit = object({ 'type!': oneOf(Object.keys(RLIMITS)), 'soft!': integer, 'hard!': integer }, (value, path, problems) => {
  const { soft, hard } = value as { soft: number; hard: number }
  if (hard >= 0 && (soft < 0 || soft > hard)) fail(problems, `${path}.soft`, `at most the hard limit ${hard}`)
})

const cpuList = is(
  'processor numbers such as 0-2,4',
  (value) => typeof value === 'string' && /^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(value.replace(/\s/g, '')),
)

const process = object({
  terminal: boolean,
  consoleSize: object({ 'height!': unsigned, 'width!': unsigned }),
  'cwd!': absolute,
  env: list(is('NAME=VALUE', (value) => typeof value === 'string' && value.indexOf('=') > 0 && !value.includes('\0'))),
  args: list(text),
  rlimits: list(rlimit),
  apparmorProfile: string,
  selinuxLabel: string,
  capabilities: object({
    bounding: capabilities,
    effective: capabilities,
    inheritable: capabilities,
    permitted: capabilities,
    ambient: capabilities,
  }),
  noNewPrivileges: boolean,
  oomScoreAdj: is('an integer from -1000 to 1000', (value) => Number.isInteger(value) && Math.abs(value as number) <= 1000),
  scheduler: object({
    'policy!': is('a scheduling policy, such as SCHED_OTHER', (value) => isSchedulerPolicy(String(value))),
    nice: is('an integer from -20 to 19', (value) => Number.isInteger(value) && (value as number) >= -20 && (value as number) <= 19),
    priority: unsigned,
    flags: list(is('a scheduling flag, such as SCHED_FLAG_RESET_ON_FORK', (value) => isSchedulerFlag(String(value)))),
    runtime: unsigned,
    deadline: unsigned,
    period: unsigned,
  }),
  user: object({
    uid: id,
    gid: id,
    umask: is('an octal mode up to 0777', (value) => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 0o777),
    additionalGids: list(id),
  }),
  ioPriority: object({
    'class!': oneOf(['IOPRIO_CLASS_RT', 'IOPRIO_CLASS_BE', 'IOPRIO_CLASS_IDLE']),
    priority: is('an integer from 0 to 7', (value) => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 7),
  }),
  execCPUAffinity: object({ initial: cpuList, final: cpuList }),
})

/** The process of `create` and of `exec`: something to run is required. */
const runnable: Check = (value, path, problems) => {
  process(value, path, problems)
  const args = (value as { args?: unknown } | null)?.args
  if (!Array.isArray(args) || args.length === 0 || args[0] === '') fail(problems, `${path}.args`, 'at least the program to run')
}

const idMapping = object({
  'containerID!': id,
  'hostID!': id,
  'size!': is('an integer above 0', (value) => Number.isInteger(value) && (value as number) > 0),
})

const mount = object(
  { 'destination!': text, type: text, source: text, options: list(text), uidMappings: list(idMapping), gidMappings: list(idMapping) },
  (value, path, problems) => {
    const { destination, source, type, options = [] } = value as { destination: string; source?: string; type?: string; options?: string[] }
    if (destination === '') fail(problems, `${path}.destination`, 'a path')
    if (destination.split('/').includes('..')) fail(problems, `${path}.destination`, 'a path without ".."')
    const bind = type === 'bind' || options.includes('bind') || options.includes('rbind')
    if (bind && !source) fail(problems, `${path}.source`, 'the path that shall be bound')
    if (!bind && !type) fail(problems, `${path}.type`, 'the type of a file system')
  },
)

const hook = object({
  'path!': absolute,
  args: list(text),
  env: list(text),
  timeout: is('seconds above 0', (value) => Number.isInteger(value) && (value as number) > 0),
})

const namespaces: Check = (value, path, problems) => {
  list(
    object({
      'type!': oneOf(NAMESPACE_TYPES),
      path: is('an absolute path', (one) => one === '' || (typeof one === 'string' && one.startsWith('/'))),
    }),
  )(value, path, problems)
  if (!Array.isArray(value)) return
  const seen = new Set<unknown>()
  for (const [i, one] of value.entries()) {
    const type = (one as { type?: unknown } | null)?.type
    if (seen.has(type)) fail(problems, `${path}[${i}].type`, `each type once: ${String(type)} was there before`)
    seen.add(type)
  }
}

const device = object({
  'type!': oneOf(['c', 'b', 'u', 'p']),
  'path!': absolute,
  major: unsigned,
  minor: unsigned,
  fileMode: unsigned,
  uid: id,
  gid: id,
})
const deviceRule = object({
  'allow!': boolean,
  type: oneOf(['a', 'c', 'b', '']),
  major: integer,
  minor: integer,
  access: is('letters of rwm', (value) => typeof value === 'string' && /^[rwma]*$/.test(value)),
})

const weight = object({ 'major!': integer, 'minor!': integer, weight: unsigned, leafWeight: unsigned })
const throttle = object({ 'major!': integer, 'minor!': integer, 'rate!': unsigned })

const resources = object({
  devices: list(deviceRule),
  memory: object({
    limit: integer,
    reservation: integer,
    swap: integer,
    kernel: integer,
    kernelTCP: integer,
    swappiness: is('an integer from 0 to 100', (value) => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 100),
    disableOOMKiller: boolean,
    useHierarchy: boolean,
    checkBeforeUpdate: boolean,
  }),
  cpu: object({
    shares: unsigned,
    quota: integer,
    burst: unsigned,
    period: unsigned,
    realtimeRuntime: integer,
    realtimePeriod: unsigned,
    cpus: string,
    mems: string,
    idle: integer,
  }),
  pids: object({ limit: integer }),
  blockIO: object({
    weight: unsigned,
    leafWeight: unsigned,
    weightDevice: list(weight),
    throttleReadBpsDevice: list(throttle),
    throttleWriteBpsDevice: list(throttle),
    throttleReadIOPSDevice: list(throttle),
    throttleWriteIOPSDevice: list(throttle),
  }),
  hugepageLimits: list(object({ 'pageSize!': string, 'limit!': unsigned })),
  network: object({ classID: unsigned, priorities: list(object({ 'name!': string, 'priority!': unsigned })) }),
  rdma: map(object({ hcaHandles: unsigned, hcaObjects: unsigned })),
  unified: map(string),
})

const seccomp = object(
  {
    'defaultAction!': oneOf(seccompActions),
    defaultErrnoRet: unsigned,
    architectures: list(oneOf(SECCOMP_ARCHITECTURES)),
    flags: list(oneOf(seccompFlags)),
    listenerPath: string,
    listenerMetadata: string,
    syscalls: list(
      object({
        'names!': list(string),
        'action!': oneOf(seccompActions),
        errnoRet: unsigned,
        args: list(
          object({
            'index!': is('an integer from 0 to 5', (value) => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 5),
            'value!': is('a number', (value) => typeof value === 'number'),
            valueTwo: is('a number', (value) => typeof value === 'number'),
            'op!': oneOf(seccompOperators),
          }),
        ),
      }),
    ),
  },
  (value, path, problems) => {
    const { defaultAction, listenerPath, syscalls = [] } = value as Seccomp
    const notify = 'SCMP_ACT_NOTIFY'
    if (defaultAction === notify) fail(problems, `${path}.defaultAction`, `another action: ${notify} cannot be the default`)
    if (!listenerPath && syscalls.some(({ action }) => action === notify))
      fail(problems, `${path}.listenerPath`, `the socket of a supervisor: ${notify} asks one`)
    for (const [i, { action, names }] of syscalls.entries()) {
      // It is how a process that has loaded the filter says where its listener is.
      if (action === notify && names.includes('write'))
        fail(problems, `${path}.syscalls[${i}].names`, `other system calls: ${notify} cannot be used for the write syscall`)
    }
  },
)

const linkName = is('the name of a link: up to 15 bytes without "/" and spaces', (value) => {
  return typeof value === 'string' && Buffer.byteLength(value) < 16 && !/[/\s\0]/.test(value) && value !== '.' && value !== '..'
})

const NO_NODES = ['MPOL_DEFAULT', 'MPOL_LOCAL']
const MAX_NODE = 1023

/** Numbers of `0-2,4`; undefined when it is no such list. */
function nodeNumbers(list: string): readonly number[] | undefined {
  const numbers: number[] = []
  for (const range of list.split(',')) {
    const [, first, last = first] = /^(\d+)(?:-(\d+))?$/.exec(range.trim()) ?? []
    if (first === undefined || Number(last) > MAX_NODE || Number(first) > Number(last)) return undefined
    for (let node = Number(first); node <= Number(last); node++) numbers.push(node)
  }
  return numbers
}

const memoryPolicy: Check = (value, path, problems) => {
  object({ mode: string, nodes: string, flags: list(string) }, () => {
    const { mode = '', nodes = '', flags = [] } = value as MemoryPolicy
    const numbers = nodes === '' ? [] : nodeNumbers(nodes)
    const wrongFlag = flags.find((flag) => !Object.hasOwn(memoryPolicyFlags, flag))
    const modes = Object.keys(memoryPolicyModes)
    if (!modes.includes(mode)) fail(problems, `${path}.mode`, `one of ${modes.join(', ')}: invalid memory policy mode "${mode}"`)
    else if (!numbers)
      fail(problems, `${path}.nodes`, `node numbers up to ${MAX_NODE} such as 0-2,4: invalid memory policy nodes "${nodes}"`)
    else if (NO_NODES.includes(mode) && numbers.length > 0)
      fail(problems, `${path}.nodes`, `none: this mode requires 0 nodes but got ${numbers.length}`)
    else if (!NO_NODES.includes(mode) && mode !== 'MPOL_PREFERRED' && numbers.length === 0)
      fail(problems, `${path}.nodes`, 'node numbers: this mode requires at least one node but got 0')
    if (wrongFlag !== undefined)
      fail(problems, `${path}.flags`, `some of ${Object.keys(memoryPolicyFlags).join(', ')}: invalid memory policy flag "${wrongFlag}"`)
  })(value, path, problems)
}

const propagations = ['shared', 'slave', 'private', 'unbindable', 'rshared', 'rslave', 'rprivate', 'runbindable']

const linux = object(
  {
    namespaces,
    uidMappings: list(idMapping),
    gidMappings: list(idMapping),
    timeOffsets: map(object({ secs: integer, nanosecs: unsigned })),
    devices: list(device),
    cgroupsPath: is(
      'a path without ".."',
      (value) => typeof value === 'string' && !value.split('/').includes('..') && !value.includes('\0'),
    ),
    rootfsPropagation: oneOf(['', ...propagations]),
    maskedPaths: list(absolute),
    readonlyPaths: list(absolute),
    mountLabel: string,
    personality: object({
      'domain!': oneOf(['LINUX', 'LINUX32']),
      flags: is('an empty array: no flags are defined', (value) => Array.isArray(value) && value.length === 0),
    }),
    netDevices: map(object({ name: linkName })),
    memoryPolicy,
    resources,
    seccomp,
    sysctl: map(string),
    intelRdt: is('nothing: this runtime does not use Intel RDT', () => false),
  },
  (value, path, problems) => {
    const { namespaces: given = [], uidMappings, gidMappings, sysctl = {}, timeOffsets, netDevices } = value as NonNullable<Spec['linux']>
    const has = (type: string): boolean => given.some((one) => one.type === type)
    const fresh = (type: string): boolean => given.some((one) => one.type === type && !one.path)
    if (!has('network') && Object.keys(netDevices ?? {}).length > 0)
      fail(problems, `${path}.netDevices`, 'a network namespace in linux.namespaces')
    if (!has('user') && (uidMappings?.length || gidMappings?.length))
      fail(problems, `${path}.uidMappings`, 'a user namespace in linux.namespaces')
    if (fresh('user') && !uidMappings?.length) fail(problems, `${path}.uidMappings`, 'at least one mapping for the new user namespace')
    if (fresh('user') && !gidMappings?.length) fail(problems, `${path}.gidMappings`, 'at least one mapping for the new user namespace')
    if (timeOffsets && Object.keys(timeOffsets).length > 0 && !fresh('time'))
      fail(problems, `${path}.timeOffsets`, 'a new time namespace in linux.namespaces')
    for (const clock of Object.keys(timeOffsets ?? {})) {
      if (clock !== 'monotonic' && clock !== 'boottime')
        fail(problems, `${path}.timeOffsets[${JSON.stringify(clock)}]`, 'monotonic or boottime')
    }
    for (const key of Object.keys(sysctl)) checkSysctl(key, has, `${path}.sysctl[${JSON.stringify(key)}]`, problems)
  },
)

const IPC_SYSCTLS = [
  'kernel.msgmax',
  'kernel.msgmnb',
  'kernel.msgmni',
  'kernel.sem',
  'kernel.shmall',
  'kernel.shmmax',
  'kernel.shmmni',
  'kernel.shm_rmid_forced',
]

/** Only what belongs to a namespace of the container's own: everything else is the machine's. */
function checkSysctl(key: string, has: (type: string) => boolean, path: string, problems: Problem[]): void {
  const name = key.includes('/') ? key.replaceAll('/', '.') : key
  const needs = (type: string): void => {
    if (!has(type)) fail(problems, path, `a ${type} namespace of its own: without it the setting would be the machine's`)
  }
  if (name.split('.').includes('')) fail(problems, path, 'the name of a kernel setting')
  else if (IPC_SYSCTLS.includes(name) || name.startsWith('fs.mqueue.')) needs('ipc')
  else if (name.startsWith('net.')) needs('network')
  else if (name === 'kernel.domainname' || name === 'kernel.hostname') needs('uts')
  else if (name.startsWith('user.')) needs('user')
  else fail(problems, path, 'a setting that belongs to a namespace (kernel.sem, kernel.shm*, kernel.msg*, fs.mqueue.*, net.*, user.*)')
}

const spec = object(
  {
    'ociVersion!': is('a version 1.x.y', (value) => typeof value === 'string' && /^1\.\d+\.\d+/.test(value)),
    process: runnable,
    'root!': object({
      'path!': is('a path', (value) => typeof value === 'string' && value !== '' && !value.includes('\0')),
      readonly: boolean,
    }),
    hostname: text,
    domainname: text,
    mounts: list(mount),
    hooks: object(Object.fromEntries(HOOK_KINDS.map((kind) => [kind, list(hook)]))),
    annotations: map(string),
    linux,
  },
  (value, _, problems) => {
    const { hostname, domainname, linux: given } = value as Spec
    const uts = given?.namespaces?.some(({ type }) => type === 'uts')
    if (hostname && !uts) fail(problems, 'hostname', "a uts namespace in linux.namespaces: without it the name would be the machine's")
    if (domainname && !uts) fail(problems, 'domainname', 'a uts namespace in linux.namespaces')
    if (hostname && Buffer.byteLength(hostname) > 64) fail(problems, 'hostname', 'at most 64 bytes')
  },
)

/** Everything that is wrong; empty when the spec can be carried out. */
export function validateSpec(value: unknown): readonly Problem[] {
  const problems: Problem[] = []
  spec(value, '', problems)
  return problems
}

export function validateProcess(value: unknown): readonly Problem[] {
  const problems: Problem[] = []
  runnable(value, 'process', problems)
  return problems
}

/** One sentence for all problems. */
export const problemText = (problems: readonly Problem[]): string =>
  problems.map(({ path, expected }) => `${path}: want ${expected}`).join('; ')
