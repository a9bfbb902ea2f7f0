// Credentials that docker and podman users have: config.json's auths, credHelpers and credsStore.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { readIfThere } from './disk.js'
import type { Reference } from './reference.js'
import type { RegistryAuth } from './types.js'

export interface Credentials {
  readonly username?: string
  readonly password?: string
  readonly identityToken?: string
  readonly registryToken?: string
}

type Environment = Readonly<Record<string, string | undefined>>

/** CRI's AuthConfig as credentials; `auth` is base64 of `username:password`. */
export function fromAuth(auth: RegistryAuth): Credentials {
  const decoded = auth.auth ? Buffer.from(auth.auth, 'base64').toString('utf8').replace(/\0+$/, '') : undefined
  const colon = decoded?.indexOf(':') ?? -1
  if (decoded !== undefined && colon < 0) throw new Error('the credentials\' "auth" is not base64 of USERNAME:PASSWORD')
  const username = auth.username || (decoded !== undefined ? decoded.slice(0, colon) : undefined)
  const password = auth.password || (decoded !== undefined ? decoded.slice(colon + 1) : undefined)
  return {
    ...(username ? { username } : {}),
    ...(password ? { password } : {}),
    ...(auth.identityToken ? { identityToken: auth.identityToken } : {}),
    ...(auth.registryToken ? { registryToken: auth.registryToken } : {}),
  }
}

interface ConfigFile {
  readonly auths?: Readonly<
    Record<string, { auth?: string; username?: string; password?: string; identitytoken?: string; registrytoken?: string }>
  >
  readonly credHelpers?: Readonly<Record<string, string>>
  readonly credsStore?: string
}

const DOCKER_HUB = 'https://index.docker.io/v1/'

/** The keys under which a config may have a registry's entry, most precise first: podman's repositories, then the host. */
function keysFor({ domain, path }: Reference): readonly string[] {
  const parts = path.split('/')
  const repositories = parts.map((_, i) => `${domain}/${parts.slice(0, parts.length - i).join('/')}`)
  return [...repositories, domain, ...(domain === 'docker.io' ? [DOCKER_HUB, 'index.docker.io', 'registry-1.docker.io'] : [])]
}

const plainKey = (key: string): string => (key === DOCKER_HUB ? key : key.replace(/^https?:\/\//, '').replace(/\/(v[12]\/?)?$/, ''))

const HELPER_SECONDS = 30

/** Asks `docker-credential-NAME`; undefined when it knows nothing of the server. */
function askHelper(name: string, server: string, env: Environment): Promise<Credentials | undefined> {
  if (!/^[A-Za-z0-9._-]+$/.test(name)) return Promise.reject(new Error(`"${name}" is not a credential helper's name`))
  const program = `docker-credential-${name}`
  return new Promise((resolve, reject) => {
    // Not spawn's own limit: its timer outlives a program that is not there.
    const signal = AbortSignal.timeout(HELPER_SECONDS * 1000)
    const child = spawn(program, ['get'], { stdio: ['pipe', 'pipe', 'pipe'], env: env as NodeJS.ProcessEnv, signal })
    let out = ''
    let err = ''
    child.stdout.on('data', (chunk) => {
      out += chunk
    })
    child.stderr.on('data', (chunk) => {
      err += chunk
    })
    child.on('error', (error) => {
      const problem = signal.aborted ? `no answer within ${HELPER_SECONDS} s` : (error as NodeJS.ErrnoException).code
      reject(new Error(`credential helper ${program}: ${problem}`))
    })
    child.on('close', (code) => {
      if (code !== 0) {
        if (/credentials not found/i.test(out + err)) resolve(undefined)
        else reject(new Error(`credential helper ${program} failed with exit code ${code}: ${(out + err).trim().slice(0, 200)}`))
        return
      }
      try {
        const { Username, Secret } = JSON.parse(out) as { Username: string; Secret: string }
        resolve(Username === '<token>' ? { identityToken: Secret } : { username: Username, password: Secret })
      } catch {
        reject(new Error(`credential helper ${program} did not answer with JSON`))
      }
    })
    child.stdin.on('error', () => {})
    child.stdin.end(server)
  })
}

/** Config files in the order in which they count. */
export function configFiles(env: Environment): readonly string[] {
  const files: string[] = []
  if (env.REGISTRY_AUTH_FILE) files.push(env.REGISTRY_AUTH_FILE)
  if (env.DOCKER_CONFIG) files.push(join(env.DOCKER_CONFIG, 'config.json'))
  if (env.XDG_RUNTIME_DIR) files.push(join(env.XDG_RUNTIME_DIR, 'containers/auth.json'))
  if (env.HOME) files.push(join(env.HOME, '.docker/config.json'))
  return files
}

/** What the user's files and helpers know of this registry; undefined: nothing, ask without. */
export async function findCredentials(reference: Reference, env: Environment): Promise<Credentials | undefined> {
  for (const file of configFiles(env)) {
    const text = readIfThere(file)
    if (text === undefined) continue
    let config: ConfigFile
    try {
      config = JSON.parse(text) as ConfigFile
    } catch {
      throw new Error(`${file} is not JSON`)
    }
    const server = reference.domain === 'docker.io' ? DOCKER_HUB : reference.domain
    const helper = config.credHelpers?.[reference.domain] ?? config.credHelpers?.[server]
    if (helper) return askHelper(helper, server, env)
    const entries = new Map(Object.entries(config.auths ?? {}).map(([key, entry]) => [plainKey(key), entry]))
    for (const key of keysFor(reference)) {
      const entry = entries.get(key)
      if (!entry) continue
      const found = fromAuth({
        ...(entry.auth ? { auth: entry.auth } : {}),
        ...(entry.username ? { username: entry.username } : {}),
        ...(entry.password ? { password: entry.password } : {}),
        ...(entry.identitytoken ? { identityToken: entry.identitytoken } : {}),
        ...(entry.registrytoken ? { registryToken: entry.registrytoken } : {}),
      })
      // With credsStore the entry is only a mark that the helper knows it.
      if (Object.keys(found).length > 0) return found
    }
    if (config.credsStore) {
      const found = await askHelper(config.credsStore, server, env)
      if (found) return found
    }
  }
  return undefined
}
