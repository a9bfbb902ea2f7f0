// What the server does around a write of a particular kind, beyond the table's pure rules.
import type { JsonObject, Resource, ResourceType } from '../../../api/index.js'
import type { Txn } from '../../../store/index.js'
import type { User } from '../http/context.js'

/** Keys that are written in the same transaction as the object, such as the address a Service takes. */
export interface Companions {
  readonly compare: Txn['compare']
  readonly operations: Txn['operations']
}

export interface HookRequest {
  readonly type: ResourceType
  readonly subresource: string
  readonly namespace: string
  readonly user: User
  readonly dryRun: boolean
  readonly warnings: string[]
}

export interface KindHooks {
  /** Runs before validation: changes `object` in place. `previous` is undefined for a create. */
  beforeWrite?(object: JsonObject, previous: Resource | undefined, request: HookRequest): Promise<void> | void
  /** Runs after validation; called again when one of its keys was taken by somebody else meanwhile. */
  companions?(object: JsonObject, previous: Resource | undefined, request: HookRequest): Promise<Companions | undefined>
  /** Keys that go with the object. */
  onDelete?(object: Resource): Promise<Companions | undefined>
  /** Seconds after which the store forgets the object. */
  readonly ttlSeconds?: number
}

/** By storage prefix. */
export type HooksByPrefix = ReadonlyMap<string, KindHooks>
