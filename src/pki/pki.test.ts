import { execFileSync } from 'node:child_process'
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { systemRandom, virtualClock } from '../lib/index.js'
import {
  caCertHash,
  createCa,
  createCsr,
  generateKey,
  issue,
  needsRenewal,
  parseCsr,
  podKey,
  signCertificate,
  toPem,
  YEAR,
} from './index.js'
import { accessOf, kubeconfig, mergeKubeconfig, readKubeconfig, writeKubeconfig } from './kubeconfig.js'
import { ipBytes, ipText } from './names.js'

const pki = { clock: virtualClock(Date.now()), random: systemRandom }

t.test('what we issue, OpenSSL accepts', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'knarr-pki-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const ca = await createCa('kubernetes', pki)
  const server = await issue(
    ca,
    {
      subject: { commonName: 'kube-apiserver' },
      usages: ['server auth'],
      altNames: { dns: ['kubernetes.default.svc'], ips: ['10.96.0.1', 'fd00::1'] },
    },
    pki,
  )
  writeFileSync(join(folder, 'ca.crt'), ca.cert)
  writeFileSync(join(folder, 'server.crt'), server.cert)
  const verified = execFileSync('openssl', ['verify', '-purpose', 'sslserver', '-x509_strict', '-CAfile', 'ca.crt', 'server.crt'], {
    cwd: folder,
  }).toString()
  t.match(verified, /server\.crt: OK/)
  const text = execFileSync('openssl', ['x509', '-noout', '-text', '-in', 'server.crt'], { cwd: folder }).toString()
  t.match(text, /DNS:kubernetes\.default\.svc, IP Address:10\.96\.0\.1, IP Address:FD00:0:0:0:0:0:0:1/)
  t.match(text, /TLS Web Server Authentication/)
  t.throws(() =>
    execFileSync('openssl', ['verify', '-purpose', 'sslclient', '-CAfile', 'ca.crt', 'server.crt'], { cwd: folder, stdio: 'pipe' }),
  )
})

t.test('subject, groups and life of a client certificate', async (t) => {
  const ca = await createCa('kubernetes', pki, YEAR)
  const admin = await issue(
    ca,
    { subject: { commonName: 'admin', organizations: ['system:masters'] }, usages: ['client auth'], lifetimeMs: 5 * YEAR },
    pki,
  )
  const certificate = new X509Certificate(admin.cert)
  t.equal(certificate.subject, 'O=system:masters\nCN=admin')
  t.ok(certificate.verify(new X509Certificate(ca.cert).publicKey))
  t.ok(certificate.checkPrivateKey(createPrivateKey(admin.key)))
  t.equal(certificate.validTo, new X509Certificate(ca.cert).validTo, 'never outlives the authority')
  t.notOk(needsRenewal(admin.cert, pki.clock.now()))
  t.ok(needsRenewal(admin.cert, pki.clock.now() + 0.7 * YEAR))
  t.match(caCertHash(ca.cert), /^sha256:[0-9a-f]{64}$/)
})

t.test("requests: ours, OpenSSL's, and forged ones", async (t) => {
  const key = await generateKey()
  const pem = createCsr({ commonName: 'system:node:n1', organizations: ['system:nodes'] }, key, { dns: ['n1'], ips: ['10.0.0.7'] })
  const parsed = parseCsr(pem)
  t.same(parsed.subject, { commonName: 'system:node:n1', organizations: ['system:nodes'] })
  t.same(parsed.altNames, { dns: ['n1'], ips: ['10.0.0.7'], uris: [], emails: [] })
  const ca = await createCa('kubernetes', pki)
  const now = pki.clock.now()
  const cert = signCertificate({ ...parsed, usages: ['client auth'], notBefore: now, notAfter: now + YEAR }, { issuer: ca }, systemRandom)
  t.ok(new X509Certificate(cert).checkPrivateKey(key.privateKey))

  const folder = mkdtempSync(join(tmpdir(), 'knarr-pki-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const args = [
    'req',
    '-new',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    'k',
    '-subj',
    '/O=dev/O=ops/CN=jane',
    '-addext',
    'subjectAltName=DNS:x.y',
  ]
  const theirs = parseCsr(execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'pipe', 'ignore'] }).toString())
  t.same(theirs.subject, { commonName: 'jane', organizations: ['dev', 'ops'] })
  t.same(theirs.altNames.dns, ['x.y'])

  const bytes = Buffer.from(pem.split('\n').slice(1, -2).join(''), 'base64')
  bytes[40] = (bytes[40] ?? 0) ^ 1
  const forged = `-----BEGIN CERTIFICATE REQUEST-----\n${bytes.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`
  t.throws(() => parseCsr(forged), /certificate request cannot be read/)
  t.throws(() => parseCsr('hello'), /PEM block type must be CERTIFICATE REQUEST/)
})

t.test('addresses to bytes and back', async (t) => {
  for (const ip of ['10.96.0.1', '::1', 'fd00::1', '2001:db8::8:800:200c:417a', '::']) t.equal(ipText(ipBytes(ip)), ip)
  t.equal(ipBytes('::ffff:1.2.3.4').toString('hex'), '00000000000000000000ffff01020304')
  t.throws(() => ipBytes('nonsense'), /not an IP address/)
})

t.test('kubeconfig: written, read, merged', async (t) => {
  const identity = { cert: 'CERT', key: 'KEY' }
  const ours = kubeconfig({ server: 'https://10.0.0.1:6443', ca: 'CA', identity }, { cluster: 'knarr', user: 'admin' })
  t.same(accessOf(readKubeconfig(writeKubeconfig(ours))), { server: 'https://10.0.0.1:6443', ca: 'CA', identity })
  const theirs = readKubeconfig(
    'kind: Config\ncurrent-context: old\nclusters: [{name: old, cluster: {server: x}}, {name: knarr, cluster: {server: stale}}]\nusers: []\ncontexts: []\n',
  )
  const both = mergeKubeconfig(theirs, ours)
  t.same(
    both.clusters.map((entry) => entry.name),
    ['old', 'knarr'],
  )
  t.equal(accessOf(both).server, 'https://10.0.0.1:6443')
  t.throws(() => readKubeconfig('a: 1'), /not a kubeconfig/)
})

t.test('a key for a pod comes with an empty request that its own key has signed', async (t) => {
  for (const type of ['RSA3072', 'ECDSAP256', 'ECDSAP384', 'ECDSAP521', 'ED25519']) {
    const { privateKey, request } = await podKey(type)
    const { subject, altNames, publicKey } = parseCsr(toPem('CERTIFICATE REQUEST', request))
    t.strictSame(
      [subject, altNames],
      [
        { commonName: '', organizations: [] },
        { dns: [], ips: [], uris: [], emails: [] },
      ],
      type,
    )
    t.ok(createPublicKey(privateKey).equals(publicKey), type)
  }
  await t.rejects(podKey('DSA'), { message: 'unknown key type "DSA"' })
})
