// Amounts, back-off, admission.
import t from 'tap'
import type { Container, Pod, PodSpec } from '../../api/index.js'
import { type AdmissionInput, refusalOf } from './admission.js'
import { backOffTable, CRASH_BACK_OFF, goDuration, goSeconds } from './back-off.js'
import { qosGroups } from './qos.js'
import { amount, bytesQuantity, cpuQuantity, milli, whole } from './quantity.js'
import { cgroupPathOf, containerResources, oomScoreAdj, podRequest, qosClassOf } from './resources.js'

const pod = (spec: Partial<PodSpec>): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p', namespace: 'default', uid: 'u1' },
  spec: { containers: [{ name: 'main' }], ...spec },
})
const asking = (requests: Record<string, string>, limits: Record<string, string> = {}): Container => ({
  name: 'main',
  resources: { requests, limits },
})

t.test('quantities', async (t) => {
  t.strictSame(['1', '250m', '1Ki', '1.5Gi', '1e3', '2k', 'junk'].map(amount), [1, 0.25, 1024, 1.5 * 2 ** 30, 1000, 2000, 0])
  t.equal(milli('100u'), 1)
  t.equal(whole('1500m'), 2)
  t.strictSame([cpuQuantity(1500), cpuQuantity(2000), bytesQuantity(3 * 2 ** 20), bytesQuantity(1001)], ['1500m', '2', '3Mi', '1001'])
})

t.test('the classes share what their pods ask for, all pods what the node has', async (t) => {
  const pods = [pod({ containers: [asking({ cpu: '500m' })] }), pod({ containers: [asking({ cpu: '250m' })] }), pod({})]
  const groups = qosGroups(pods, '/kubepods', { cpus: 2, memoryBytes: 2 ** 30 })
  t.strictSame(
    [...groups],
    [
      ['/kubepods', { cpuShares: 2048, memoryLimitBytes: 2 ** 30 }],
      ['/kubepods/burstable', { cpuShares: 768 }],
      ['/kubepods/besteffort', { cpuShares: 2 }],
    ],
  )
})

t.test('quality of service, cgroups, OOM scores', async (t) => {
  const guaranteed = pod({ containers: [asking({ cpu: '1', memory: '1Gi' }, { cpu: '1000m', memory: '1024Mi' })] })
  const burstable = pod({ containers: [asking({ memory: '1Gi' })] })
  t.strictSame([guaranteed, burstable, pod({})].map(qosClassOf), ['Guaranteed', 'Burstable', 'BestEffort'])
  t.strictSame(
    [guaranteed, burstable].map((of) => cgroupPathOf(of, '/kubepods')),
    ['/kubepods/podu1', '/kubepods/burstable/podu1'],
  )
  const score = (of: Pod): number => oomScoreAdj(of, of.spec?.containers[0] as Container, 4 * 2 ** 30)
  t.strictSame([guaranteed, burstable, pod({})].map(score), [-997, 750, 1000])
  t.match(containerResources(guaranteed, guaranteed.spec?.containers[0] as Container, 2 ** 32), {
    cpuShares: 1024,
    cpuPeriod: 100_000,
    cpuQuota: 100_000,
    memoryLimitInBytes: 2 ** 30,
  })
})

t.test('a pod asks for its containers with sidecars, or for its hungriest init container', async (t) => {
  const init = (name: string, cpu: string, restartPolicy?: string): Container => ({ ...asking({ cpu }), name, restartPolicy })
  const of = pod({
    containers: [asking({ cpu: '1' })],
    initContainers: [init('side', '500m', 'Always'), init('big', '2')],
    overhead: { cpu: '100m' },
  })
  t.equal(podRequest(of, 'cpu'), 2.6)
})

t.test('back-off: the first repetition is free, then it doubles, and a long healthy run resets it', async (t) => {
  const table = backOffTable(CRASH_BACK_OFF)
  t.equal(table.remaining('k', 0, 0), 0)
  table.next('k', 0, 0)
  t.equal(table.remaining('k', 1_000, 1_000), 10_000)
  table.next('k', 1_000, 11_000)
  t.equal(table.remaining('k', 12_000, 13_000), 19_000)
  for (let i = 0; i < 10; i++) table.next('k', 12_000, 12_000)
  t.equal(table.delay('k'), 300_000)
  t.equal(table.remaining('k', 700_000, 700_000), 0)
  t.strictSame(
    [goSeconds(10_000), goSeconds(160_000), goDuration(412), goDuration(1203), goDuration(62_500)],
    ['10s', '2m40s', '412ms', '1.203s', '1m2.5s'],
  )
})

t.test('admission', async (t) => {
  const base: Omit<AdmissionInput, 'pod'> = {
    others: [],
    node: { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n', labels: { zone: 'a' } } },
    allocatable: { cpu: '2', memory: '1Gi', pods: '3' },
    apparmor: false,
    allowedUnsafeSysctls: ['net.core.*'],
    shuttingDown: false,
  }
  const why = (spec: Partial<PodSpec>, more: Partial<AdmissionInput> = {}): string | undefined =>
    refusalOf({ ...base, ...more, pod: pod(spec) })?.reason
  t.equal(why({}), undefined)
  t.equal(why({ nodeSelector: { zone: 'b' } }), 'NodeAffinity')
  const term = (operator: string, values: string[]) => ({
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'zone', operator, values }] }] },
      },
    },
  })
  t.equal(why(term('In', ['a', 'b'])), undefined)
  t.equal(why(term('NotIn', ['a'])), 'NodeAffinity')
  const port = pod({ containers: [{ name: 'x', ports: [{ containerPort: 80, hostPort: 80 }] }] })
  t.equal(
    why({ containers: [{ name: 'y', ports: [{ containerPort: 1, hostPort: 80, hostIP: '10.0.0.1' }] }] }, { others: [port] }),
    'NodePorts',
  )
  t.equal(why({ containers: [asking({ cpu: '3' })] }), 'OutOfcpu')
  t.equal(why({}, { others: [pod({}), pod({}), pod({})] }), 'OutOfpods')
  const profile = (type: string) => ({ securityContext: { appArmorProfile: { type } } })
  t.equal(why(profile('RuntimeDefault')), 'AppArmor')
  t.equal(why({ containers: [{ name: 'x', ...profile('Localhost') }] }), 'AppArmor')
  t.equal(why(profile('Unconfined')), undefined)
  t.equal(why(profile('RuntimeDefault'), { apparmor: true }), undefined)
  const sysctl = (name: string) => ({ securityContext: { sysctls: [{ name, value: '1' }] } })
  t.strictSame(
    ['kernel.shm_rmid_forced', 'net.core.somaxconn', 'kernel.msgmax'].map((name) => why(sysctl(name))),
    [undefined, undefined, 'SysctlForbidden'],
  )
})
