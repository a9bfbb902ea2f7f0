// Where the node's own resolver is described, in a way that is of use to pods too.
import { parseResolvConf } from '../kubelet/index.js'
import { readFileIfPresent } from './files.js'

const FILE = '/etc/resolv.conf'
/** Behind the stub that systemd-resolved(8) puts on the node's loopback, which no pod reaches, stand the servers that it asks. */
const BEHIND_STUB = '/run/systemd/resolve/resolv.conf'

const isLoopback = (server: string): boolean => /^127\.|^::1$/.test(server)

export function nodeResolvConf(read: (path: string) => string | undefined = readFileIfPresent): string {
  const servers = (path: string): readonly string[] => parseResolvConf(read(path) ?? '').servers
  const own = servers(FILE)
  return own.length > 0 && own.every(isLoopback) && servers(BEHIND_STUB).some((server) => !isLoopback(server)) ? BEHIND_STUB : FILE
}
