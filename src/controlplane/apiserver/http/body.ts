// What a request carries besides its path: its body, bounded, and the options that every write has.
import {
  type Body,
  decodeAs,
  decodeBody,
  isObject,
  type JsonObject,
  JsonSyntaxError,
  mediaTypeOf,
  namedSchema,
} from '../../../api/index.js'
import { ApiError, readBody } from '../../../lib/index.js'
import type { RequestContext } from './context.js'
import { type WriteOptions, writeOptions } from './request-options.js'

const PROTOBUF = 'application/vnd.kubernetes.protobuf'

export async function bodyBytes({ request }: RequestContext, limit: number): Promise<Uint8Array> {
  const announced = Number(request.headers['content-length'] ?? 0)
  const tooLarge = (): ApiError => new ApiError('RequestEntityTooLarge', `Request entity too large: limit is ${limit}`)
  if (announced > limit) throw tooLarge()
  try {
    return await readBody(request.body, limit)
  } catch (error) {
    throw error instanceof RangeError ? tooLarge() : error
  }
}

export const contentType = ({ request }: RequestContext): string => mediaTypeOf(request.headers['content-type'] ?? '')

/** In whatever form the client writes. */
export async function parseBody(bytes: Uint8Array, mediaType: string): Promise<Body> {
  if (mediaType !== PROTOBUF) return decodeBody(bytes, mediaType)
  // Half a table of field numbers: loaded when the first client speaks protobuf.
  const { decodeProtobuf } = await import('./protobuf.js')
  return decodeProtobuf(bytes)
}

const MOST_SHOWN = 30

/** The beginning of a body that could not be read; anything but JSON as hex digits. */
function summaryOf(bytes: Uint8Array): string {
  if (bytes.length === 0) return '<empty>'
  const shown = Buffer.from(bytes.subarray(0, MOST_SHOWN)).toString(bytes[0] === 0x7b ? 'utf8' : 'hex')
  return bytes.length > MOST_SHOWN ? `${shown} ...` : shown
}

/** The body of a create or an update of a `kind`. */
export async function readObject(context: RequestContext, limit: number, kind: string): Promise<Body> {
  const bytes = await bodyBytes(context, limit)
  try {
    return await parseBody(bytes, contentType(context))
  } catch (error) {
    if (!(error instanceof ApiError && error.cause instanceof JsonSyntaxError)) throw error
    const json = contentType(context).endsWith('json') || contentType(context) === ''
    const problem = json ? `couldn't get version/kind; json parse error: ${error.message}` : error.message
    throw new ApiError('BadRequest', `the object provided is unrecognized (must be of type ${kind}): ${problem} (${summaryOf(bytes)})`, {
      cause: error,
    })
  }
}

/** What a body is that is no resource's own: a Scale, an Eviction, a Binding, a TokenRequest. */
export interface Shape {
  readonly group: string
  readonly version: string
  readonly kind: string
  /** Older names of the same thing. */
  readonly also?: readonly string[]
}

/** Such a body, checked as objects are; throws BadRequest for another kind and for fields of wrong types. */
export function decodeShape(context: RequestContext, shape: Shape, body: Body, { fieldValidation }: WriteOptions): JsonObject {
  const { value } = body
  const older = isObject(value) && shape.also?.includes(String(value.apiVersion))
  const named = older ? { ...body, value: { ...(value as JsonObject), apiVersion: apiVersionOf(shape) } } : body
  const { object, warnings } = decodeAs(namedSchema(shape.kind), shape, named, fieldValidation)
  context.warnings.push(...warnings)
  return object
}
const apiVersionOf = ({ group, version }: Shape): string => (group ? `${group}/${version}` : version)

export const readShape = async (context: RequestContext, limit: number, shape: Shape, options: WriteOptions): Promise<JsonObject> =>
  decodeShape(context, shape, await readObject(context, limit, shape.kind), options)

const OPTIONS = { POST: 'CreateOptions', PUT: 'UpdateOptions', PATCH: 'PatchOptions' } as const

/** The first word of the User-Agent names a manager that does not name itself. */
export function writeQuery({ info, request }: RequestContext, form: { readonly apply?: boolean } = {}): WriteOptions {
  const options = writeOptions(info.query, OPTIONS[request.method as keyof typeof OPTIONS] ?? 'CreateOptions', form)
  if (options.fieldManager) return options
  return { ...options, fieldManager: (request.headers['user-agent'] ?? 'unknown').split('/')[0]?.slice(0, 128) || 'unknown' }
}
