// What kubectl says when people ask for what cannot be, what is so already, or what takes its time.
import t from 'tap'
import { UNREADY } from '../hollow/hollow-nodes.js'
import { kubectlOptions, kubectlPlane } from './kubectl-plane.js'

t.setTimeout(300_000)

t.test('kubectl, asked for too much', kubectlOptions, async (t) => {
  const { kubectl, shows } = await kubectlPlane(t)
  const says = async (words: string | RegExp, ...args: string[]): Promise<void> => {
    const said = await kubectl(args)
    if (typeof words === 'string') t.equal(said, `${words}\n`, `kubectl ${args.join(' ')}`)
    else t.match(said, words, `kubectl ${args.join(' ')}`)
  }
  await says('deployment.apps/web created', 'create', 'deployment', 'web', '--image=nginx:1', '--replicas=2')
  await says(
    /^error: failed to create deployment: deployments\.apps "web" already exists\n$/,
    'create',
    'deployment',
    'web',
    '--image=nginx:1',
  )
  await says(/successfully rolled out\n$/, 'rollout', 'status', 'deployment/web', '--timeout=60s')
  await says(/^error: no rollout history found for deployment "web"\n$/, 'rollout', 'undo', 'deployment/web')
  await says(/^error: unable to find specified revision 99 in history\n$/, 'rollout', 'undo', 'deployment/web', '--to-revision=99')
  await says(/unable to find the specified revision\n$/, 'rollout', 'history', 'deployment/web', '--revision=99')
  await says(/^error: deployments\.apps "web" is not paused\n$/, 'rollout', 'resume', 'deployment/web')
  await says(/^error: unable to find container named "other"\n$/, 'set', 'image', 'deployment/web', 'other=x')
  await says('error: no objects passed to scale deployments.apps "none" not found', 'scale', 'deployment/none', '--replicas=1')
  await says(
    /^error: The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0\n/,
    'scale',
    'deployment/web',
    '--replicas=-1',
  )
  await says(/couldn't find port via --port flag or introspection\n/, 'expose', 'deployment', 'web')
  await says('service/web exposed', 'expose', 'deployment', 'web', '--port=80', '--target-port=http', '--type=NodePort')
  await says('Error from server (AlreadyExists): services "web" already exists', 'expose', 'deployment', 'web', '--port=80')
  await says(
    /^web +NodePort +10\.\d+\.\d+\.\d+ +<none> +80:3\d{4}\/TCP +\S+ +app=web\n$/,
    'get',
    'service',
    'web',
    '--no-headers',
    '-o',
    'wide',
  )
  await says('Error from server (NotFound): nodes "none" not found', 'cordon', 'none')
  await says('node/node-1 cordoned', 'cordon', 'node-1')
  await says('node/node-1 already cordoned', 'cordon', 'node-1')
  await says('node/node-1 uncordoned', 'uncordon', 'node-1')
  await says('node/node-1 already uncordoned', 'uncordon', 'node-1')
  await says('node/node-1 tainted', 'taint', 'nodes', 'node-1', 'a=b:NoSchedule')
  await says(
    /^error: node node-1 already has a taint\(s\) with same effect\(s\) and --overwrite is false\n$/,
    'taint',
    'nodes',
    'node-1',
    'a=c:NoSchedule',
  )
  await says('node/node-1 modified', 'taint', 'nodes', 'node-1', 'a=c:NoSchedule', '--overwrite')
  await shows(/^Taints: +a=c:NoSchedule$/m, 'describe', 'node', 'node-1')
  await says('node/node-1 untainted', 'taint', 'nodes', 'node-1', 'a:NoSchedule-')
  await says(/^error: taint "a" not found\n$/, 'taint', 'nodes', 'node-1', 'a-')
  await says(/invalid taint effect: Sometimes/, 'taint', 'nodes', 'node-1', 'a=b:Sometimes')

  // A rollout that does not come about.
  const stuck = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'stuck' },
    spec: {
      replicas: 3,
      progressDeadlineSeconds: 2,
      selector: { matchLabels: { app: 'stuck' } },
      template: {
        metadata: { labels: { app: 'stuck' } },
        spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image: 'x:1' }] },
      },
    },
  }
  t.equal(await kubectl(['create', '-f', '-'], JSON.stringify(stuck)), 'deployment.apps/stuck created\n')
  await says(/successfully rolled out\n$/, 'rollout', 'status', 'deployment/stuck', '--timeout=60s')
  const unready = { spec: { template: { metadata: { annotations: { [UNREADY]: '' } } } } }
  await says('deployment.apps/stuck patched', 'patch', 'deployment', 'stuck', '-p', JSON.stringify(unready))
  await says(
    /^(Waiting for deployment spec update to be observed\.\.\.\n|Waiting for deployment "stuck" rollout to finish: \d out of 3 new replicas have been updated\.\.\.\n)+error: deployment "stuck" exceeded its progress deadline\n$/,
    'rollout',
    'status',
    'deployment/stuck',
    '--timeout=60s',
  )
  await shows(/^stuck +3\/3 +1 +3 +\S+\n$/, 'get', 'deployment', 'stuck', '--no-headers')
  await shows(
    /^ +Available +True +MinimumReplicasAvailable\n +Progressing +False +ProgressDeadlineExceeded\nOldReplicaSets: +stuck-\w+ \(3\/3 replicas created\)\nNewReplicaSet: +stuck-\w+ \(1\/1 replicas created\)\n/m,
    'describe',
    'deployment',
    'stuck',
  )
  await says('deployment.apps/stuck rolled back', 'rollout', 'undo', 'deployment/stuck')
  await says(/successfully rolled out\n$/, 'rollout', 'status', 'deployment/stuck', '--timeout=60s')
  await says('deployment.apps/stuck paused', 'rollout', 'pause', 'deployment/stuck')
  await says('deployment.apps/stuck image updated', 'set', 'image', 'deployment/stuck', 'main=x:2')
  await shows(/^ +Progressing +Unknown +DeploymentPaused\n/m, 'describe', 'deployment', 'stuck')
  await says(
    /^error: you cannot rollback a paused deployment; resume it first with 'kubectl rollout resume(?: deployment\/stuck)?' and try again\n$/,
    'rollout',
    'undo',
    'deployment/stuck',
  )
  await says(
    /^error: deployments\.apps "stuck" can't restart paused deployment \(run rollout resume first\)\n$/,
    'rollout',
    'restart',
    'deployment/stuck',
  )

  // Pods that a drain would not bring back.
  const alone = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'alone' },
    spec: { nodeName: 'node-2', containers: [{ name: 'c', image: 'x' }] },
  }
  t.equal(await kubectl(['create', '-f', '-'], JSON.stringify(alone)), 'pod/alone created\n')
  const daemon = {
    ...stuck,
    kind: 'DaemonSet',
    metadata: { name: 'agent' },
    spec: { selector: stuck.spec.selector, template: stuck.spec.template },
  }
  daemon.spec = JSON.parse(JSON.stringify(daemon.spec).replaceAll('"stuck"', '"agent"'))
  t.equal(await kubectl(['create', '-f', '-'], JSON.stringify(daemon)), 'daemonset.apps/agent created\n')
  await says(/daemon set "agent" successfully rolled out\n$/, 'rollout', 'status', 'daemonset/agent', '--timeout=60s')
  await says(
    /^node\/node-2 cordoned\nerror: unable to drain node "node-2" due to error: \[cannot delete DaemonSet-managed Pods \(use --ignore-daemonsets to ignore\): default\/agent-\w+, cannot delete cannot delete Pods that declare no controller \(use --force to override\): default\/alone\], continuing command\.\.\.\nThere are pending nodes to be drained:\n node-2\n/,
    'drain',
    'node-2',
  )
  await says(
    /^node\/node-2 already cordoned\n(evicting pod default\/\S+\n)+(pod\/\S+ evicted\n)+node\/node-2 drained\n$/,
    'drain',
    'node-2',
    '--ignore-daemonsets',
    '--force',
    '--timeout=60s',
  )
  await says('Error from server (NotFound): pods "alone" not found', 'get', 'pod', 'alone')
})
