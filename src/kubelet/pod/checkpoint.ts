// The pod as it was when its sandbox was made, beside its volumes: for a daemon that starts while the API server is away.
import { promises as fs } from 'node:fs'
import { join } from 'node:path'
import type { Pod } from '../../api/index.js'
import { hasErrno } from '../../lib/index.js'

const FILE = 'pod.json'

export async function saveCheckpoint(podFolder: string, pod: Pod): Promise<void> {
  const path = join(podFolder, FILE)
  await fs.writeFile(`${path}.new`, JSON.stringify(pod), { mode: 0o600 })
  await fs.rename(`${path}.new`, path)
}

export async function loadCheckpoint(podFolder: string): Promise<Pod | undefined> {
  try {
    return JSON.parse(await fs.readFile(join(podFolder, FILE), 'utf8')) as Pod
  } catch (error) {
    if (hasErrno(error, 'ENOENT') || error instanceof SyntaxError) return undefined
    throw error
  }
}
