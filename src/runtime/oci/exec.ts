// `exec`: another process in a container.
import { closeSync } from 'node:fs'
import { type Flags, parseFlags, UsageError } from '../../lib/index.js'
import { connectUnix } from '../../sys/index.js'
import type { Process, Spec } from '../spec.js'
import { forwardSignals, sendPidfd } from './create.js'
import { execFlags } from './flags.js'
import { blockingStdio, readJson, type Session, writePidFile } from './session.js'
import { subCgroups } from './sub-cgroups.js'
import { pumpTerminal } from './terminal-pump.js'

/** The process that a command line asks for: the container's own, changed by the flags. */
export function processOf(spec: Spec, flags: Flags<typeof execFlags>, args: readonly string[]): Process {
  if (flags.process) return readJson(flags.process) as Process
  const base = spec.process
  if (!base) throw new UsageError('the container has no process to take settings from: use --process')
  if (args.length === 0) throw new UsageError('exec args cannot be empty')
  const [uid, gid] = (flags.user ?? '').split(':')
  const groups = flags['additional-gids'].map(Number)
  const user = {
    ...base.user,
    uid: uid ? Number(uid) : (base.user?.uid ?? 0),
    gid: gid ? Number(gid) : (base.user?.gid ?? 0),
    ...(groups.length > 0 ? { additionalGids: [...(base.user?.additionalGids ?? []), ...groups] } : {}),
  }
  if (!Number.isInteger(user.uid) || !Number.isInteger(user.gid))
    throw new UsageError(`--user ${flags.user}: want UID or UID:GID as numbers`)
  const sets = base.capabilities ?? {}
  const more = (set: readonly string[] | undefined): readonly string[] => [...new Set([...(set ?? []), ...flags.cap])]
  const { consoleSize: _, ...rest } = base
  return {
    ...rest,
    args,
    terminal: flags.tty,
    user,
    cwd: flags.cwd ?? base.cwd,
    env: [...(base.env ?? []), ...flags.env],
    noNewPrivileges: flags['no-new-privs'] || (base.noNewPrivileges ?? false),
    ...(flags.apparmor ? { apparmorProfile: flags.apparmor } : {}),
    ...(flags['process-label'] ? { selinuxLabel: flags['process-label'] } : {}),
    ...(flags.cap.length > 0
      ? {
          capabilities: {
            ...sets,
            bounding: more(sets.bounding),
            effective: more(sets.effective),
            permitted: more(sets.permitted),
            // Ambient ones must be inheritable, and those are the spec's alone.
            ...(sets.inheritable ? { ambient: more(sets.ambient) } : {}),
          },
        }
      : {}),
  }
}

/** As runc: 255 is ours, everything else the program's. */
export async function exec(session: Session, argv: readonly string[]): Promise<number> {
  try {
    return await execIn(session, argv)
  } catch (error) {
    session.fail(error)
    return 255
  }
}

async function execIn(session: Session, argv: readonly string[]): Promise<number> {
  const { flags, args } = parseFlags(execFlags, argv, { stopAtArgument: true })
  const [id, ...command] = args
  if (id === undefined) throw new UsageError('want a container id and a command')
  const spec = await session.containers.spec(id)
  const wanted = processOf(spec, flags, command[0] === '--' ? command.slice(1) : command)
  const socketPath = flags['console-socket']
  if (wanted.terminal && flags.detach && !socketPath)
    throw new UsageError('cannot allocate tty if runc will detach without setting console socket')
  const consoleSocket = socketPath ? connectUnix(socketPath) : undefined
  blockingStdio()
  const started = await session.containers
    .execWith(
      id,
      {
        process: wanted,
        stdio: { stdin: { fd: 0 }, stdout: { fd: 1 }, stderr: { fd: 2 } },
        preserveFds: flags['preserve-fds'],
        subCgroups: subCgroups(flags.cgroup),
      },
      { ...(consoleSocket === undefined ? {} : { consoleSocket }), ignorePaused: flags['ignore-paused'] },
    )
    .finally(() => {
      if (consoleSocket !== undefined) closeSync(consoleSocket)
    })
  try {
    sendPidfd(flags['pidfd-socket'], started.pid)
    writePidFile(flags['pid-file'], started.pid)
  } catch (error) {
    started.kill(9)
    await started.wait()
    throw error
  }
  if (flags.detach) return 0
  const restore = started.terminal === undefined ? undefined : pumpTerminal(started.terminal, session.io)
  const stop = forwardSignals(started.pid)
  const { exitCode } = await started.wait()
  stop()
  restore?.()
  return exitCode
}
