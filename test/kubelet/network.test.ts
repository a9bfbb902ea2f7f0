// A node without a pod network: not Ready, with the reason in words, until there is one. Needs root and kubectl.
import { renameSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { kubectl, versions } from './kubectl.js'
import { FOREVER, isReady, NODE, nodeScene, options, shell, statusOf, until } from './scene.js'

t.setTimeout(240_000)

t.test('the pod network', versions.length > 0 ? options : { skip: 'no kubectl' }, async (t) => {
  const n = await nodeScene({ nodeStatusUpdateFrequencyMs: 600_000 })
  t.teardown(() => n.end())
  const k = kubectl(n, versions[0] as string)
  const described = (words: RegExp): Promise<string> =>
    until(async () => {
      const { stdout } = await k.run('describe', 'node', NODE)
      return words.test(stdout) ? stdout : undefined
    })
  const conflist = join(n.s.dir, 'net.d', '10-test.conflist')

  t.test('without a configuration the node is not Ready and says why; pods of the host network run all the same', async (t) => {
    await described(/Ready +True/)
    await n.daemon().stop()
    renameSync(conflist, `${conflist}.off`)
    await n.start()
    const text = await described(/Ready +False/)
    t.match(
      text,
      /Ready +False .* KubeletNotReady +container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:\S+/,
    )
    t.match(text, /NodeNotReady .*Node node-a status is now: NodeNotReady/)
    t.match((await k.run('get', 'node', NODE)).stdout, /\bNotReady\b/)
    await n.run('outside', { hostNetwork: true, containers: [shell(FOREVER)] })
    await n.wait('outside', isReady)
    await n.run('inside', { containers: [shell(FOREVER)] })
    t.ok(
      await n.eventWith(
        'inside',
        'NetworkNotReady',
        /^network is not ready: container runtime network not ready: NetworkReady=false reason:/,
      ),
    )
    await n.wait('inside', (pod) => statusOf(pod)?.state?.waiting?.reason === 'ContainerCreating')
  })

  t.test('with one it becomes Ready at once, not at its next report, and the pod that waited runs', async (t) => {
    renameSync(`${conflist}.off`, conflist)
    const text = await described(/Ready +True .* KubeletReady/)
    t.match(text, /NodeReady .*Node node-a status is now: NodeReady/)
    await n.wait('inside', isReady)
    t.match((await k.run('get', 'node', NODE)).stdout, / Ready /)
  })
})
