// What a request is about, read from its method and path. Pure.
import { ApiError } from '../../../lib/index.js'

export type RequestVerb =
  | 'get'
  | 'list'
  | 'watch'
  | 'create'
  | 'update'
  | 'patch'
  | 'delete'
  | 'deletecollection'
  | 'proxy'
  // Requests that are not about resources carry their method in lower case.
  | 'post'
  | 'put'
  | 'head'
  | 'options'

export interface RequestInfo {
  readonly isResource: boolean
  readonly verb: RequestVerb
  readonly path: string
  readonly query: URLSearchParams
  readonly group: string
  readonly version: string
  readonly namespace: string
  readonly resource: string
  readonly subresource: string
  readonly name: string
  /** Segments behind the subresource: the path that a proxy forwards. */
  readonly rest: readonly string[]
  /** The path behind the subresource as it was written, with its first slash. */
  readonly rawRest: string
}

const VERBS: Readonly<Record<string, RequestVerb>> = {
  POST: 'create',
  GET: 'get',
  HEAD: 'get',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
  OPTIONS: 'options',
}

/** Subresources of a namespace; any other word behind its name is a resource inside it. */
const NAMESPACE_SUBRESOURCES = new Set(['status', 'finalize'])

function decodeSegment(segment: string): string {
  let decoded: string
  try {
    decoded = decodeURIComponent(segment)
  } catch {
    throw new ApiError('BadRequest', `the path segment ${JSON.stringify(segment)} is not valid percent-encoded UTF-8`)
  }
  if (decoded === '.' || decoded === '..' || decoded.includes('/') || decoded.includes('\0')) {
    throw new ApiError('BadRequest', `the path segment ${JSON.stringify(segment)} may not be '.', '..', or hold '/'`)
  }
  return decoded
}

const flag = (value: string | null): boolean => value !== null && value !== '0' && value !== 'false'

function nonResource(method: string, path: string, query: URLSearchParams): RequestInfo {
  const verb = method.toLowerCase() as RequestVerb
  return {
    isResource: false,
    verb,
    path,
    query,
    group: '',
    version: '',
    namespace: '',
    resource: '',
    subresource: '',
    name: '',
    rest: [],
    rawRest: '',
  }
}

/** Throws BadRequest for paths that try to be clever. */
export function requestInfo(method: string, url: string): RequestInfo {
  const mark = url.indexOf('?')
  const path = mark < 0 ? url : url.slice(0, mark)
  const query = new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1))
  const segments = path.split('/').slice(1)
  if (segments.at(-1) === '') segments.pop()
  const root = segments[0]
  const depth = root === 'api' ? 2 : root === 'apis' ? 3 : 0
  if (depth === 0 || segments.length <= depth) {
    for (const segment of segments) decodeSegment(segment)
    return nonResource(method, path, query)
  }

  let at = depth
  const raw = (): string => segments[at] as string
  let verb = VERBS[method] ?? (method.toLowerCase() as RequestVerb)
  if (raw() === 'watch' && segments.length > at + 1) {
    verb = 'watch'
    at++
  } else if (raw() === 'proxy' && segments.length > at + 1) at++
  let namespace = ''
  if (raw() === 'namespaces' && segments.length > at + 1) {
    namespace = decodeSegment(segments[at + 1] as string)
    const third = segments[at + 2]
    if (third !== undefined && !NAMESPACE_SUBRESOURCES.has(third)) at += 2
  }
  const [resource = '', name = '', subresource = ''] = segments.slice(at, at + 3).map(decodeSegment)
  const isProxy = subresource === 'proxy'
  const rest = segments.slice(at + 3)
  if (name === '') {
    if (verb === 'get') verb = flag(query.get('watch')) ? 'watch' : 'list'
    else if (verb === 'delete') verb = 'deletecollection'
  } else if (verb === 'get' && subresource === '' && flag(query.get('watch'))) verb = 'watch'
  return {
    isResource: true,
    verb,
    path,
    query,
    group: depth === 3 ? decodeSegment(segments[1] as string) : '',
    version: decodeSegment(segments[depth - 1] as string),
    namespace,
    resource,
    subresource,
    name,
    rest: isProxy ? rest : rest.map(decodeSegment),
    rawRest: rest.length > 0 || path.endsWith('/') ? `/${rest.join('/')}${path.endsWith('/') && rest.length > 0 ? '/' : ''}` : '',
  }
}
