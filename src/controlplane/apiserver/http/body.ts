// What a request carries besides its path: its body, bounded, and the options that every write has.
import { type Body, decodeBody, type FieldValidation, JsonSyntaxError, mediaTypeOf, parseFieldValidation } from '../../../api/index.js'
import { ApiError, readBody } from '../../../lib/index.js'
import type { RequestContext } from './context.js'

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

export interface WriteQuery {
  readonly dryRun: boolean
  readonly fieldManager: string
  readonly fieldValidation: FieldValidation
  readonly force: boolean | undefined
}

/** The first word of the User-Agent names a manager that does not name itself. */
export function writeQuery({ info, request }: RequestContext, options: { readonly apply?: boolean } = {}): WriteQuery {
  const { query } = info
  const dryRun = query.getAll('dryRun').filter((word) => word !== '')
  const refuse = (message: string): never => {
    const kind = options.apply ? 'PatchOptions' : 'CreateOptions'
    throw new ApiError('Invalid', `${kind}.meta.k8s.io "" is invalid: ${message}`)
  }
  for (const word of dryRun) if (word !== 'All') refuse(`dryRun: Unsupported value: ${JSON.stringify(word)}: supported values: "All"`)
  const named = query.get('fieldManager') ?? ''
  if (options.apply && named === '') refuse('fieldManager: Required value: is required for apply patch')
  if (named.length > 128) refuse(`fieldManager: Too long: may not be more than 128 bytes`)
  if (/[^\x20-\x7e]/.test(named)) refuse(`fieldManager: Invalid value: ${JSON.stringify(named)}: should only contain printable characters`)
  const force = query.get('force')
  return {
    dryRun: dryRun.length > 0,
    fieldManager: named || (request.headers['user-agent'] ?? 'unknown').split('/')[0]?.slice(0, 128) || 'unknown',
    fieldValidation: parseFieldValidation(query.get('fieldValidation') ?? undefined),
    force: force === null ? undefined : force === 'true',
  }
}
