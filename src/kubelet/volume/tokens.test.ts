import t from 'tap'
import type { Pod, TokenRequest } from '../../api/index.js'
import { createClient } from '../../client/index.js'
import { ApiError, type HttpHandler, readBody, rfc3339, seededRandom, virtualClock } from '../../lib/index.js'
import { tokenSource } from './tokens.js'

const pod: Pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p', namespace: 'ns', uid: 'u' },
  spec: { serviceAccountName: 'builder', containers: [] },
}

t.test('a token is asked for once, and again when four fifths of its life are over', async (t) => {
  const clock = virtualClock()
  const asked: { url: string; body: TokenRequest }[] = []
  let away = false
  const handler: HttpHandler = async ({ url, body }) => {
    if (away) throw new ApiError('ServiceUnavailable', 'away')
    const sent = JSON.parse(Buffer.from(await readBody(body ?? Buffer.alloc(0))).toString()) as TokenRequest
    asked.push({ url, body: sent })
    const seconds = sent.spec?.expirationSeconds ?? 0
    const status = { token: `token-${asked.length}`, expirationTimestamp: rfc3339(clock.now() + seconds * 1000) }
    return { status: 201, headers: { 'content-type': 'application/json' }, body: Buffer.from(JSON.stringify({ ...sent, status })) }
  }
  const tokens = tokenSource(createClient(handler), clock, seededRandom(1))
  const projection = { path: 'token', audience: 'vault', expirationSeconds: 1000 }
  t.equal(tokens.renewAt(pod), undefined)
  t.equal(await tokens.token(pod, projection), 'token-1')
  t.equal(await tokens.token(pod, projection), 'token-1')
  t.match(asked[0], {
    url: /\/namespaces\/ns\/serviceaccounts\/builder\/token$/,
    body: { spec: { audiences: ['vault'], expirationSeconds: 1000, boundObjectRef: { kind: 'Pod', name: 'p', uid: 'u' } } },
  })
  t.equal(await tokens.token(pod, { path: 'other', expirationSeconds: 2000 }), 'token-2', 'another audience is another token')
  const renewAt = (tokens.renewAt(pod) ?? 0) - clock.now()
  t.ok(renewAt > 789_000 && renewAt <= 800_000)
  await clock.advance(800_000)
  away = true
  t.equal(await tokens.token(pod, projection), 'token-1', 'while nobody answers the old one does')
  await clock.advance(100_000)
  away = false
  t.equal(await tokens.token(pod, projection), 'token-3')
  away = true
  await clock.advance(1_000_000)
  await t.rejects(tokens.token(pod, projection), { message: 'away' }, 'but not when it has run out')
  tokens.forget('u')
  t.equal(tokens.renewAt(pod), undefined)
})
