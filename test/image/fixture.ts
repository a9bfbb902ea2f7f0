// What the image tests share: a real registry on loopback, folders that go away, tars made by hand.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createImageStore, type ImageStore, type ImageStoreOptions } from '../../src/image/index.js'
import { endOfTar, padding, type TarHeader, tarHeader } from '../../src/image/tar-write.js'

export const isRoot = process.getuid?.() === 0

/** True when the program can be found. */
export const have = (program: string): boolean => (process.env.PATH ?? '').split(':').some((folder) => existsSync(join(folder, program)))

/** A reason to skip, or false. */
export function needs(...programs: readonly string[]): string | false {
  if (!isRoot) return 'needs root'
  const missing = programs.filter((program) => !have(program))
  return missing.length > 0 ? `needs ${missing.join(', ')}` : false
}

interface Teardown {
  teardown(run: () => unknown): void
}

export function folder(t: Teardown): string {
  const path = mkdtempSync(join(tmpdir(), 'knarr-image-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

export const env = { PATH: process.env.PATH ?? '' }

export function openStore(t: Teardown, root: string, options: Partial<ImageStoreOptions> = {}): ImageStore {
  const { registries, ...rest } = options
  const store = createImageStore({ root, ...rest, registries: { env, hostFolders: [], ...registries } })
  // Timers of the clock do not keep a process alive.
  const alive = setInterval(() => {}, 2 ** 30)
  t.teardown(async () => {
    clearInterval(alive)
    await store.close()
  })
  return store
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

export interface RunningRegistry {
  /** `127.0.0.1:PORT` */
  readonly host: string
  readonly process: ChildProcess
  /** PEM file of its own authority, with TLS. */
  readonly ca: string
  readonly storage: string
}

/** Debian's docker-registry with the given extras, ready to answer. */
export async function startRegistry(
  t: Teardown,
  options: { readonly tls?: boolean; readonly clients?: boolean; readonly user?: string; readonly password?: string } = {},
): Promise<RunningRegistry> {
  const home = mkdtempSync(join(tmpdir(), 'knarr-registry-'))
  const port = await freePort()
  const host = `127.0.0.1:${port}`
  const ca = join(home, 'ca.pem')
  let http = `http:\n  addr: ${host}\n  secret: only-for-this-test\n`
  if (options.tls) {
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-days',
        '2',
        '-subj',
        '/CN=registry',
        '-addext',
        'subjectAltName=IP:127.0.0.1',
        '-keyout',
        join(home, 'key.pem'),
        '-out',
        ca,
      ],
      { stdio: 'ignore' },
    )
    http += `  tls:\n    certificate: ${ca}\n    key: ${join(home, 'key.pem')}\n`
    // Clients must show a certificate of the same authority.
    if (options.clients) http += `    clientcas:\n      - ${ca}\n`
  }
  let auth = ''
  if (options.user !== undefined) {
    // htpasswd with bcrypt is what the registry takes.
    const line = execFileSync('htpasswd', ['-Bbn', options.user, options.password ?? ''], { encoding: 'utf8' })
    writeFileSync(join(home, 'htpasswd'), line)
    auth = `auth:\n  htpasswd:\n    realm: test\n    path: ${join(home, 'htpasswd')}\n`
  }
  const storage = join(home, 'data')
  mkdirSync(storage)
  const config = join(home, 'config.yml')
  writeFileSync(config, `version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: ${storage}\n${http}${auth}`)
  const child = spawn('docker-registry', ['serve', config], { stdio: ['ignore', 'ignore', 'pipe'] })
  let log = ''
  child.stderr.on('data', (chunk) => {
    log += chunk
  })
  t.teardown(async () => {
    if (child.exitCode === null) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    rmSync(home, { recursive: true, force: true })
  })
  // It has no way to say that it listens: ask until it does.
  for (;;) {
    if (child.exitCode !== null) throw new Error(`docker-registry ended: ${log}`)
    const answered = await fetch(`http://${host}/v2/`).then(
      () => true,
      (error) => (error as { cause?: { code?: string } }).cause?.code !== 'ECONNREFUSED',
    )
    if (answered) break
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return { host, process: child, ca, storage }
}

/** A tar of these entries; `data` is the body. */
export function makeTar(entries: readonly (Partial<TarHeader> & { readonly path: string; readonly data?: string | Uint8Array })[]): Buffer {
  const parts: Buffer[] = []
  for (const { data, ...header } of entries) {
    const bytes = Buffer.from((data ?? '') as string)
    parts.push(tarHeader({ kind: '0', mode: 0o644, ...header, size: header.size ?? bytes.length }), bytes, padding(bytes.length))
  }
  return Buffer.concat([...parts, endOfTar()])
}
