// What people see of every other workload: kubectl's columns, descriptions and rollouts against hollow nodes.
import t from 'tap'
import { EXIT_AFTER_MS } from '../hollow/hollow-nodes.js'
import { kubectlOptions, kubectlPlane } from './kubectl-plane.js'

t.setTimeout(300_000)

const pod = (app: string, image = 'x:1') => ({
  metadata: { labels: { app } },
  spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image }] },
})
const objects = [
  {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name: 'db' },
    spec: { replicas: 2, serviceName: 'db', selector: { matchLabels: { app: 'db' } }, template: pod('db') },
  },
  {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: 'agent' },
    spec: { selector: { matchLabels: { app: 'agent' } }, template: pod('agent') },
  },
  {
    apiVersion: 'v1',
    kind: 'ReplicationController',
    metadata: { name: 'old' },
    spec: { replicas: 1, selector: { app: 'old' }, template: pod('old') },
  },
  {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: 'work' },
    spec: {
      completions: 2,
      template: {
        metadata: { annotations: { [EXIT_AFTER_MS]: '20' } },
        spec: { restartPolicy: 'Never', containers: [{ name: 'main', image: 'x' }] },
      },
    },
  },
  {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name: 'guard' },
    spec: { minAvailable: 2, selector: { matchLabels: { app: 'db' } } },
  },
]

t.test('kubectl and the other workloads', kubectlOptions, async (t) => {
  const { kubectl, shows } = await kubectlPlane(t)

  await kubectl(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }))
  t.equal(await kubectl(['create', 'cronjob', 'nightly', '--image=x', '--schedule=0 3 * * *']), 'cronjob.batch/nightly created\n')
  t.equal(await kubectl(['create', 'job', 'now', '--from=cronjob/nightly']), 'job.batch/now created\n')

  await shows(/^NAME +READY +AGE\ndb +2\/2 +\S+\n$/, 'get', 'statefulset')
  await shows(
    /^NAME +DESIRED +CURRENT +READY +UP-TO-DATE +AVAILABLE +NODE SELECTOR +AGE\nagent +3 +3 +3 +3 +3 +<none> +\S+\n$/,
    'get',
    'daemonset',
  )
  await shows(/^NAME +DESIRED +CURRENT +READY +AGE\nold +1 +1 +1 +\S+\n$/, 'get', 'rc')
  await shows(/^NAME +STATUS +COMPLETIONS +DURATION +AGE\nwork +Complete +2\/2 +\S+ +\S+\n$/, 'get', 'job', 'work')
  await shows(
    /^NAME +SCHEDULE +TIMEZONE +SUSPEND +ACTIVE +LAST SCHEDULE +AGE\nnightly +0 3 \* \* \* +<none> +False +0 +<none> +\S+\n$/,
    'get',
    'cronjob',
  )
  await shows(/^NAME +MIN AVAILABLE +MAX UNAVAILABLE +ALLOWED DISRUPTIONS +AGE\nguard +2 +N\/A +0 +\S+\n$/, 'get', 'pdb')
  await shows(/^db-0 +1\/1 +Running +0 +\S+\ndb-1 +1\/1 +Running +0 +\S+\n$/, 'get', 'pods', '-l', 'app=db', '--no-headers')

  await shows(
    /Replicas: +2 desired \| 2 total\n[\s\S]*Pods Status: +2 Running \/ 0 Waiting \/ 0 Succeeded \/ 0 Failed\n/,
    'describe',
    'sts',
    'db',
  )
  await shows(/Normal +SuccessfulCreate .* statefulset-controller +create Pod db-1 in StatefulSet db successful\n/, 'describe', 'sts', 'db')
  await shows(
    /Desired Number of Nodes Scheduled: 3\nCurrent Number of Nodes Scheduled: 3\nNumber of Nodes Scheduled with Up-to-date Pods: 3\nNumber of Nodes Scheduled with Available Pods: 3\nNumber of Nodes Misscheduled: 0\n[\s\S]*Normal +SuccessfulCreate .* daemonset-controller +Created pod: agent-\w+\n/,
    'describe',
    'ds',
    'agent',
  )
  await shows(
    /Replicas: +1 current \/ 1 desired\n[\s\S]*Normal +SuccessfulCreate .* replication-controller +Created pod: old-\w+\n/,
    'describe',
    'rc',
    'old',
  )
  await shows(
    /Pods Statuses: +0 Active \(0 Ready\) \/ 2 Succeeded \/ 0 Failed\n[\s\S]*Normal +SuccessfulCreate .* job-controller +Created pod: work-\w+\n[\s\S]*Normal +Completed .* job-controller +Job completed\n/,
    'describe',
    'job',
    'work',
  )
  await shows(/Allowed disruptions: +0\n +Current: +2\n +Desired: +2\n +Total: +2\n/, 'describe', 'pdb', 'guard')
  await shows(
    /Normal +RegisteredNode .* node-controller +Node node-1 event: Registered Node node-1 in Controller\n/,
    'describe',
    'node',
    'node-1',
  )

  for (const [kind, name] of [
    ['statefulset', 'db'],
    ['daemonset', 'agent'],
  ] as const) {
    const full = `${kind}.apps/${name}`
    t.equal(await kubectl(['set', 'image', `${kind}/${name}`, 'main=x:2']), `${full} image updated\n`)
    t.match(
      await kubectl(['rollout', 'status', `${kind}/${name}`, '--timeout=60s']),
      kind === 'daemonset'
        ? /daemon set "agent" successfully rolled out\n$/
        : /(partitioned roll out complete: 2 new pods have been updated|statefulset rolling update complete 2 pods at revision db-\w+)\.\.\.\n$/,
    )
    await shows(
      new RegExp(`^${full.replace('.', '\\.')} \\nREVISION +CHANGE-CAUSE\\n1 +<none>\\n2 +<none>\\n`),
      'rollout',
      'history',
      `${kind}/${name}`,
    )
    t.match(await kubectl(['rollout', 'history', `${kind}/${name}`, '--revision=1']), /Image:\s+x:1\n/)
    t.equal(await kubectl(['rollout', 'undo', `${kind}/${name}`]), `${full} rolled back\n`)
    await shows(/REVISION +CHANGE-CAUSE\n2 +<none>\n3 +<none>\n/, 'rollout', 'history', `${kind}/${name}`)
    t.equal(await kubectl(['rollout', 'restart', `${kind}/${name}`]), `${full} restarted\n`)
    t.match(
      await kubectl(['rollout', 'status', `${kind}/${name}`, '--timeout=60s']),
      /(successfully rolled out|updated|at revision \S+)\.*\n$/,
    )
  }
  t.equal(await kubectl(['scale', 'statefulset/db', '--replicas=3']), 'statefulset.apps/db scaled\n')
  await shows(/^db +3\/3 /m, 'get', 'sts')
  t.equal(await kubectl(['scale', 'rc/old', '--replicas=2', '--current-replicas=1']), 'replicationcontroller/old scaled\n')
  await shows(/^old +2 +2 +2 /m, 'get', 'rc')

  t.equal(await kubectl(['taint', 'nodes', 'node-1', 'a=b:NoSchedule']), 'node/node-1 tainted\n')
  t.equal(await kubectl(['taint', 'nodes', 'node-1', 'a-']), 'node/node-1 untainted\n')
  await kubectl(['scale', 'statefulset/db', '--replicas=2'])
  await shows(/^guard +2 +N\/A +0 /m, 'get', 'pdb')
  const node = (await kubectl(['get', 'pod', 'db-0', '-o', 'jsonpath={.spec.nodeName}'])).trim()
  t.match(
    await kubectl(['drain', node, '--ignore-daemonsets', '--force', '--timeout=2s']),
    /error when evicting pods\/"db-\d" -n "default" \(will retry after 5s\): Cannot evict pod as it would violate the pod's disruption budget\.\n/,
  )
  await kubectl(['delete', 'pdb', 'guard'])
  t.match(await kubectl(['drain', node, '--ignore-daemonsets', '--force', '--timeout=60s']), new RegExp(`node/${node} drained\\n$`))
  t.match(await kubectl(['uncordon', node]), /uncordoned\n$/)
})
