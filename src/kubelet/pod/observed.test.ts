import t from 'tap'
import { nothingObserved, type ObservedContainer, type ObservedPod, type ObservedSandbox, withList } from './observed.js'

const container = (id: string, more: Partial<ObservedContainer> = {}): ObservedContainer => ({
  id,
  name: 'main',
  sandboxId: 's',
  attempt: 0,
  phase: 'running',
  image: 'i',
  imageRef: 'i',
  imageId: 'i',
  createdAt: 1,
  startedAt: 1,
  finishedAt: 0,
  exitCode: 0,
  reason: '',
  message: '',
  specHash: '',
  logPath: '',
  ...more,
})
const sandbox = (id: string, more: Partial<ObservedSandbox> = {}): ObservedSandbox => ({
  id,
  attempt: 0,
  ready: true,
  createdAt: 1,
  ips: ['10.0.0.2'],
  ...more,
})
const pod = (containers: readonly ObservedContainer[], sandboxes = [sandbox('s')]): ObservedPod => ({ sandboxes, containers })

t.test('a list tells what was missed', async (t) => {
  const before = pod([container('a'), container('b')])
  const found = pod([container('a', { phase: 'exited', exitCode: 3 }), container('b')])
  t.same(
    withList(before, found, before).containers.map(({ id, phase, exitCode }) => [id, phase, exitCode]),
    [
      ['a', 'exited', 3],
      ['b', 'running', 0],
    ],
  )
  t.same(withList(before, nothingObserved, before), nothingObserved, 'all of it is gone')
})

t.test('what became known while it was read is newer than it', async (t) => {
  const before = pod([container('a')])
  const ended = container('a', { phase: 'exited', message: 'last words' })
  const now = pod([container('new', { attempt: 1, createdAt: 2 }), ended], [sandbox('s', { ready: false, ips: [] })])
  const found = pod([container('a')])
  t.same(withList(now, found, before), now)
  t.same(withList(now, pod([container('a', { phase: 'exited', message: '' })]), before), now, 'last words are read once')
})
