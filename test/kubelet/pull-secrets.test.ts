// Images behind a password: secrets of the pod and of its ServiceAccount, from a real registry. Needs root, kubectl and docker-registry.
import t from 'tap'
import { Secret } from '../../src/api/index.js'
import { needs, startRegistry } from '../image/fixture.js'
import { kubectl, versions } from './kubectl.js'
import { FOREVER, IMAGE, isReady, nodeScene, options, shell, statusOf } from './scene.js'

t.setTimeout(240_000)

const missing = needs('docker-registry', 'htpasswd') || (versions.length === 0 ? 'no kubectl' : false)

t.test('pull secrets', missing ? { skip: missing } : options, async (t) => {
  t.setTimeout(240_000)
  const n = await nodeScene()
  t.teardown(() => n.end())
  const { host } = await startRegistry(t, { user: 'ada', password: 'lovelace' })
  const name = `${host}/team/app:1`
  await n.s.images.tag(IMAGE, name)
  await n.s.images.push(name, { auth: { username: 'ada', password: 'lovelace' } })
  await n.s.images.remove(name)
  const k = kubectl(n, versions[0] as string)
  const container = (more = {}) => shell(FOREVER, { image: name, imagePullPolicy: 'Always', ...more })
  const login = (password: string, secret: string) =>
    k.run(
      'create',
      'secret',
      'docker-registry',
      secret,
      `--docker-server=${host}`,
      '--docker-username=ada',
      `--docker-password=${password}`,
    )

  t.test('without one the registry says no, and the pod says so', async (t) => {
    await n.run('stranger', { containers: [container()] })
    const pod = await n.wait('stranger', (now) => statusOf(now)?.state?.waiting?.reason === 'ImagePullBackOff')
    t.match(statusOf(pod)?.state?.waiting?.message, /^Back-off pulling image ".*\/team\/app:1": ErrImagePull: .*wants credentials/)
    t.ok(await n.eventWith('stranger', 'Failed', /^Failed to pull image ".*\/team\/app:1": .*wants credentials/))
    t.ok(await n.eventWith('stranger', 'Failed', /^Error: ErrImagePull$/))
    t.ok(await n.eventWith('stranger', 'Failed', /^Error: ImagePullBackOff$/))
    t.match((await k.run('get', 'pod', 'stranger')).stdout, /ImagePullBackOff|ErrImagePull/)
    await n.remove('stranger', 0)
  })

  t.test('a wrong password is refused; put right, the same pod comes up', async (t) => {
    t.match(await login('babbage', 'login'), { code: 0 })
    await n.run('mended', { imagePullSecrets: [{ name: 'login' }], containers: [container()] })
    const pod = await n.wait('mended', (now) => statusOf(now)?.state?.waiting?.reason === 'ImagePullBackOff')
    t.match(statusOf(pod)?.state?.waiting?.message, /refused the credentials/)
    await n.client.delete(Secret, { namespace: 'default', name: 'login' })
    t.match(await login('lovelace', 'login'), { code: 0 })
    await n.wait('mended', isReady, 90_000)
    t.ok(await n.eventWith('mended', 'Pulling', new RegExp(`^Pulling image "${name}"$`)))
    t.ok(
      await n.eventWith(
        'mended',
        'Pulled',
        /^Successfully pulled image ".*\/team\/app:1" in [\d.]+m?s \([\d.]+m?s including waiting\)\. Image size: \d+ bytes\.$/,
      ),
    )
    t.match(statusOf(await n.get('mended')), { image: name, imageID: new RegExp(`${host}/team/app@sha256:[0-9a-f]{64}$`) })
  })

  t.test('a secret for another registry, or none of that name, helps nobody; the right one among several does', async (t) => {
    await k.run(
      'create',
      'secret',
      'docker-registry',
      'other',
      '--docker-server=registry.test',
      '--docker-username=x',
      '--docker-password=y',
    )
    await n.run('several', { imagePullSecrets: [{ name: 'not-there' }, { name: 'other' }, { name: 'login' }], containers: [container()] })
    await n.wait('several', isReady)
    await n.run('wrong', { imagePullSecrets: [{ name: 'not-there' }, { name: 'other' }], containers: [container()] })
    await n.wait('wrong', (now) => statusOf(now)?.state?.waiting?.reason === 'ImagePullBackOff')
    t.ok(await n.eventWith('wrong', 'FailedToRetrieveImagePullSecret', /not-there/))
    for (const pod of ['several', 'wrong']) await n.remove(pod, 0)
  })

  t.test('a ServiceAccount gives its pods its secrets', async (t) => {
    t.match(await k.run('patch', 'serviceaccount', 'default', '-p', '{"imagePullSecrets":[{"name":"login"}]}'), { code: 0 })
    await n.run('member', {
      containers: [container()],
      initContainers: [shell('true', { name: 'init', image: name, imagePullPolicy: 'Always' })],
    })
    const pod = await n.wait('member', isReady)
    t.strictSame(pod.spec?.imagePullSecrets, [{ name: 'login' }])
  })
})
