// A pod's server for probes and hooks: `web-program.ts` under the machine's own Node, as a container.
import { mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type PodSpec, Secret } from '../../src/api/index.js'
import { systemClock, systemRandom } from '../../src/lib/index.js'
import { issue } from '../../src/pki/index.js'
import { IMAGE, type NodeScene } from './scene.js'

const dist = join(import.meta.dirname, '../..')
const mounts: readonly (readonly [name: string, hostPath: string, mountPath: string])[] = [
  ['usr', '/usr', '/usr'],
  ['lib', realpathSync('/lib'), '/lib'],
  ...(process.arch === 'x64' ? ([['lib64', realpathSync('/lib64'), '/lib64']] as const) : []),
  ['node', dirname(realpathSync(process.execPath)), '/node'],
  ['dist', dist, '/app/dist'],
  ['package', join(dist, '../package.json'), '/app/package.json'],
  ['modules', realpathSync(join(dist, '../node_modules')), '/app/node_modules'],
]

export interface Web {
  readonly volumes: NonNullable<PodSpec['volumes']>
  readonly container: PodSpec['containers'][number]
  /** Makes one kind of answer fail, or no more. */
  fail(kind: string, on: boolean): void
  /** What it was asked, one line each. */
  requests(): readonly string[]
  readonly folder: string
}

export async function web(n: NodeScene, name: string): Promise<Web> {
  const folder = join(n.s.dir, name)
  mkdirSync(folder)
  const secret = `${name}-tls`
  const subject = { commonName: 'web' }
  const { cert, key } = await issue(n.api.ca, { subject, usages: ['server auth'] }, { clock: systemClock, random: systemRandom })
  const data = { 'tls.crt': Buffer.from(cert).toString('base64'), 'tls.key': Buffer.from(key).toString('base64') }
  await n.client.create(Secret, {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: secret, namespace: 'default' },
    type: 'kubernetes.io/tls',
    data,
  })
  return {
    folder,
    volumes: [
      ...mounts.map(([of, path]) => ({ name: of, hostPath: { path } })),
      { name: 'shared', hostPath: { path: folder } },
      { name: 'tls', secret: { secretName: secret } },
    ],
    container: {
      name: 'web',
      image: IMAGE,
      imagePullPolicy: 'IfNotPresent',
      command: ['/node/node', '/app/dist/test/kubelet/web-program.js'],
      ports: [{ name: 'web', containerPort: 8080 }],
      volumeMounts: [
        ...mounts.map(([of, , mountPath]) => ({ name: of, mountPath, readOnly: true })),
        { name: 'shared', mountPath: '/shared' },
        { name: 'tls', mountPath: '/tls', readOnly: true },
      ],
    },
    fail(kind, on) {
      if (on) writeFileSync(join(folder, `bad-${kind}`), '')
      else rmSync(join(folder, `bad-${kind}`), { force: true })
    },
    requests() {
      try {
        return readFileSync(join(folder, 'requests'), 'utf8').split('\n').slice(0, -1)
      } catch {
        return []
      }
    },
  }
}
