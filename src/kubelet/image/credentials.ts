// Which of the pull secrets fit an image.
import type { Secret } from '../../api/index.js'
import type { AuthConfig } from '../../cri/index.js'
import { registryOf } from './name.js'

interface DockerAuth {
  readonly username?: string
  readonly password?: string
  readonly auth?: string
  readonly identitytoken?: string
  readonly registrytoken?: string
}

const DOCKER_HUB = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io'])

/** `https://registry.example/v1/` and `registry.example/team` both name a host and perhaps a path. */
function target(server: string): { readonly host: string; readonly path: string } {
  const bare = server.replace(/^https?:\/\//, '').replace(/\/+$/, '')
  const [host = '', ...rest] = bare.split('/')
  const path = rest.join('/').replace(/^v[12]\/?/, '')
  return { host, path }
}

/** One `*` stands for one label or part of it. */
function hostMatches(pattern: string, host: string): boolean {
  const [patternName = '', patternPort] = pattern.split(':')
  const [name = '', port] = host.split(':')
  if (patternPort !== undefined && patternPort !== port) return false
  const labels = patternName.split('.')
  const actual = name.split('.')
  if (labels.length !== actual.length) return false
  return labels.every((label, i) =>
    new RegExp(`^${label.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '[^.]*')}$`).test(actual[i] ?? ''),
  )
}

function readSecret(secret: Secret): Readonly<Record<string, DockerAuth>> {
  const text = (key: string): string => Buffer.from(secret.data?.[key] ?? '', 'base64').toString('utf8')
  try {
    if (secret.type === 'kubernetes.io/dockerconfigjson' || secret.data?.['.dockerconfigjson'])
      return (JSON.parse(text('.dockerconfigjson')) as { auths?: Record<string, DockerAuth> }).auths ?? {}
    if (secret.data?.['.dockercfg']) return JSON.parse(text('.dockercfg')) as Record<string, DockerAuth>
  } catch {
    // A secret that is no JSON names no registry: the pull will say what is missing.
  }
  return {}
}

function authOf(server: string, { username, password, auth, identitytoken, registrytoken }: DockerAuth): AuthConfig {
  const [user, ...rest] = auth ? Buffer.from(auth, 'base64').toString('utf8').split(':') : []
  const name = username ?? user
  const secret = password ?? (auth ? rest.join(':') : undefined)
  return {
    ...(name === undefined ? {} : { username: name }),
    ...(secret === undefined ? {} : { password: secret }),
    serverAddress: server,
    ...(identitytoken ? { identityToken: identitytoken } : {}),
    ...(registrytoken ? { registryToken: registrytoken } : {}),
  }
}

/** All credentials that fit, the longest path first; try them in turn. */
export function credentialsFor(image: string, secrets: readonly Secret[]): readonly AuthConfig[] {
  const registry = registryOf(image)
  const repository = image.startsWith(`${registry}/`) ? image.slice(registry.length + 1) : image
  const fitting: { readonly length: number; readonly auth: AuthConfig }[] = []
  for (const secret of secrets) {
    for (const [server, auth] of Object.entries(readSecret(secret))) {
      const { host, path } = target(server)
      const sameHost = DOCKER_HUB.has(host) ? DOCKER_HUB.has(registry) : hostMatches(host, registry)
      if (sameHost && repository.startsWith(path)) fitting.push({ length: path.length, auth: authOf(server, auth) })
    }
  }
  return fitting.sort((a, b) => b.length - a.length).map(({ auth }) => auth)
}
