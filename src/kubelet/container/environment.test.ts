// Environment, names, resolvers, security: what a container is told.
import t from 'tap'
import type { Pod, PodSpec, Service } from '../../api/index.js'
import { dnsConfigOf, parseResolvConf } from '../sandbox/dns.js'
import { hostnameOf, hostsFile } from '../sandbox/hosts.js'
import { environment, parseEnvFile } from './env.js'
import { expand, missingNames } from './expand.js'
import { fieldValue, formatMap, resourceValue } from './fields.js'
import { checkNonRoot, securityContextOf } from './security.js'

const pod = (spec: Partial<PodSpec>): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p', namespace: 'ns', uid: 'u', labels: { b: '2', a: 'say "1"' } },
  spec: { containers: [{ name: 'main' }], ...spec },
})
const context = { hostIps: ['192.0.2.1'], podIps: ['10.0.0.2', 'fd00::2'], nodeName: 'n', allocatable: { cpu: '4', memory: '8Gi' } }

t.test('expansion', async (t) => {
  const value = (name: string): string | undefined => ({ A: 'x', 'B-C': 'y' })[name]
  t.equal(expand('$(A)/$(B-C)/$(NO)/$$(A)/$A/$(', value), 'x/y/$(NO)/$(A)/$A/$(')
  t.strictSame(missingNames('$(A)$(NO)', value), ['NO'])
})

t.test('fields', async (t) => {
  t.equal(formatMap(pod({}).metadata.labels), 'a="say \\"1\\""\nb="2"')
  t.equal(fieldValue(pod({}), "metadata.labels['b']", context), '2')
  t.equal(fieldValue(pod({}), 'status.podIPs', context), '10.0.0.2,fd00::2')
  t.throws(() => fieldValue(pod({}), 'spec.secret', context), { message: 'unsupported fieldPath: spec.secret' })
  const container = { name: 'main', resources: { requests: { memory: '100Mi' } } }
  t.equal(resourceValue(pod({}), container, { resource: 'requests.memory', divisor: '1Mi' }, context.allocatable), '100')
  t.equal(resourceValue(pod({}), container, { resource: 'limits.cpu' }, context.allocatable), '4', 'the node’s, when there is no limit')
})

t.test('environment: Services, order, what is missing', async (t) => {
  const service = (name: string, namespace: string, clusterIP: string): Service => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace },
    spec: { clusterIP, ports: [{ port: 80, name: 'web' }] },
  })
  const sources = {
    configMap: async () => undefined,
    secret: async () => undefined,
    services: () => [
      service('kubernetes', 'default', '10.96.0.1'),
      service('shop', 'ns', '10.96.0.2'),
      service('headless', 'ns', 'None'),
      service('far', 'other', '10.96.0.3'),
    ],
    file: async () => "A='quoted'\n# no\nB=2",
  }
  const env = await environment(
    pod({}),
    {
      name: 'main',
      env: [
        { name: 'URL', value: 'http://$(SHOP_SERVICE_HOST)' },
        { name: 'SHOP_PORT', value: 'mine' },
      ],
    },
    sources,
    context,
  )
  t.equal(env.get('URL'), 'http://10.96.0.2')
  t.equal(env.get('SHOP_PORT'), 'mine')
  t.equal(env.get('KUBERNETES_SERVICE_PORT'), '80')
  t.equal(env.get('SHOP_PORT_80_TCP_PROTO'), 'tcp')
  t.notOk([...env.keys()].some((name) => /HEADLESS|FAR/.test(name)))
  t.notOk((await environment(pod({ enableServiceLinks: false }), { name: 'main' }, sources, context)).has('SHOP_SERVICE_HOST'))
  const wants = { name: 'X', valueFrom: { secretKeyRef: { name: 'gone', key: 'k' } } }
  await t.rejects(environment(pod({}), { name: 'main', env: [wants] }, sources, context), { message: 'secret "gone" not found' })
  const file = { name: 'F', valueFrom: { fileKeyRef: { volumeName: 'v', path: 'f', key: 'A' } } }
  t.equal((await environment(pod({}), { name: 'main', env: [file] }, sources, context)).get('F'), 'quoted')
  t.equal(parseEnvFile('A=1\n').get('A'), '1')
})

t.test('resolvers', async (t) => {
  const host = parseResolvConf('nameserver 192.0.2.53 # main\nsearch corp.test.\noptions timeout:1\n')
  const dns = { host, clusterDns: ['10.96.0.10'], clusterDomain: 'cluster.local' }
  t.strictSame(dnsConfigOf(pod({}), dns), {
    servers: ['10.96.0.10'],
    searches: ['ns.svc.cluster.local', 'svc.cluster.local', 'cluster.local', 'corp.test'],
    options: ['ndots:5'],
  })
  t.strictSame(dnsConfigOf(pod({ hostNetwork: true }), dns).servers, ['192.0.2.53'])
  t.strictSame(dnsConfigOf(pod({ hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' }), dns).servers, ['10.96.0.10'])
  const own = { nameservers: ['1.1.1.1'], searches: ['x.test'], options: [{ name: 'ndots', value: '1' }, { name: 'edns0' }] }
  t.strictSame(dnsConfigOf(pod({ dnsConfig: own }), dns).options, ['ndots:1', 'edns0'])
  t.strictSame(dnsConfigOf(pod({ dnsPolicy: 'None', dnsConfig: own }), dns), {
    servers: ['1.1.1.1'],
    searches: ['x.test'],
    options: ['ndots:1', 'edns0'],
  })
})

t.test('names', async (t) => {
  t.equal(hostnameOf({ ...pod({}), metadata: { name: `${'a'.repeat(62)}-b`, namespace: 'ns' } }, 'c.l'), 'a'.repeat(62))
  t.equal(hostnameOf(pod({ hostname: 'h', subdomain: 's', setHostnameAsFQDN: true }), 'cluster.local'), 'h.s.ns.svc.cluster.local')
  t.throws(() => hostnameOf(pod({ hostname: 'h'.repeat(50), subdomain: 's', setHostnameAsFQDN: true }), 'cluster.local'), {
    message: /is too long/,
  })
  t.match(
    hostsFile(pod({ hostAliases: [{ ip: '1.2.3.4', hostnames: ['a', 'b'] }] }), ['10.0.0.2'], 'c.l'),
    /\n10\.0\.0\.2\tp\n\n# Entries added by HostAliases\.\n1\.2\.3\.4\ta\tb\n$/,
  )
})

t.test('security', async (t) => {
  const input = { pod: pod({ securityContext: { runAsUser: 5, fsGroup: 7, supplementalGroups: [8] } }), root: '/k', volumeGroups: [] }
  const plain = securityContextOf({ ...input, container: { name: 'main', securityContext: { allowPrivilegeEscalation: false } } })
  t.match(plain, { runAsUser: 5, noNewPrivs: true, supplementalGroups: [8, 7], seccomp: { profileType: 'RuntimeDefault' } })
  t.ok(plain.maskedPaths?.includes('/proc/kcore'))
  const privileged = securityContextOf({ ...input, container: { name: 'main', securityContext: { privileged: true, runAsUser: 0 } } })
  t.match(privileged, { privileged: true, runAsUser: 0, seccomp: { profileType: 'Unconfined' } })
  t.equal(privileged.maskedPaths, undefined)
  const unmasked = securityContextOf({ ...input, container: { name: 'main', securityContext: { procMount: 'Unmasked' } } })
  t.match(unmasked, { maskedPaths: [], readonlyPaths: [] }, 'none, which is not the same as nothing said')
  t.strictSame([unmasked.maskedPaths, unmasked.readonlyPaths], [[], []])
  const strict = pod({ securityContext: { runAsNonRoot: true } })
  t.throws(() => checkNonRoot(strict, { name: 'main' }, { username: '', uid: 0 }), /image will run as root/)
  t.throws(() => checkNonRoot(strict, { name: 'main' }, { username: 'web' }), /non-numeric user \(web\)/)
  t.throws(() => checkNonRoot(strict, { name: 'main', securityContext: { runAsUser: 0 } }, undefined), /breaks non-root policy/)
  t.doesNotThrow(() => checkNonRoot(strict, { name: 'main', securityContext: { runAsUser: 9 } }, undefined))
})
