// kubectl's verbs on each kind of workload against hollow nodes, in words and columns.
import t from 'tap'
import { kubectlOptions, kubectlPlane } from './kubectl-plane.js'

t.setTimeout(300_000)

const template = (app: string) => ({
  metadata: { labels: { app } },
  spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image: 'x:1' }] },
})
const workloads = [
  {
    kind: 'Deployment',
    full: 'deployment.apps',
    apiVersion: 'apps/v1',
    spec: { replicas: 2, selector: { matchLabels: { app: 'deployment' } } },
    pods: 2,
  },
  {
    kind: 'StatefulSet',
    full: 'statefulset.apps',
    apiVersion: 'apps/v1',
    spec: { replicas: 2, serviceName: 'x', selector: { matchLabels: { app: 'statefulset' } } },
    pods: 2,
  },
  { kind: 'DaemonSet', full: 'daemonset.apps', apiVersion: 'apps/v1', spec: { selector: { matchLabels: { app: 'daemonset' } } }, pods: 3 },
  {
    kind: 'ReplicaSet',
    full: 'replicaset.apps',
    apiVersion: 'apps/v1',
    spec: { replicas: 2, selector: { matchLabels: { app: 'replicaset' } } },
    pods: 2,
  },
  {
    kind: 'ReplicationController',
    full: 'replicationcontroller',
    apiVersion: 'v1',
    spec: { replicas: 2, selector: { app: 'replicationcontroller' } },
    pods: 2,
  },
] as const
const rolls = new Set(['Deployment', 'StatefulSet', 'DaemonSet'])

t.test('every verb for every workload', kubectlOptions, async (t) => {
  const { kubectl, shows } = await kubectlPlane(t)
  const says = async (words: string, ...args: string[]): Promise<void> => {
    t.equal(await kubectl(args), `${words}\n`, `kubectl ${args.join(' ')}`)
  }

  for (const { kind, full, apiVersion, spec, pods } of workloads) {
    const name = kind.toLowerCase()
    const ref = `${name}/${name}`
    const object = { apiVersion, kind, metadata: { name }, spec: { ...spec, template: template(name) } }
    t.equal(await kubectl(['create', '-f', '-'], JSON.stringify(object)), `${full}/${name} created\n`)
    const running = (count: number) =>
      shows(new RegExp(`^(${name}-\\S+ +1/1 +Running +0 +\\S+\\n){${count}}$`), 'get', 'pods', '-l', `app=${name}`, '--no-headers')
    await running(pods)
    await shows(new RegExp(`^Name: +${name}\\n[\\s\\S]*Image: +x:1\\n[\\s\\S]*Events:\\n`), 'describe', name, name)
    await shows(new RegExp(`^${full}/${name}$`, 'm'), 'get', name, '-o', 'name')
    await says(`${full}/${name} labeled`, 'label', ref, 'team=a')
    await says(`${full}/${name} annotated`, 'annotate', ref, 'note=b')
    await shows(/[ ,]team=a\n/, 'get', name, '--show-labels')
    if (kind !== 'DaemonSet') {
      await says(`${full}/${name} scaled`, 'scale', ref, '--replicas=3')
      await running(3)
      t.match(await kubectl(['scale', ref, '--replicas=1', '--current-replicas=9']), /error: Expected replicas to be 9, was 3\n/)
      await says(`${full}/${name} scaled`, 'scale', ref, '--replicas=2')
      await running(2)
    }
    if (kind === 'StatefulSet') await says('error: cannot expose a StatefulSet.apps', 'expose', name, name)
    else if (kind !== 'DaemonSet') {
      t.match(
        await kubectl(['expose', name, name, '--port=80', `--name=${name}-service`]),
        new RegExp(`^service/${name}-service exposed\n$`),
      )
      await shows(
        new RegExp(`^${name}-service-\\w+ +IPv4 +80 +10\\.244\\.\\d+\\.\\d+,10\\.244\\.\\d+\\.\\d+ +\\S+\n$`),
        'get',
        'endpointslices',
        '-l',
        `kubernetes.io/service-name=${name}-service`,
        '--no-headers',
      )
    }
    await says(`${full}/${name} image updated`, 'set', 'image', ref, 'main=x:2')
    await says(`${full}/${name} resource requirements updated`, 'set', 'resources', ref, '--requests=cpu=10m', '--limits=cpu=20m')
    await says(`${full}/${name} env updated`, 'set', 'env', ref, 'A=b')
    const shown = [
      'get',
      ref,
      '-o',
      'jsonpath={.spec.template.spec.containers[0].image} {.spec.template.spec.containers[0].env[0].value} {.spec.template.spec.containers[0].resources.limits.cpu}',
    ]
    t.equal(await kubectl(shown), 'x:2 b 20m')
    if (rolls.has(kind)) {
      t.match(
        await kubectl(['rollout', 'status', ref, '--timeout=60s']),
        /(successfully rolled out|\d new pods have been updated|complete \d pods at revision \S+)\.{0,3}\n$/,
      )
      await shows(/REVISION +CHANGE-CAUSE\n(\d +<none>\n)+/, 'rollout', 'history', ref)
      await says(`${full}/${name} rolled back`, 'rollout', 'undo', ref, '--to-revision=1')
      await shows(/^x:1$/, 'get', ref, '-o', 'jsonpath={.spec.template.spec.containers[0].image}')
      await says(`${full}/${name} restarted`, 'rollout', 'restart', ref)
      await shows(/(successfully rolled out|updated|at revision \S+)\.{0,3}\n$/, 'rollout', 'status', ref, '--timeout=60s')
      const paused = await kubectl(['rollout', 'pause', ref])
      if (kind === 'Deployment') {
        t.equal(paused, `${full}/${name} paused\n`)
        t.match(
          await kubectl(['rollout', 'pause', ref]),
          /error: deployments\.apps "deployment" is already paused\n|error: deployment\.apps\/deployment is already paused\n/i,
        )
        await says(`${full}/${name} resumed`, 'rollout', 'resume', ref)
      } else t.match(paused, /^error: .*pausing is not supported\n$/)
    }
    await says(`${full}/${name} patched`, 'patch', ref, '-p', '{"spec":{"template":{"metadata":{"annotations":{"x":"y"}}}}}')
    if (kind === 'DaemonSet' || kind === 'Deployment') await kubectl(['rollout', 'status', ref, '--timeout=60s'])
    if (kind === 'StatefulSet') await kubectl(['rollout', 'status', ref, '--timeout=60s'])

    // Deleted without its pods, taken over by one that is made anew, and deleted with them.
    const before = (await kubectl(['get', 'pods', '-l', `app=${name}`, '-o', 'jsonpath={.items[*].metadata.uid}'])).split(' ').sort()
    t.match(await kubectl(['delete', ref, '--cascade=orphan']), new RegExp(`^${full} "${name}" deleted`))
    const left = (await kubectl(['get', 'pods', '-l', `app=${name}`, '-o', 'jsonpath={.items[*].metadata.uid}'])).split(' ').sort()
    t.same(left, before, 'the pods stay')
    if (kind !== 'Deployment')
      await shows(/^$/, 'get', 'pods', '-l', `app=${name}`, '-o', 'jsonpath={.items[*].metadata.ownerReferences[*].name}')
    t.equal(await kubectl(['create', '-f', '-'], JSON.stringify(object)), `${full}/${name} created\n`)
    await shows(/^\S+( \S+)+$/, 'get', 'pods', '-l', `app=${name}`, '-o', 'jsonpath={.items[*].metadata.ownerReferences[*].name}')
    t.match(await kubectl(['delete', ref, '--cascade=foreground']), new RegExp(`^${full} "${name}" deleted`))
    t.equal(await kubectl(['get', 'pods', '-l', `app=${name}`, '-o', 'name']), '', 'all gone with it')
    t.match(await kubectl(['get', name, name]), /^Error from server \(NotFound\): \S+ "\w+" not found\n$/)
  }

  // The rest of what people make by a word, and how it is listed.
  await says('job.batch/once created', 'create', 'job', 'once', '--image=x', '--', 'true')
  await says('cronjob.batch/tick created', 'create', 'cronjob', 'tick', '--image=x', '--schedule=0 3 * * *')
  await says('poddisruptionbudget.policy/keep created', 'create', 'pdb', 'keep', '--selector=app=x', '--min-available=50%')
  await says('priorityclass.scheduling.k8s.io/high created', 'create', 'priorityclass', 'high', '--value=100', '--description=d')
  await shows(/^NAME +STATUS +COMPLETIONS +DURATION +AGE\nonce +Running +0\/1 +\S+ +\S+\n$/, 'get', 'jobs')
  await shows(/^NAME +VALUE +GLOBAL-DEFAULT +AGE( +PREEMPTIONPOLICY)?\nhigh +100 +false +\S+/m, 'get', 'priorityclass')
  await shows(/^NAME +MIN AVAILABLE +MAX UNAVAILABLE +ALLOWED DISRUPTIONS +AGE\nkeep +50% +N\/A +0 +\S+\n$/, 'get', 'pdb')
  await shows(/^standard \(default\) +knarr\.io\/local-path +Delete +WaitForFirstConsumer +false +\S+\n$/, 'get', 'sc', '--no-headers')
  await shows(
    /Schedule: +0 3 \* \* \*\nConcurrency Policy: +Allow\nSuspend: +False\nSuccessful Job History Limit: +3\nFailed Job History Limit: +1\n/,
    'describe',
    'cronjob',
    'tick',
  )
  await shows(
    /^\S+ +Normal +ScalingReplicaSet +deployment\/deployment +Scaled up replica set deployment-\w+ from 0 to 2\n/m,
    'get',
    'events',
  )
  await says('cronjob.batch/tick patched', 'patch', 'cronjob/tick', '-p', '{"spec":{"suspend":true}}')
  await shows(/^tick +0 3 \* \* \* +<none> +True /m, 'get', 'cronjob')
  t.match(
    await kubectl(['delete', 'job,cronjob,pdb', '--all']),
    /job\.batch "once" deleted[^\n]*\ncronjob\.batch "tick" deleted[^\n]*\npoddisruptionbudget\.policy "keep" deleted/,
  )
})
