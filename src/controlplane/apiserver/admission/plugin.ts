// What an admission plugin is: it may change a request's object, then refuse it.
import type { JsonObject, Resource, ResourceType } from '../../../api/index.js'
import type { User } from '../http/context.js'

export interface AdmissionRequest {
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT'
  readonly type: ResourceType
  readonly subresource: string
  readonly namespace: string
  /** '' while a name is yet to be generated. */
  readonly name: string
  /** What is to be stored; undefined for DELETE. For a subresource with a shape of its own (binding, eviction, token) its body. */
  readonly object: JsonObject | undefined
  /** What is stored now; undefined for CREATE. */
  readonly old: Resource | undefined
  readonly user: User
  readonly dryRun: boolean
  /** Sentences for the client's `Warning` headers. */
  readonly warnings: string[]
}

export interface AdmissionPlugin {
  readonly name: string
  /** Changes `object` in place. */
  admit?(request: AdmissionRequest): Promise<void> | void
  /** Throws Forbidden (or Invalid) to refuse. */
  validate?(request: AdmissionRequest): Promise<void> | void
}

export interface Admission {
  admit(request: AdmissionRequest): Promise<void>
  validate(request: AdmissionRequest): Promise<void>
}

/** Every plugin in order, first all that change, later all that check. */
export const admissionChain = (plugins: readonly AdmissionPlugin[]): Admission => ({
  async admit(request) {
    for (const plugin of plugins) {
      const waits = plugin.admit?.(request)
      if (waits) await waits
    }
  },
  async validate(request) {
    for (const plugin of plugins) {
      const waits = plugin.validate?.(request)
      if (waits) await waits
    }
  },
})
