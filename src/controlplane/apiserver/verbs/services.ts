// What the verbs of a resource need, and what a handler of a subresource is.
import type { ResourceType } from '../../../api/index.js'
import type { HttpResponse } from '../../../lib/index.js'
import type { Admission } from '../admission/plugin.js'
import type { RequestContext } from '../http/context.js'
import type { Backend } from '../registry/backend.js'
import type { Deleter } from '../registry/deletion.js'
import type { Writer } from '../registry/writer.js'

export interface ResourceServices {
  readonly backend: Backend
  readonly admission: Admission
  readonly writer: Writer
  readonly deleter: Deleter
  readonly maxBodyBytes: number
  /** Registers what ends a watch when caches are made anew. */
  readonly onReset: (end: () => void) => () => void
  /** Where the lengths of a kind's watch events are counted. */
  readonly watchEvents: (type: ResourceType) => { observe(bytes: number): void }
}

/** A subresource with a shape of its own, or a resource that is not stored. */
export type SpecialHandler = (context: RequestContext, type: ResourceType, services: ResourceServices) => Promise<HttpResponse>

/** By `group/plural` or `group/plural/subresource`; `*` stands for any group/plural. */
export type SpecialHandlers = ReadonlyMap<string, SpecialHandler>
