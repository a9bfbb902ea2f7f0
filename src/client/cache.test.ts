import t from 'tap'
import type { ConfigMap } from '../api/index.js'
import { ObjectCache } from './cache.js'

const map = (name: string, version: number, color = 'red', uid = `uid-${name}`): ConfigMap => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'ns', uid, resourceVersion: String(version) },
  data: { color },
})

t.test('finds objects by index and follows their changes', async (t) => {
  const cache = new ObjectCache<ConfigMap>({ color: (m) => [m.data?.color ?? ''] })
  cache.put(map('a', 1))
  cache.put(map('b', 2, 'blue'))
  t.same(
    cache.byIndex('color', 'red').map((m) => m.metadata.name),
    ['a'],
  )
  cache.put(map('a', 3, 'blue'))
  t.equal(cache.byIndex('color', 'red').length, 0)
  t.equal(cache.byIndex('color', 'blue').length, 2)
  t.equal(cache.list('ns').length, 2)
  t.equal(cache.list('other').length, 0)
  t.throws(() => cache.byIndex('size', 'x'), /no index size/)
})

t.test('late events neither bring back old versions nor the dead', async (t) => {
  const cache = new ObjectCache<ConfigMap>()
  cache.put(map('a', 5, 'new'))
  cache.put(map('a', 4, 'old'))
  t.equal(cache.get('ns/a')?.data?.color, 'new')
  cache.remove(map('a', 6))
  cache.put(map('a', 5))
  t.equal(cache.get('ns/a'), undefined)
  cache.put(map('a', 7, 'reborn', 'another-uid'))
  t.equal(cache.get('ns/a')?.data?.color, 'reborn')
})

t.test('listeners hear what was there, what changes, and what a fresh list lacks', async (t) => {
  const cache = new ObjectCache<ConfigMap>()
  cache.put(map('a', 1))
  const heard: string[] = []
  const stop = cache.subscribe({
    added: (m) => heard.push(`+${m.metadata.name}`),
    updated: (m, before) => heard.push(`${before.data?.color}>${m.data?.color}`),
    deleted: (m) => heard.push(`-${m.metadata.name}`),
  })
  cache.put(map('a', 2, 'blue'))
  cache.replace([map('b', 3), map('c', 3)], '3')
  stop()
  cache.put(map('d', 9))
  t.same(heard, ['+a', 'red>blue', '-a', '+b', '+c'])
})

t.test('a list does not take away what is younger than it', async (t) => {
  const cache = new ObjectCache<ConfigMap>()
  cache.put(map('old', 3))
  cache.put(map('young', 8))
  cache.replace([], '5')
  t.same(
    cache.list().map((m) => m.metadata.name),
    ['young'],
  )
})
