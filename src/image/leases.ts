// Who is in the middle of what: a lease keeps digests from the garbage collector while its holder lives, in this process or another.
import { closeSync, fstatSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { type Clock, type Random, sleep } from '../lib/index.js'
import { lockFile, unlockFile } from '../sys/index.js'
import { randomName, type StorePaths } from './disk.js'

export interface Lease {
  /** After this resolves the collector spares these digests (and layer names) until `end`. */
  hold(names: readonly string[]): Promise<void>
  end(): void
}

export interface Leases {
  begin(): Lease
  /** Runs while nobody can add to a lease; gets what living leases hold. Leases of dead holders are removed. */
  exclusively<T>(act: (held: ReadonlySet<string>) => T | Promise<T>): Promise<T>
}

/** Living holders have their file locked; the kernel lets go of the lock when they die, however they die. */
export function leases(paths: StorePaths, { clock, random }: { readonly clock: Clock; readonly random: Random }): Leases {
  const gate = join(paths.root, 'gc.lock')
  const withGate = async <T>(mode: 'shared' | 'exclusive', act: () => T | Promise<T>): Promise<T> => {
    const fd = openSync(gate, 'a', 0o600)
    try {
      // The other side holds it for the length of a collection at most; there is no event to wait for.
      while (!lockFile(fd, mode)) await sleep(clock, 5)
      return await act()
    } finally {
      closeSync(fd)
    }
  }
  const living = (): ReadonlySet<string> => {
    const held = new Set<string>()
    for (const name of readdirSync(paths.leases)) {
      const path = join(paths.leases, name)
      const fd = openSync(path, 'r')
      try {
        if (lockFile(fd, 'exclusive')) rmSync(path, { force: true })
        else for (const line of readFileSync(path, 'utf8').split('\n')) if (line !== '') held.add(line)
      } finally {
        closeSync(fd)
      }
    }
    return held
  }
  return {
    begin() {
      const path = join(paths.leases, randomName(random))
      let fd: number | undefined
      return {
        hold: (names) =>
          withGate('shared', () => {
            if (fd === undefined) {
              fd = openSync(path, 'ax', 0o600)
              lockFile(fd, 'exclusive')
            }
            writeSync(fd, names.map((name) => `${name}\n`).join(''))
          }),
        end() {
          if (fd === undefined) return
          rmSync(path, { force: true })
          closeSync(fd)
          fd = undefined
        },
      }
    },
    exclusively: (act) => withGate('exclusive', () => act(living())),
  }
}

/** A lock that one process at a time may hold on something named: a download, a layer being unpacked. Undefined when another holds it. */
export function tryHold(path: string): { release(): void } | undefined {
  const fd = openSync(path, 'a', 0o600)
  if (!lockFile(fd, 'exclusive')) {
    closeSync(fd)
    return undefined
  }
  // The file may have been deleted by its last holder between our open and our lock.
  const now = statSync(path, { throwIfNoEntry: false })
  if (now === undefined || now.ino !== fstatSync(fd).ino) {
    closeSync(fd)
    return tryHold(path)
  }
  return {
    release() {
      rmSync(path, { force: true })
      unlockFile(fd)
      closeSync(fd)
    },
  }
}

/** Waits for `tryHold`. */
export async function hold(path: string, clock: Clock, signal?: AbortSignal): Promise<{ release(): void }> {
  for (;;) {
    const held = tryHold(path)
    if (held) return held
    await sleep(clock, 20, signal)
  }
}
