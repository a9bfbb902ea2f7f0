// kubectl against a running control plane with hollow nodes, and what it shows.
import { execFile, spawnSync } from 'node:child_process'
import type { Test } from 'tap'
import { ServiceAccount } from '../../src/api/index.js'
import { serveApi } from '../apiserver/tls.js'
import { startPlane, until } from './plane.js'

export const kubectlOptions =
  spawnSync('kubectl', ['version', '--client']).status === 0 ? { timeout: 300_000 } : { skip: 'kubectl is not installed' }

export async function kubectlPlane(t: Test) {
  const served = await serveApi(t)
  const { client } = await startPlane(t, { server: served, hollow: { stopMs: [5, 20] } })
  await until('service account', () => client.find(ServiceAccount, { namespace: 'default', name: 'default' }))
  /** What it prints, on both streams when it fails. */
  const kubectl = (args: readonly string[], input = ''): Promise<string> =>
    new Promise((resolve) => {
      const child = execFile('kubectl', ['--kubeconfig', served.kubeconfig, ...args], { timeout: 60_000 }, (error, stdout, stderr) =>
        resolve(error ? `${stdout}${stderr}` : `${stdout}`),
      )
      child.stdin?.end(input)
    })
  /** Runs until the output is as expected: what is shown may be a moment behind. */
  const shows = async (pattern: RegExp, ...args: string[]): Promise<void> => {
    let last = ''
    await until(`kubectl ${args.join(' ')}`, async () => {
      last = await kubectl(args)
      return pattern.test(last)
    }).catch(() => {})
    t.match(last, pattern, `kubectl ${args.join(' ')}`)
  }
  return { kubectl, shows }
}
