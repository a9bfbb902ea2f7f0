// Needs root. What an introductory course does, with the real kubectl against three machines; what it prints is checked.
import t from 'tap'
import type { Chapter, Tap } from './chapter.js'
import { access } from './chapters/access.js'
import { drain, killed, removedAndJoined } from './chapters/machines.js'
import { firstPod, mistakes, nodes, severalContainers } from './chapters/pods.js'
import { probes } from './chapters/probes.js'
import { services } from './chapters/services.js'
import { configuration, twoTiers, volumes } from './chapters/storage.js'
import { controllers, deployment } from './chapters/workloads.js'
import { createCluster, tellLogs } from './cluster.js'

const chapters: readonly (readonly [string, Chapter])[] = [
  ['nodes wait for a pod network, then are Ready', nodes],
  ['a pod from creation to Running, described', firstPod],
  ['init containers and several containers', severalContainers],
  ['mistakes get the answers that everybody knows', mistakes],
  ['ReplicationController and ReplicaSet: healed, scaled, selected', controllers],
  ['a Deployment: recorded, healed, scaled, rolled, undone', deployment],
  ['Services: outside, inside, by name, with affinity, without NAT', services],
  ['ConfigMap and Secret as environment and as files; the Secret is unreadable in the store', configuration],
  ['claims: made on demand, and of a volume that was there', volumes],
  ['two tiers: the front is configured, the store keeps its data', twoTiers],
  ['three probes by three mechanisms', probes],
  ['who may do what; what may not run', access],
  ['cordon, drain, uncordon', drain],
  ['agent and server killed: pods run on, nothing is lost', killed],
  ['a machine goes, leaves nothing behind, and joins again', removedAndJoined],
]

t.test('three machines', { skip: process.getuid?.() === 0 ? false : 'needs root' }, async (t) => {
  const cluster = await createCluster(202)
  t.teardown(() => cluster.destroy())
  for (const [name, chapter] of chapters) {
    await t.test(name, (t) => chapter(t as unknown as Tap, cluster))
    if (!t.passing()) break // later chapters stand on what earlier ones made
  }
  if (!t.passing()) await tellLogs(t as unknown as Tap, cluster)
})
