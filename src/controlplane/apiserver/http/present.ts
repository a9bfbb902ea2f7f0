// Objects in the form a client asked for: themselves, their metadata, a table, YAML.
import { Readable } from 'node:stream'
import { encodeJson, partialObject, type Resource, type ResourceType, tableOf } from '../../../api/index.js'
import { type Clock, type HttpResponse, readBody } from '../../../lib/index.js'
import { decodeEntry } from '../registry/backend.js'
import type { Entry } from '../registry/entry.js'
import type { ListPage } from '../registry/list.js'
import type { Presentation } from '../registry/watch.js'
import type { RequestContext } from './context.js'
import { type Negotiated, negotiate } from './negotiate.js'
import { answer } from './respond.js'

type IncludeObject = 'None' | 'Metadata' | 'Object'

const includeObject = ({ info }: RequestContext): IncludeObject => {
  const wanted = info.query.get('includeObject')
  return wanted === 'None' || wanted === 'Object' ? wanted : 'Metadata'
}

/** The stored bytes are the answer: the version asked for is the stored one, and nothing is filled in on reading. */
const asStored = (type: ResourceType): boolean => !type.conversion && !type.custom

export const entryBytes = (type: ResourceType, entry: Entry): Uint8Array =>
  asStored(type) ? entry.bytes : encodeJson(decodeEntry(type, entry))

async function encode(status: number, bytes: Uint8Array, { mediaType }: Negotiated): Promise<HttpResponse> {
  if (mediaType === 'application/json') return answer(status, bytes)
  const { stringify } = await import('yaml')
  return answer(status, Buffer.from(stringify(JSON.parse(Buffer.from(bytes).toString('utf8')))), { 'content-type': 'application/yaml' })
}

export const negotiated = (context: RequestContext, forms = { table: true, partial: true }): Negotiated =>
  negotiate(context.request.headers.accept, forms)

/** One object. */
export async function presentObject(
  context: RequestContext,
  type: ResourceType,
  source: { readonly entry?: Entry; readonly object?: Resource },
  options: { readonly status?: number; readonly clock: Clock },
): Promise<HttpResponse> {
  const form = negotiated(context)
  const { status = 200, clock } = options
  const object = (): Resource => source.object ?? decodeEntry(type, source.entry as Entry)
  if (form.as === 'Table') {
    const table = tableOf(type, [object()] as never, {
      now: clock.now(),
      includeObject: includeObject(context),
      version: form.tableVersion,
      metadata: { resourceVersion: object().metadata.resourceVersion ?? '' },
    })
    return encode(status, encodeJson(table), form)
  }
  if (form.as === 'PartialObjectMetadata') return encode(status, encodeJson(partialObject(object(), form.tableVersion)), form)
  return encode(status, source.entry ? entryBytes(type, source.entry) : encodeJson(source.object), form)
}

const COMMA = Buffer.from(',')
const END = Buffer.from(']}')

/** Lists from this size on leave in pieces: nobody needs them whole. */
const PIECE = 1024 * 1024

function* pieces(head: string, entries: readonly Uint8Array[]): Generator<Buffer> {
  let piece: Uint8Array[] = [Buffer.from(head)]
  let length = 0
  for (const [index, bytes] of entries.entries()) {
    if (index > 0) piece.push(COMMA)
    piece.push(bytes)
    length += bytes.length
    if (length < PIECE) continue
    yield Buffer.concat(piece)
    piece = []
    length = 0
  }
  piece.push(END)
  yield Buffer.concat(piece)
}

/** A list of stored bytes, put together without reading them. */
function concatenated(head: string, entries: readonly Uint8Array[]): HttpResponse {
  let length = Buffer.byteLength(head) + END.length + Math.max(0, entries.length - 1)
  for (const bytes of entries) length += bytes.length
  if (length < 2 * PIECE) return answer(200, Buffer.concat([...pieces(head, entries)], length))
  const body = Readable.from(pieces(head, entries), { objectMode: true, highWaterMark: 1 })
  return { status: 200, headers: { 'content-type': 'application/json', 'content-length': String(length) }, body }
}

function listMeta({ revision, more, remaining }: ListPage): Record<string, string | number> {
  return {
    resourceVersion: String(revision),
    ...(more !== undefined && { continue: more }),
    ...(remaining !== undefined && { remainingItemCount: remaining }),
  }
}

export async function presentList(context: RequestContext, type: ResourceType, page: ListPage, clock: Clock): Promise<HttpResponse> {
  const form = negotiated(context)
  const metadata = listMeta(page)
  if (form.as === 'Table') {
    const objects = page.entries.map((entry) => decodeEntry(type, entry))
    const table = tableOf(type, objects as never, {
      now: clock.now(),
      includeObject: includeObject(context),
      version: form.tableVersion,
      metadata,
    })
    return encode(200, encodeJson(table), form)
  }
  if (form.as === 'PartialObjectMetadata') {
    const items = page.entries.map((entry) => partialObject(decodeEntry(type, entry), form.tableVersion))
    const list = { kind: 'PartialObjectMetadataList', apiVersion: `meta.k8s.io/${form.tableVersion}`, metadata, items }
    return encode(200, encodeJson(list), form)
  }
  const head = `{"kind":${JSON.stringify(type.listKind)},"apiVersion":${JSON.stringify(type.apiVersion)},"metadata":${JSON.stringify(metadata)},"items":[`
  const list = concatenated(
    head,
    page.entries.map((entry) => entryBytes(type, entry)),
  )
  return form.mediaType === 'application/json' ? list : encode(200, await readBody(list.body), form)
}

/** How events of a watch look to this client. */
export function watchPresentation(context: RequestContext, type: ResourceType, clock: Clock): Presentation {
  const form = negotiated(context)
  const include = includeObject(context)
  const meta = (revision: number, end: boolean) => ({
    resourceVersion: String(revision),
    creationTimestamp: null,
    ...(end && { annotations: { 'k8s.io/initial-events-end': 'true' } }),
  })
  const table = (entry: Entry): Uint8Array =>
    encodeJson(
      tableOf(type, [decodeEntry(type, entry)] as never, {
        now: clock.now(),
        includeObject: include,
        version: form.tableVersion,
        metadata: { resourceVersion: String(entry.revision) },
      }),
    )
  if (form.as === 'Table') {
    return {
      form: `Table ${form.tableVersion} ${include} ${type.apiVersion}`,
      render: table,
      bookmark: (revision, end) => {
        const object = { kind: type.kind, apiVersion: type.apiVersion, metadata: meta(revision, end) }
        const row = { cells: type.columns.map(() => null), object }
        return encodeJson({
          kind: 'Table',
          apiVersion: `meta.k8s.io/${form.tableVersion}`,
          metadata: { resourceVersion: String(revision) },
          columnDefinitions: null,
          rows: [row],
        })
      },
    }
  }
  if (form.as === 'PartialObjectMetadata') {
    return {
      form: `Partial ${form.tableVersion} ${type.apiVersion}`,
      render: (entry) => encodeJson(partialObject(decodeEntry(type, entry), form.tableVersion)),
      bookmark: (revision, end) =>
        encodeJson({ kind: 'PartialObjectMetadata', apiVersion: `meta.k8s.io/${form.tableVersion}`, metadata: meta(revision, end) }),
    }
  }
  return {
    form: type.apiVersion,
    render: (entry) => entryBytes(type, entry),
    bookmark: (revision, end) => encodeJson({ kind: type.kind, apiVersion: type.apiVersion, metadata: meta(revision, end) }),
  }
}
