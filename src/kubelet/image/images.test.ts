import t from 'tap'
import type { Secret } from '../../api/index.js'
import type { Image } from '../../cri/index.js'
import { planCollection } from './collect.js'
import { credentialsFor } from './credentials.js'
import { registryOf, withDefaultTag } from './name.js'

t.test('names', async (t) => {
  t.strictSame(['nginx', 'a.b:5000/x/y', 'nginx:1', 'x@sha256:aa'].map(withDefaultTag), [
    'nginx:latest',
    'a.b:5000/x/y:latest',
    'nginx:1',
    'x@sha256:aa',
  ])
  for (const bad of ['', 'UPPER', 'a b', 'x:', '/x']) t.throws(() => withDefaultTag(bad), /couldn't parse image name/)
  t.strictSame(['nginx', 'library/nginx', 'quay.io/x', 'localhost/x'].map(registryOf), ['docker.io', 'docker.io', 'quay.io', 'localhost'])
})

t.test('pull secrets: by host, by wildcard, the longest path first', async (t) => {
  const secret = (auths: object): Secret => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 's' },
    type: 'kubernetes.io/dockerconfigjson',
    data: { '.dockerconfigjson': Buffer.from(JSON.stringify({ auths })).toString('base64') },
  })
  const auth = (name: string) => ({ auth: Buffer.from(`${name}:p:w`).toString('base64') })
  const secrets = [
    secret({ 'https://index.docker.io/v1/': auth('hub'), 'r.test/team': auth('team'), 'r.test': auth('all'), '*.wild.test': auth('star') }),
  ]
  const users = (image: string): readonly (string | undefined)[] => credentialsFor(image, secrets).map(({ username }) => username)
  t.strictSame(users('nginx:1'), ['hub'])
  t.strictSame(users('r.test/team/app'), ['team', 'all'])
  t.strictSame(users('r.test/other'), ['all'])
  t.strictSame(users('a.wild.test/x'), ['star'])
  t.strictSame(users('evil.test/x'), [])
  t.equal(credentialsFor('nginx', secrets)[0]?.password, 'p:w')
})

t.test('collection: only above the threshold, unused and old, the longest unused first', async (t) => {
  const image = (id: string, size: number, pinned = false): Image => ({
    id,
    repoTags: [],
    repoDigests: [],
    size,
    username: '',
    spec: { image: id },
    pinned,
  })
  const input = {
    images: [image('a', 100), image('b', 100), image('c', 100), image('pinned', 100, true)],
    inUse: new Set(['c']),
    lastUsed: new Map([
      ['a', 5_000],
      ['b', 1_000],
    ]),
    capacityBytes: 1000,
    policy: { highThresholdPercent: 85, lowThresholdPercent: 80, minimumAgeMs: 1_000 },
    now: 10_000,
  }
  t.strictSame(planCollection({ ...input, usedBytes: 840 }), [])
  t.strictSame(
    planCollection({ ...input, usedBytes: 860 }).map(({ id }) => id),
    ['b'],
  )
  t.strictSame(
    planCollection({ ...input, usedBytes: 990 }).map(({ id }) => id),
    ['b', 'a'],
  )
  t.strictSame(planCollection({ ...input, usedBytes: 990, now: 1_500 }).length, 0, 'too young')
})
