// `knarr backup` and `knarr restore`: the embedded store as a folder that can be carried away.
import { cpSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { type Command, parseFlags, systemClock, UsageError } from '../lib/index.js'
import { backupLmdb, openLmdbStore } from './lmdb.js'

const DATA = '/var/lib/knarr/store'

const flags = {
  data: { type: 'string', default: DATA, value: 'PATH', help: 'folder of the store' },
} as const

function oneFolder(args: readonly string[], name: string): string {
  const [folder, more] = args
  if (folder === undefined || more !== undefined) throw new UsageError(`usage: knarr ${name} [--data PATH] FOLDER`)
  return folder
}

/** Also while the server runs. */
export const backup: Command = {
  summary: 'copy the embedded store into a folder, also while the server runs',
  async run(argv, io) {
    const { flags: given, args } = parseFlags(flags, argv)
    const target = oneFolder(args, 'backup')
    if (!existsSync(given.data)) throw new UsageError(`no store at ${given.data}: name its folder with --data`)
    await backupLmdb(given.data, target)
    const copy = await openLmdbStore({ path: target, clock: systemClock, verify: true })
    io.stdout.write(`${copy.verify()} keys at revision ${await copy.revision()} saved in ${target}\n`)
    await copy.close()
    return 0
  },
}

/** The server must be stopped; what is there is kept beside it. */
export const restore: Command = {
  summary: 'put a backup in the place of the embedded store; the server must be stopped',
  async run(argv, io) {
    const { flags: given, args } = parseFlags(flags, argv)
    const source = oneFolder(args, 'restore')
    if (!existsSync(`${source}/data.mdb`)) throw new UsageError(`no backup at ${source}`)
    const checked = await openLmdbStore({ path: source, clock: systemClock, verify: true })
    const summary = `${checked.verify()} keys at revision ${await checked.revision()}`
    await checked.close()
    const fresh = `${given.data}.restoring`
    rmSync(fresh, { recursive: true, force: true })
    mkdirSync(dirname(given.data), { recursive: true })
    cpSync(source, fresh, { recursive: true })
    if (existsSync(given.data)) {
      // Holding the lock proves that no server has it open.
      await (await openLmdbStore({ path: given.data, clock: systemClock })).close()
      const kept = `${given.data}.before-${systemClock.now()}`
      renameSync(given.data, kept)
      io.stdout.write(`the store that was there is kept in ${kept}\n`)
    }
    renameSync(fresh, given.data)
    io.stdout.write(`${summary} restored to ${given.data}\n`)
    return 0
  },
}
