// Which form of an answer the client takes. Pure.
import { ApiError } from '../../../lib/index.js'

export interface Negotiated {
  readonly mediaType: 'application/json' | 'application/yaml'
  /** Instead of the objects themselves. */
  readonly as: 'Table' | 'PartialObjectMetadata' | undefined
  readonly tableVersion: string
}

export interface AcceptClause {
  readonly type: string
  readonly parameters: Readonly<Record<string, string>>
  readonly quality: number
}

/** The clauses of an Accept header, best first; clauses of equal quality keep their order. */
export function parseAccept(header: string): AcceptClause[] {
  const clauses = header.split(',').map((text): AcceptClause => {
    const [type = '', ...rest] = text.split(';').map((part) => part.trim())
    const parameters = Object.fromEntries(
      rest.map((part) => {
        const equals = part.indexOf('=')
        return equals < 0 ? [part, ''] : [part.slice(0, equals).trim(), part.slice(equals + 1).trim()]
      }),
    )
    const quality = Number(parameters.q ?? '1')
    return { type: type.toLowerCase(), parameters, quality: Number.isNaN(quality) ? 1 : quality }
  })
  return clauses.filter(({ type, quality }) => type !== '' && quality > 0).sort((a, b) => b.quality - a.quality)
}

const JSON_TYPES = ['application/json', 'application/*', '*/*']
const ACCEPTED =
  'only the following media types are accepted: application/json, application/yaml, application/json;as=Table;v=v1;g=meta.k8s.io'

export const notAcceptable = (): ApiError => new ApiError('NotAcceptable', ACCEPTED)

/** `forms` are those that exist for the resource; throws NotAcceptable when the client takes none. */
export function negotiate(accept: string | undefined, forms: { readonly table: boolean; readonly partial: boolean }): Negotiated {
  if (!accept?.trim()) return { mediaType: 'application/json', as: undefined, tableVersion: 'v1' }
  for (const { type, parameters } of parseAccept(accept)) {
    const mediaType = JSON_TYPES.includes(type) ? 'application/json' : type === 'application/yaml' ? 'application/yaml' : undefined
    if (!mediaType) continue
    const as = parameters.as
    const version = parameters.v ?? 'v1'
    if (as === undefined || as === '') return { mediaType, as: undefined, tableVersion: 'v1' }
    if ((parameters.g ?? 'meta.k8s.io') !== 'meta.k8s.io' || !['v1', 'v1beta1'].includes(version)) continue
    if (as === 'Table' && forms.table) return { mediaType, as: 'Table', tableVersion: version }
    if ((as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList') && forms.partial) {
      return { mediaType, as: 'PartialObjectMetadata', tableVersion: version }
    }
  }
  throw notAcceptable()
}
