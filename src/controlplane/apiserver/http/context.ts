// What travels down the handler chain with a request.
import type { HttpRequest, HttpResponse } from '../../../lib/index.js'
import type { RequestInfo } from './request-info.js'

export interface User {
  readonly name: string
  readonly uid?: string
  readonly groups: readonly string[]
  readonly extra: Readonly<Record<string, readonly string[]>>
}

export const ANONYMOUS: User = { name: 'system:anonymous', groups: ['system:unauthenticated'], extra: {} }

export interface RequestContext {
  readonly request: HttpRequest
  readonly info: RequestInfo
  user: User
  /** Sentences for `Warning` headers. */
  readonly warnings: string[]
}

export type Next = () => Promise<HttpResponse>
/** One link: answers, or calls `next` for the answer of the links behind it. */
export type Filter = (context: RequestContext, next: Next) => Promise<HttpResponse>

/** The links in order, as one function. */
export function compose(filters: readonly Filter[]): (context: RequestContext) => Promise<HttpResponse> {
  return (context) => {
    const run = (at: number): Promise<HttpResponse> => {
      const filter = filters[at]
      if (!filter) throw new Error('the last handler of the chain must answer')
      return filter(context, () => run(at + 1))
    }
    return run(0)
  }
}
