// What people see: kubectl against a running control plane with hollow nodes, in words and columns.
import { rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { kubectlOptions, kubectlPlane } from './kubectl-plane.js'

t.setTimeout(300_000)

t.test('kubectl', kubectlOptions, async (t) => {
  const { kubectl: run, shows } = await kubectlPlane(t)
  const kubectl = (...args: string[]): Promise<string> => run(args)

  await shows(/^NAME +STATUS +ROLES +AGE +VERSION\nnode-1 +Ready +<none> +\S+ +v1\.37\.0\n/, 'get', 'nodes')
  t.equal(await kubectl('create', 'deployment', 'web', '--image=nginx:1', '--replicas=3', '--port=80'), 'deployment.apps/web created\n')
  t.match(await kubectl('rollout', 'status', 'deployment/web', '--timeout=60s'), /deployment "web" successfully rolled out\n$/)
  await shows(/^NAME +READY +UP-TO-DATE +AVAILABLE +AGE\nweb +3\/3 +3 +3 +\S+\n$/, 'get', 'deployment')
  await shows(/^NAME +DESIRED +CURRENT +READY +AGE\nweb-\S+ +3 +3 +3 +\S+\n$/, 'get', 'rs')
  await shows(/^NAME +READY +STATUS +RESTARTS +AGE\n(web-\S+ +1\/1 +Running +0 +\S+\n){3}$/, 'get', 'pods')
  t.equal(await kubectl('expose', 'deployment', 'web', '--port=80'), 'service/web exposed\n')
  await shows(
    /^(?:Warning: .*\n)?NAME +ENDPOINTS +AGE\nweb +10\.244\.\S+:80,10\.244\.\S+:80,10\.244\.\S+:80 +\S+\n$/,
    'get',
    'endpoints',
    'web',
  )

  t.equal(await kubectl('set', 'image', 'deployment/web', 'nginx=nginx:2'), 'deployment.apps/web image updated\n')
  await kubectl('annotate', 'deployment/web', 'kubernetes.io/change-cause=second')
  t.match(await kubectl('rollout', 'status', 'deployment/web', '--timeout=60s'), /successfully rolled out\n$/)
  await shows(/^deployment\.apps\/web \nREVISION +CHANGE-CAUSE\n1 +<none>\n2 +second\n/, 'rollout', 'history', 'deployment/web')
  t.equal(await kubectl('rollout', 'undo', 'deployment/web'), 'deployment.apps/web rolled back\n')
  await shows(/REVISION +CHANGE-CAUSE\n2 +second\n3 +\S+\n/, 'rollout', 'history', 'deployment/web')
  t.equal(await kubectl('rollout', 'pause', 'deployment/web'), 'deployment.apps/web paused\n')
  t.equal(await kubectl('rollout', 'resume', 'deployment/web'), 'deployment.apps/web resumed\n')
  t.equal(await kubectl('rollout', 'restart', 'deployment/web'), 'deployment.apps/web restarted\n')
  t.match(await kubectl('rollout', 'status', 'deployment/web', '--timeout=60s'), /successfully rolled out\n$/)
  t.equal(await kubectl('scale', 'deployment/web', '--replicas=5'), 'deployment.apps/web scaled\n')
  await shows(/web +5\/5 +5 +5 /, 'get', 'deployment', 'web')
  await shows(
    /Normal +ScalingReplicaSet .* deployment-controller +Scaled up replica set web-\S+ from 0 to 3\n/,
    'describe',
    'deployment',
    'web',
  )
  await shows(/Replicas: +5 desired \| 5 updated \| 5 total \| 5 available \| 0 unavailable/, 'describe', 'deployment', 'web')
  await shows(
    /Normal +Scheduled .* default-scheduler +Successfully assigned default\/web-\S+ to node-\d\n/,
    'describe',
    'pods',
    '-l',
    'app=web',
  )

  t.equal(await kubectl('taint', 'nodes', 'node-2', 'dedicated=db:NoSchedule'), 'node/node-2 tainted\n')
  t.equal(await kubectl('cordon', 'node-3'), 'node/node-3 cordoned\n')
  await shows(/node-3 +Ready,SchedulingDisabled /, 'get', 'nodes')
  const manifest = join(tmpdir(), `knarr-kubectl-${process.pid}.json`)
  const big = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'big' },
    spec: { containers: [{ name: 'c', image: 'x', resources: { requests: { cpu: '100' } } }] },
  }
  writeFileSync(manifest, JSON.stringify(big))
  t.teardown(() => rmSync(manifest, { force: true }))
  t.equal(await kubectl('apply', '-f', manifest), 'pod/big created\n')
  await shows(
    /Warning +FailedScheduling .* default-scheduler +0\/3 nodes are available: 1 Insufficient cpu, 1 node\(s\) had untolerated taint\(s\), 1 node\(s\) were unschedulable\. no new claims to deallocate, preemption: 0\/3 nodes are available: 3 Preemption is not helpful for scheduling\.\n/,
    'describe',
    'pod',
    'big',
  )
  t.match(
    await kubectl('drain', 'node-1', '--ignore-daemonsets', '--force', '--timeout=60s'),
    /node\/node-1 cordoned\n[\s\S]*node\/node-1 drained\n$/,
  )
  t.match(await kubectl('uncordon', 'node-1', 'node-3'), /node\/node-1 uncordoned\nnode\/node-3 uncordoned\n/)
  await shows(/web +5\/5 +5 +5 /, 'get', 'deployment', 'web')
  t.match(await kubectl('delete', 'deployment', 'web'), /^deployment\.apps "web" deleted/)
})
