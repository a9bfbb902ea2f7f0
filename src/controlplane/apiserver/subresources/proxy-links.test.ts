import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import { readBody } from '../../../lib/index.js'
import { behindProxy, type ProxyPlace, rewriteLinks, throughProxy } from './proxy-links.js'

const place: ProxyPlace = { prefix: '/api/v1/namespaces/n/pods/p/proxy', scheme: 'https', host: 'api:6443', target: '10.0.0.7:80' }
const through = `https://api:6443${place.prefix}`

t.test('addresses', async (t) => {
  for (const [given, wanted] of [
    ['/x?y=/z#w', `${place.prefix}/x?y=/z#w`],
    ['/', `${place.prefix}/`],
    ['x/y', 'x/y'],
    ['?q', '?q'],
    ['#top', '#top'],
    ['', ''],
    ['mailto:a@b', 'mailto:a@b'],
    ['http://10.0.0.7:80/x', `${through}/x`],
    ['//10.0.0.7:80/x', `${through}/x`],
    ['http://api:6443/x', `${through}/x`],
    ['http://elsewhere/x', 'http://elsewhere/x'],
    ['//elsewhere/x', '//elsewhere/x'],
    [`${place.prefix}/x`, `${place.prefix}/x`],
  ] as const)
    t.equal(throughProxy(given, place), wanted, given)
})

const rewritten = async (html: string, cut = 1e9): Promise<string> => {
  const bytes = Buffer.from(html)
  const chunks = Array.from({ length: Math.ceil(bytes.length / cut) }, (_, i) => bytes.subarray(i * cut, (i + 1) * cut))
  const done: Buffer[] = []
  for await (const chunk of rewriteLinks(chunks as unknown as AsyncIterable<Uint8Array>, place)) done.push(chunk)
  return Buffer.concat(done).toString()
}

const page = `<!DOCTYPE html><html><!-- <a href="/no"> --><head><link rel=stylesheet href=/a.css>
<script>var s = '<a href="/no">'</script ><script src='/b.js'></script></head>
<body><p title="/no">grüße <a class="x" href="/c?d=e&amp;f">c</a><IMG SRC="/g.png" alt="a > b"><form action="/h" data-href="/no"></form>
<a href="http://elsewhere/i">i</a> 1 < 2</body></html>`

t.test('links of a page, and nothing else', async (t) => {
  const { prefix } = place
  const wanted = page
    .replace('href=/a.css', `href=${prefix}/a.css`)
    .replace("src='/b.js'", `src='${prefix}/b.js'`)
    .replace('href="/c?', `href="${prefix}/c?`)
    .replace('SRC="/g.png"', `SRC="${prefix}/g.png"`)
    .replace('action="/h"', `action="${prefix}/h"`)
  t.equal(await rewritten(page), wanted)
  for (const cut of [1, 2, 3, 7, 50]) t.equal(await rewritten(page, cut), wanted, `in pieces of ${cut}`)
  await fc.assert(
    fc.asyncProperty(
      fc.string({ unit: fc.constantFrom('<', '>', '"', "'", '=', '/', 'a', ' ', '!', '-', 'href', 'script') }),
      async (text) => {
        const whole = await rewritten(text)
        return (await rewritten(text, 3)) === whole && whole.replaceAll(prefix, '') === text
      },
    ),
    { numRuns: 2000 },
  )
  const hostile = '<a "'.repeat(200_000)
  t.equal(await rewritten(hostile, 65_536), hostile)
})

t.test('answers: redirects, packed pages, other types', async (t) => {
  const body = Buffer.from('<a href="/x">')
  const html = { 'content-type': 'text/html; charset=utf-8' }
  const moved = behindProxy({ status: 302, headers: { location: '/x' }, body: new Uint8Array(0) }, 'GET', place)
  t.equal(moved.headers.location, `${place.prefix}/x`)
  const packed = behindProxy({ status: 200, headers: { ...html, 'content-encoding': 'gzip' }, body: gzipSync(body) }, 'GET', place)
  t.equal(packed.headers['content-encoding'], undefined)
  t.equal(Buffer.from(await readBody(packed.body)).toString(), `<a href="${place.prefix}/x">`)
  const broken = behindProxy({ status: 200, headers: { ...html, 'content-encoding': 'gzip' }, body }, 'GET', place)
  await t.rejects(readBody(broken.body))
  const text = behindProxy({ status: 200, headers: { 'content-type': 'text/plain' }, body }, 'GET', place)
  t.equal(text.body, body)
})
