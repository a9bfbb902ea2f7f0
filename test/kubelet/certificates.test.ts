// Certificates and trust bundles in projected volumes, with a signer that the test is. Needs root.
import { createPrivateKey, X509Certificate } from 'node:crypto'
import t from 'tap'
import { ClusterTrustBundle, PodCertificateRequest, type PodSpec } from '../../src/api/index.js'
import { rfc3339, systemClock, systemRandom } from '../../src/lib/index.js'
import { createCa, parseCsr, signCertificate, toPem } from '../../src/pki/index.js'
import { FOREVER, isReady, NODE, nodeScene, options, shell, statusOf, until } from './scene.js'

t.setTimeout(240_000)
const SIGNER = 'example.com/shop'

t.test('certificates', options, async (t) => {
  t.setTimeout(200_000)
  const n = await nodeScene()
  t.teardown(() => n.end())
  const mounting = (
    sources: NonNullable<NonNullable<NonNullable<PodSpec['volumes']>[number]['projected']>['sources']>,
  ): Partial<PodSpec> => ({
    serviceAccountName: 'default',
    volumes: [{ name: 'v', projected: { sources } }],
    containers: [shell(FOREVER, { volumeMounts: [{ name: 'v', mountPath: '/v' }] })],
  })
  const requestsOf = async (pod: string): Promise<readonly PodCertificateRequest[]> =>
    (await n.client.list(PodCertificateRequest, { namespace: 'default' })).items.filter(({ spec }) => spec.podName === pod)
  const open = (pod: string): Promise<PodCertificateRequest> =>
    until(async () => (await requestsOf(pod)).find(({ status }) => !status?.conditions?.length))
  const decide = async (request: PodCertificateRequest, type: string, status: Partial<PodCertificateRequest['status']>): Promise<void> => {
    const condition = { type, status: 'True', reason: 'Tested', message: 'because', lastTransitionTime: rfc3339(Date.now()) }
    await n.client.updateStatus(PodCertificateRequest, { ...request, status: { ...status, conditions: [condition] } })
  }

  t.test('the node makes a key, a signer answers, and again before it runs out', async (t) => {
    const ca = await createCa('signer', { clock: systemClock, random: systemRandom })
    const issue = async (request: PodCertificateRequest, beginMs: number, endMs: number): Promise<string> => {
      const { publicKey, subject } = parseCsr(toPem('CERTIFICATE REQUEST', Buffer.from(request.spec.stubPKCS10Request, 'base64')))
      t.equal(subject.commonName, '', 'the request names nobody')
      const now = Date.now()
      const times = { notBefore: now - 1000, notAfter: now + endMs }
      const leaf = signCertificate(
        { subject: { commonName: request.spec.podName }, usages: ['client auth'], publicKey, ...times },
        { issuer: ca },
        systemRandom,
      )
      await decide(request, 'Issued', {
        certificateChain: `${leaf}some words\n${ca.cert}`,
        notBefore: rfc3339(times.notBefore),
        notAfter: rfc3339(times.notAfter),
        beginRefreshAt: rfc3339(now + beginMs),
      })
      return leaf
    }
    await n.run('shop', {
      ...mounting([
        {
          podCertificate: {
            signerName: SIGNER,
            keyType: 'ECDSAP384',
            maxExpirationSeconds: 7200,
            credentialBundlePath: 'bundle.pem',
            keyPath: 'key.pem',
            certificateChainPath: 'chain.pem',
            userAnnotations: { 'example.com/as': 'shop' },
          },
        },
      ]),
    })
    const first = await open('shop')
    const pod = await n.get('shop')
    t.match(first, {
      metadata: { ownerReferences: [{ kind: 'Pod', uid: pod?.metadata.uid }] },
      spec: {
        signerName: SIGNER,
        podUID: pod?.metadata.uid,
        nodeName: NODE,
        serviceAccountName: 'default',
        maxExpirationSeconds: 7200,
        unverifiedUserAnnotations: { 'example.com/as': 'shop' },
      },
    })
    t.ok(await n.eventWith('shop', 'FailedMount', /credential bundle is not issued yet/))
    const leaf = await issue(first, 1_000, 5_000)
    await n.wait('shop', isReady)
    const read = (name: string): Promise<string> => n.exec('shop', 'main', 'cat', `/v/${name}`)
    const [bundle, key, chain] = [await read('bundle.pem'), await read('key.pem'), await read('chain.pem')]
    t.equal(bundle, key + chain)
    t.equal(chain.trim(), `${leaf.trim()}\n${ca.cert.trim()}`, 'only certificates, whatever the signer wrote between them')
    t.ok(new X509Certificate(chain).checkPrivateKey(createPrivateKey(key)))
    const second = await open('shop')
    t.not(second.metadata.name, first.metadata.name)
    t.not(second.spec.stubPKCS10Request, first.spec.stubPKCS10Request, 'with another key')
    t.equal(await read('bundle.pem'), bundle, 'the old one serves on meanwhile')
    const renewed = await issue(second, 3_000_000, 3_600_000)
    await until(async () => ((await read('chain.pem')).startsWith(renewed.trim()) ? true : undefined))
    t.ok(
      new X509Certificate(await read('bundle.pem').then((text) => text.replace(/^[\s\S]*?(?=-----BEGIN CERT)/, ''))).checkPrivateKey(
        createPrivateKey(await read('key.pem')),
      ),
    )
  })

  t.test('a signer that says no', async (t) => {
    const podCertificate = { signerName: SIGNER, keyType: 'ED25519', credentialBundlePath: 'bundle.pem' }
    await n.run('denied', mounting([{ podCertificate }]))
    await decide(await open('denied'), 'Denied', {})
    t.ok(await n.eventWith('denied', 'Denied', /reason="Tested" message="because"/))
    t.ok(await n.eventWith('denied', 'FailedMount', /PodCertificateRequest was permanently denied: reason="Tested" message="because"/))
    await n.wait('denied', (pod) => statusOf(pod)?.state?.waiting?.reason === 'ContainerCreating')
    t.equal((await requestsOf('denied')).length, 1, 'it is not asked twice')
  })

  t.test('trust bundles by name, by signer and labels, optional ones; changes are seen', async (t) => {
    const authority = async (name: string): Promise<string> => (await createCa(name, { clock: systemClock, random: systemRandom })).cert
    const [one, two, three] = [await authority('one'), await authority('two'), await authority('three')]
    const bundle = (name: string, trustBundle: string, signerName?: string, labels = {}) =>
      n.client.create(ClusterTrustBundle, {
        apiVersion: 'certificates.k8s.io/v1',
        kind: 'ClusterTrustBundle',
        metadata: { name, labels },
        spec: { trustBundle, ...(signerName ? { signerName } : {}) },
      })
    await bundle('plain', `${one}${one}`)
    await bundle('example.com:shop:a', two, SIGNER, { live: 'yes' })
    await bundle('example.com:shop:b', three, SIGNER, { live: 'no' })
    await n.run(
      'bundles',
      mounting([
        { clusterTrustBundle: { name: 'plain', path: 'named' } },
        { clusterTrustBundle: { signerName: SIGNER, labelSelector: { matchLabels: { live: 'yes' } }, path: 'chosen' } },
        { clusterTrustBundle: { signerName: SIGNER, labelSelector: {}, path: 'all' } },
        { clusterTrustBundle: { signerName: SIGNER, optional: true, path: 'none' } },
        { clusterTrustBundle: { name: 'missing', optional: true, path: 'missing' } },
      ]),
    )
    await n.wait('bundles', isReady)
    const read = (name: string): Promise<string> => n.exec('bundles', 'main', 'cat', `/v/${name}`)
    t.equal((await read('named')).trim(), one.trim(), 'each certificate once')
    t.equal((await read('chosen')).trim(), two.trim())
    t.equal((await read('all')).match(/BEGIN/g)?.length, 2)
    t.equal(await read('none'), '')
    t.equal(await read('missing'), '')
    await n.client.patch(ClusterTrustBundle, { name: 'plain' }, { spec: { trustBundle: three } }, { type: 'merge' })
    await until(async () => ((await read('named')).trim() === three.trim() ? true : undefined))
    await bundle('missing', one)
    await until(async () => ((await read('missing')).trim() === one.trim() ? true : undefined))
  })
})
