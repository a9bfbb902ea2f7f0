// The flags of runc's commands, by name (runc's manual pages).
import type { FlagSpecs } from '../../lib/index.js'

export const globalFlags = {
  root: { type: 'string', default: '/run/knarr/oci', value: 'PATH', help: 'folder for the state of containers' },
  log: { type: 'string', value: 'FILE', help: 'write the log there instead of to standard error' },
  'log-format': { type: 'string', default: 'text', value: 'FORMAT', help: 'text or json' },
  debug: { type: 'boolean', help: 'log more' },
  'systemd-cgroup': { type: 'boolean', help: 'linux.cgroupsPath is written slice:prefix:name' },
  rootless: { type: 'string', default: 'auto', value: 'MODE', help: 'accepted and ignored' },
  criu: { type: 'string', value: 'PATH', help: 'accepted and ignored' },
  version: { type: 'boolean', short: 'v', help: 'print the version' },
  help: { type: 'boolean', short: 'h', help: 'print this help' },
} as const satisfies FlagSpecs

export const createFlags = {
  bundle: { type: 'string', short: 'b', default: '.', value: 'PATH', help: 'folder with config.json' },
  'console-socket': { type: 'string', value: 'PATH', help: 'socket that gets the terminal' },
  'pidfd-socket': { type: 'string', value: 'PATH', help: 'socket that gets a descriptor of the first process' },
  'pid-file': { type: 'string', value: 'FILE', help: 'write the process id there' },
  'no-pivot': { type: 'boolean', help: 'do not use pivot_root' },
  'no-new-keyring': { type: 'boolean', help: 'keep the session keyring' },
  'preserve-fds': { type: 'number', default: 0, value: 'N', help: 'pass N descriptors behind the standard ones' },
} as const satisfies FlagSpecs

export const runFlags = {
  ...createFlags,
  detach: { type: 'boolean', short: 'd', help: 'do not wait for the end' },
  keep: { type: 'boolean', help: 'do not delete the container at its end' },
  'no-subreaper': { type: 'boolean', help: 'accepted and ignored' },
} as const satisfies FlagSpecs

export const execFlags = {
  'console-socket': { type: 'string', value: 'PATH', help: 'socket that gets the terminal' },
  'pidfd-socket': { type: 'string', value: 'PATH', help: 'socket that gets a descriptor of the process' },
  cwd: { type: 'string', value: 'PATH', help: 'working folder' },
  env: { type: 'strings', short: 'e', value: 'NAME=VALUE', help: 'add to the environment' },
  tty: { type: 'boolean', short: 't', help: 'with a terminal' },
  user: { type: 'string', short: 'u', value: 'UID[:GID]', help: 'user and group' },
  'additional-gids': { type: 'list', short: 'g', value: 'GID', help: 'more groups' },
  process: { type: 'string', short: 'p', value: 'FILE', help: 'process object as JSON' },
  detach: { type: 'boolean', short: 'd', help: 'do not wait for the end' },
  'pid-file': { type: 'string', value: 'FILE', help: 'write the process id there' },
  'process-label': { type: 'string', value: 'LABEL', help: 'SELinux label' },
  apparmor: { type: 'string', value: 'PROFILE', help: 'AppArmor profile' },
  'no-new-privs': { type: 'boolean', help: 'no new privileges' },
  cap: { type: 'strings', short: 'c', value: 'CAP', help: 'add a capability' },
  'preserve-fds': { type: 'number', default: 0, value: 'N', help: 'pass N descriptors behind the standard ones' },
  cgroup: { type: 'strings', value: 'PATH', help: "run in a group beneath the container's" },
  'ignore-paused': { type: 'boolean', help: 'also in a paused container' },
} as const satisfies FlagSpecs

export const updateFlags = {
  resources: { type: 'string', short: 'r', value: 'FILE', help: 'linux.resources as JSON; - reads standard input' },
  'blkio-weight': { type: 'number', value: 'N', help: 'block I/O weight, 10 to 1000' },
  'cpu-period': { type: 'number', value: 'US', help: 'CFS period' },
  'cpu-quota': { type: 'number', value: 'US', help: 'CFS quota in a period' },
  'cpu-burst': { type: 'number', value: 'US', help: 'CFS burst' },
  'cpu-share': { type: 'number', value: 'N', help: 'CPU shares' },
  'cpu-idle': { type: 'number', value: 'N', help: '1: only when the CPU is idle' },
  'cpu-rt-period': { type: 'number', value: 'US', help: 'real-time period' },
  'cpu-rt-runtime': { type: 'number', value: 'US', help: 'real-time share of a period' },
  'cpuset-cpus': { type: 'string', value: 'LIST', help: 'processors' },
  'cpuset-mems': { type: 'string', value: 'LIST', help: 'memory nodes' },
  'kernel-memory': { type: 'string', value: 'BYTES', help: 'accepted and ignored' },
  'kernel-memory-tcp': { type: 'string', value: 'BYTES', help: 'accepted and ignored' },
  memory: { type: 'string', value: 'BYTES', help: 'memory limit' },
  'memory-reservation': { type: 'string', value: 'BYTES', help: 'memory reservation' },
  'memory-swap': { type: 'string', value: 'BYTES', help: 'memory and swap limit; -1: none' },
  'pids-limit': { type: 'number', value: 'N', help: 'processes; -1: no limit' },
  'l3-cache-schema': { type: 'string', value: 'SCHEMA', help: 'not supported' },
  'mem-bw-schema': { type: 'string', value: 'SCHEMA', help: 'not supported' },
} as const satisfies FlagSpecs

const format = { type: 'string', short: 'f', default: 'table', value: 'FORMAT', help: 'table or json' } as const

export const listFlags = { format, quiet: { type: 'boolean', short: 'q', help: 'only ids' } } as const satisfies FlagSpecs
export const psFlags = { format } as const satisfies FlagSpecs
export const killFlags = { all: { type: 'boolean', short: 'a', help: 'every process of the container' } } as const satisfies FlagSpecs
export const removeFlags = {
  force: { type: 'boolean', short: 'f', help: 'kill it first; an unknown id is fine' },
} as const satisfies FlagSpecs

export const eventsFlags = {
  interval: { type: 'string', default: '5s', value: 'DURATION', help: 'time between statistics' },
  stats: { type: 'boolean', help: 'print statistics once' },
} as const satisfies FlagSpecs

export const specFlags = {
  bundle: { type: 'string', short: 'b', default: '.', value: 'PATH', help: 'folder that gets the file' },
  rootless: { type: 'boolean', help: 'for a user without privileges' },
} as const satisfies FlagSpecs
