// `knarr up --demo`: shows on a machine without any network what the cluster does: images, a rollout under load, and back.
import { mkdtempSync, rmSync } from 'node:fs'
import { get } from 'node:http'
import { join } from 'node:path'
import { Deployment, type Kind, Pod, ReplicaSet, Service } from '../api/index.js'
import type { Client } from '../client/index.js'
import { createImageStore } from '../image/index.js'
import { type CommandIo, isStatus, sleep } from '../lib/index.js'
import { checklist } from './checklist.js'
import { paths } from './paths.js'
import { writeNodeRoot } from './self-image.js'
import type { ProcessContext } from './server.js'
import { tableOf } from './table.js'
import { clientFrom, eventually, SetupError } from './up.js'

const NAME = 'demo'
const key = { namespace: 'default', name: NAME }
const imageName = (version: number): string => `knarr.local/demo:v${version}`

/** The program inside: answers with its page, and lets running requests finish when it is told to stop. */
const program = (page: string): string =>
  `const s=require('http').createServer((q,r)=>{r.setHeader('connection','close');r.end(${JSON.stringify(page)})}).listen(8080);process.on('SIGTERM',()=>s.close(()=>process.exit(0)))`

/** Two images of one layer, Node itself; they differ in the page. */
async function makeImages(): Promise<void> {
  const images = createImageStore({ root: paths.images })
  const root = mkdtempSync(join(paths.state, 'demo-'))
  try {
    writeNodeRoot(root)
    for (const version of [1, 2]) {
      const config = { Cmd: ['/usr/bin/node', '--max-semi-space-size=1', '-e', program(`Hello from version ${version}\n`)] }
      await images.import(root, { name: imageName(version), config, compression: 'none' })
    }
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

const labels = { app: NAME }

const deployment: Deployment = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { ...key, labels },
  spec: {
    replicas: 3,
    selector: { matchLabels: labels },
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
    template: {
      metadata: { labels },
      spec: {
        containers: [
          {
            name: 'web',
            image: imageName(1),
            imagePullPolicy: 'Never',
            ports: [{ containerPort: 8080 }],
            readinessProbe: { httpGet: { path: '/', port: 8080 }, periodSeconds: 1 },
            // Time for every node to take the pod out of the Service before it stops to listen.
            lifecycle: { preStop: { sleep: { seconds: 2 } } },
          },
        ],
      },
    },
  },
}

const service: Service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { ...key, labels },
  spec: { type: 'NodePort', selector: labels, ports: [{ port: 80, targetPort: 8080 }] },
}

const page = (host: string, port: number): Promise<string> =>
  new Promise((resolve, reject) => {
    const request = get({ host, port, timeout: 5000, agent: false }, (response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString()
      })
      response.on('end', () => resolve(text.trim()))
    })
    request.on('timeout', () => request.destroy(new Error('no answer within 5 s')))
    request.on('error', reject)
  })

/** True when the controller has seen the newest template and every replica is of it and available. */
const rolledOut = ({ metadata, spec, status }: Deployment): boolean =>
  (status?.observedGeneration ?? 0) >= (metadata.generation ?? 0) &&
  status?.updatedReplicas === spec?.replicas &&
  status?.replicas === spec?.replicas &&
  status?.availableReplicas === spec?.replicas

interface Load {
  readonly answers: Map<string, number>
  readonly failures: string[]
}

/** Asks again and again, eight at a time, until `work` is done. */
async function underLoad(host: string, port: number, work: () => Promise<void>): Promise<Load> {
  const load: Load = { answers: new Map(), failures: [] }
  let running = true
  const asker = async (): Promise<void> => {
    while (running) {
      try {
        const text = await page(host, port)
        load.answers.set(text, (load.answers.get(text) ?? 0) + 1)
      } catch (error) {
        load.failures.push(String(error))
      }
    }
  }
  const askers = Array.from({ length: 8 }, asker)
  try {
    await work()
  } finally {
    running = false
    await Promise.all(askers)
  }
  return load
}

async function recreate(client: Client): Promise<void> {
  for (const kind of [Deployment, Service] as const) {
    await client.delete(kind as typeof Deployment, key, { propagationPolicy: 'Foreground' }).catch((error: unknown) => {
      if (!isStatus(error, 'NotFound')) throw error
    })
  }
}

export async function demo(adminConf: string, nodeAddress: string, io: CommandIo, context: ProcessContext): Promise<void> {
  const list = checklist(io.stdout, context.clock)
  const { client, close } = await clientFrom(adminConf)
  const rollout = (): Promise<true> =>
    eventually('the rollout', 120_000, context, io.signal, async () => (rolledOut(await client.get(Deployment, key)) ? true : undefined))
  try {
    list.note('\nDemo: no network and no registry are needed.')
    await list.step('Two images were made from Node and a page', makeImages)
    await recreate(client)
    await eventually('removal of an earlier demo', 60_000, context, io.signal, async () =>
      (await client.find(Deployment, key)) ? undefined : true,
    )
    await list.step('Three replicas of version 1 are available', async () => {
      await client.create(Deployment, deployment)
      await rollout()
    })
    const { spec } = await client.create(Service, service)
    const port = spec?.ports?.[0]?.nodePort ?? 0
    const first = await list.step(`Service answers on port ${port} of the node`, () =>
      eventually('the Service', 30_000, context, io.signal, () => page(nodeAddress, port).catch(() => undefined)),
    )
    list.note(`    curl ${nodeAddress}:${port}  →  ${first}`)
    for (const [version, words] of [
      [2, 'Rolled to version 2 under load'],
      [1, 'Rolled back to version 1 under load'],
    ] as const) {
      const load = await list.step(words, () =>
        underLoad(nodeAddress, port, async () => {
          const patch = { spec: { template: { spec: { containers: [{ name: 'web', image: imageName(version) }] } } } }
          await client.patch(Deployment, key, patch, { type: 'strategic' })
          await rollout()
          // The last of the old ones go after the rollout is over.
          await sleep(context.clock, 500, io.signal)
        }),
      )
      const answers = [...load.answers].map(([text, count]) => `${count} × "${text}"`).join(', ')
      list.note(`    ${answers}; ${load.failures.length} requests lost`)
      if (load.failures.length > 0) throw new SetupError(`requests were lost during the rollout: ${load.failures[0]}`)
    }
    await eventually('the end of the old pods', 60_000, context, io.signal, async () =>
      (await client.list(Pod, { namespace: key.namespace, labelSelector: `app=${NAME}` })).items.length === 3 ? true : undefined,
    )
    list.note('\nkubectl get all:\n')
    const kinds: readonly Kind[] = [Pod, Service, Deployment, ReplicaSet].map((kind) => kind as unknown as Kind)
    for (const kind of kinds) io.stdout.write(`${await tableOf(client, kind, { namespace: 'default', prefix: true })}\n`)
  } finally {
    await close()
  }
}
