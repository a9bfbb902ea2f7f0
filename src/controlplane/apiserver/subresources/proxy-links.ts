// What a proxied server says of its own addresses, as addresses below the proxy: Location headers and links in HTML.
import { pipeline, Readable } from 'node:stream'
import { createGunzip, createInflate } from 'node:zlib'
import type { HttpResponse } from '../../../lib/index.js'

export interface ProxyPlace {
  /** Path of the proxy itself: `/api/v1/namespaces/default/pods/web/proxy`. */
  readonly prefix: string
  /** How the client came: `https` and its Host header. */
  readonly scheme: string
  readonly host: string
  /** `host:port` of the proxied server. */
  readonly target: string
}

/** Attributes of HTML that hold an address (https://html.spec.whatwg.org/multipage/indices.html#attributes-3). */
const ADDRESSES: Readonly<Record<string, readonly string[]>> = {
  a: ['href'],
  applet: ['codebase'],
  area: ['href'],
  audio: ['src'],
  base: ['href'],
  blockquote: ['cite'],
  body: ['background'],
  button: ['formaction'],
  command: ['icon'],
  del: ['cite'],
  embed: ['src'],
  form: ['action'],
  frame: ['longdesc', 'src'],
  head: ['profile'],
  html: ['manifest'],
  iframe: ['longdesc', 'src'],
  image: ['href'],
  img: ['longdesc', 'src', 'usemap'],
  input: ['formaction', 'src'],
  ins: ['cite'],
  link: ['href'],
  object: ['classid', 'codebase', 'data', 'usemap'],
  q: ['cite'],
  script: ['src'],
  source: ['src'],
  video: ['poster', 'src'],
}

/** Elements whose content is text, whatever it looks like. */
const RAW = new Set(['script', 'style', 'textarea', 'title', 'xmp', 'iframe', 'noembed', 'noframes'])

/** A tag that does not end within so many characters is none. */
const LONGEST_TAG = 64 * 1024

/** An address on the proxied server becomes one below the proxy; relative ones and those of other servers stay. */
export function throughProxy(address: string, { prefix, scheme, host, target }: ProxyPlace): string {
  const [, , authority, path = ''] = /^(?:([a-z][a-z0-9+.-]*):)?(?:\/\/([^/?#]*))?(\/.*)?$/is.exec(address) ?? []
  if (!path.startsWith('/') || (authority !== undefined && authority !== target && authority !== host)) return address
  if (path.startsWith(`${prefix}/`) || path === prefix) return authority === undefined ? address : `${scheme}://${host}${path}`
  return `${authority === undefined ? '' : `${scheme}://${host}`}${prefix}${path}`
}

/** Where the tag that begins at `start` ends: behind its `>`; -1 when that has not come yet. */
function endOfTag(text: string, start: number): number {
  let quote = ''
  for (let at = start; at < text.length; at++) {
    const one = text[at] as string
    if (quote) quote = one === quote ? '' : quote
    else if (one === '>') return at + 1
    else if ((one === '"' || one === "'") && text[at - 1] === '=') quote = one
  }
  return -1
}

function rewriteTag(tag: string, place: ProxyPlace): string {
  const name = /^<([a-z][a-z0-9]*)/i.exec(tag)?.[1]?.toLowerCase() ?? ''
  const attributes = Object.hasOwn(ADDRESSES, name) ? ADDRESSES[name] : undefined
  if (!attributes) return tag
  return tag.replace(/([\s"'/])([a-z]+)=("[^"]*"|'[^']*'|[^\s"'>]+)/gi, (whole, before: string, attribute: string, value: string) => {
    if (!attributes.includes(attribute.toLowerCase())) return whole
    const quote = value.startsWith('"') || value.startsWith("'") ? value.charAt(0) : ''
    const address = quote ? value.slice(1, -1) : value
    return `${before}${attribute}=${quote}${throughProxy(address, place)}${quote}`
  })
}

/** Rewrites HTML as it comes; holds back at most one tag. */
export async function* rewriteLinks(body: AsyncIterable<Uint8Array>, place: ProxyPlace): AsyncGenerator<Buffer> {
  // One character a byte: what is not rewritten passes as it was, in any encoding that keeps ASCII.
  let text = ''
  /** Inside a comment or an element of text: what ends it. */
  let until = ''
  const take = (last: boolean): string => {
    const lower = text.toLowerCase()
    let done = ''
    let at = 0
    while (at < text.length) {
      if (until) {
        const end = lower.indexOf(until, at)
        const to = end >= 0 ? end : last ? text.length : Math.max(at, text.length - until.length)
        done += text.slice(at, to)
        at = to
        if (end < 0) break
        until = ''
        continue
      }
      const start = text.indexOf('<', at)
      done += text.slice(at, start < 0 ? text.length : start)
      at = start < 0 ? text.length : start
      if (start < 0) break
      if (text.startsWith('<!--', at)) {
        until = '-->'
        continue
      }
      const end = endOfTag(text, at)
      if (end < 0 && !last && text.length - at < LONGEST_TAG) break
      if (end < 0) {
        done += text.slice(at)
        at = text.length
        break
      }
      const tag = text.slice(at, end)
      done += rewriteTag(tag, place)
      at = end
      const name = /^<([a-z]+)/i.exec(tag)?.[1]?.toLowerCase() ?? ''
      if (RAW.has(name) && !tag.endsWith('/>')) until = `</${name}`
    }
    text = text.slice(at)
    return done
  }
  for await (const chunk of body) {
    text += Buffer.from(chunk).toString('latin1')
    const done = take(false)
    if (done) yield Buffer.from(done, 'latin1')
  }
  const rest = take(true)
  if (rest) yield Buffer.from(rest, 'latin1')
}

/** The answer of a proxied server, with the proxy in its addresses. */
export function behindProxy(response: HttpResponse, method: string, place: ProxyPlace): HttpResponse {
  const { location, 'content-type': type = '', 'content-encoding': encoding = 'identity', ...headers } = response.headers
  if (location !== undefined) return { ...response, headers: { ...response.headers, location: throughProxy(location, place) } }
  // Without a body there is nothing to rewrite, nor to unpack.
  if (method === 'HEAD' || response.status === 204 || response.status === 304) return response
  const inflate = encoding === 'gzip' ? createGunzip : encoding === 'deflate' ? createInflate : undefined
  if (type.split(';')[0]?.trim().toLowerCase() !== 'text/html' || !(encoding === 'identity' || inflate)) return response
  const body = response.body instanceof Uint8Array ? Readable.from([response.body]) : Readable.from(response.body)
  const plain = inflate ? pipeline(body, inflate(), () => {}) : body
  return { ...response, headers: { ...headers, 'content-type': type }, body: rewriteLinks(plain, place) }
}
