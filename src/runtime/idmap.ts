// Descriptors of user namespaces that hold nothing but id maps: what an idmapped mount is told.
import { closeSync, openSync, readSync, writeFileSync } from 'node:fs'
import { elfProgram, launch, memoryFile, ProgramWriter, pipe, program, reap, thisArchitecture } from '../sys/index.js'
import { mapText } from './plan/user-namespace.js'
import type { IdMapping, MountSpec, Spec } from './spec.js'

const { address, value } = program

const CLONE_NEWUSER = 0x10000000

/** A process that enters a new user namespace, says so, and waits until nobody needs it. */
function holder(): program.Program {
  const w = new ProgramWriter()
  w.block('holder')
  w.step('new user namespace', 'unshare', [CLONE_NEWUSER])
  w.region('record', [1])
  w.step('say so', 'write', [value('given-report'), address('record'), 8])
  w.step('wait', 'read', [value('given-hold'), address('byte'), 1], { retry: true })
  w.block('fail')
  w.step('exit', 'exit_group', [0], { onError: 'ignore' })
  return w.program('holder')
}

function userNamespaceWith(uids: readonly IdMapping[], gids: readonly IdMapping[]): number {
  const elf = elfProgram(holder(), thisArchitecture)
  const report = { ...pipe() }
  const hold = pipe()
  const sink = openSync('/dev/null', 'r+')
  let executable: number | undefined
  try {
    elf.setWord('given-report', report.write)
    elf.setWord('given-hold', hold.read)
    executable = memoryFile('knarr-idmap', elf.file)
    const { pid, pidfd } = launch({ executable, argv: ['knarr-idmap'], stdio: [sink, sink, sink], keep: [report.write, hold.read] })
    closeSync(pidfd)
    try {
      closeSync(report.write)
      report.write = -1
      if (readSync(report.read, Buffer.alloc(8)) !== 8) throw new Error('idmapped mount: no new user namespace could be made')
      writeFileSync(`/proc/${pid}/uid_map`, mapText(uids))
      writeFileSync(`/proc/${pid}/gid_map`, mapText(gids))
      return openSync(`/proc/${pid}/ns/user`, 'r')
    } finally {
      process.kill(pid, 'SIGKILL')
      reap(pid)
    }
  } finally {
    for (const fd of [report.read, report.write, hold.read, hold.write, sink, executable ?? -1]) if (fd >= 0) closeSync(fd)
  }
}

/** Where an idmapped mount has its maps from: its own, those of the container, or those of the namespace that the container joins. */
type IdMaps = { readonly uids: readonly IdMapping[]; readonly gids: readonly IdMapping[] } | { readonly path: string }

/** A new descriptor; the caller closes it. */
export const userNamespaceOf = (maps: IdMaps): number =>
  'path' in maps ? openSync(maps.path, 'r') : userNamespaceWith(maps.uids, maps.gids)

/** By index in `spec.mounts`: the maps of those that are idmapped. */
export function idmappedMounts(spec: Spec): ReadonlyMap<number, IdMaps> {
  const { uidMappings = [], gidMappings = [], namespaces = [] } = spec.linux ?? {}
  const path = namespaces.find(({ type }) => type === 'user')?.path
  const found = new Map<number, IdMaps>()
  for (const [index, mount] of (spec.mounts ?? []).entries()) {
    if (!isIdmapped(mount)) continue
    const joined = path && !mount.uidMappings?.length && uidMappings.length === 0
    found.set(index, joined ? { path } : { uids: mount.uidMappings ?? uidMappings, gids: mount.gidMappings ?? gidMappings })
  }
  return found
}

const isIdmapped = (mount: MountSpec): boolean =>
  (mount.uidMappings?.length ?? 0) > 0 || (mount.options ?? []).some((word) => word === 'idmap' || word === 'ridmap')
