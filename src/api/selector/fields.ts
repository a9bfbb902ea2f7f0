// Field selectors: `metadata.name=a,status.phase!=Running`, over the fields a resource offers.
import { ApiError } from '../../lib/index.js'
import type { Resource } from '../kind.js'
import type { ResourceType } from '../resource-type.js'

export interface FieldRequirement {
  readonly field: string
  readonly equal: boolean
  readonly value: string
}

export interface FieldMatcher<T = Resource> {
  readonly requirements: readonly FieldRequirement[]
  readonly matches: (object: T) => boolean
  /** The name that `metadata.name=` asks for: a list of one. */
  readonly name: string | undefined
  readonly namespace: string | undefined
}

/** Splits at unescaped commas; `\\`, `\,` and `\=` are the escapes. */
function terms(text: string): string[] {
  const found: string[] = []
  let current = ''
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '\\') current += (text[i] ?? '') + (text[++i] ?? '')
    else if (text[i] === ',') {
      found.push(current)
      current = ''
    } else current += text[i]
  }
  return [...found, current].filter((term) => term !== '')
}

function plainValue(value: string): string {
  if (/\\(?![\\,=])/.test(value.replace(/\\[\\,=]/g, '')))
    throw new ApiError('BadRequest', `invalid field selector: invalid escape sequence in ${JSON.stringify(value)}`)
  if (/(^|[^\\])=/.test(value)) throw new ApiError('BadRequest', `invalid field selector: unescaped = in ${JSON.stringify(value)}`)
  return value.replace(/\\([\\,=])/g, '$1')
}

export function parseFieldRequirements(text: string): FieldRequirement[] {
  return terms(text).map((term) => {
    const match = /^(.*?)(!=|==|=)(.*)$/s.exec(term)
    if (!match) throw new ApiError('BadRequest', `invalid selector: '${text}'; can't understand '${term}'`)
    return { field: match[1] ?? '', equal: match[2] !== '!=', value: plainValue(match[3] ?? '') }
  })
}

/** Throws BadRequest for text that cannot be read and for fields that the resource does not offer. */
export function parseFieldSelector<T extends Resource>(
  type: Pick<ResourceType<T>, 'selectableFields'>,
  text: string | undefined,
): FieldMatcher<T> {
  const requirements = text ? parseFieldRequirements(text) : []
  const tests = requirements.map(({ field, equal, value }) => {
    const read = type.selectableFields.get(field)
    if (!read) throw new ApiError('BadRequest', `field label not supported: ${field}`)
    return (object: T): boolean => (read(object) === value) === equal
  })
  const wanted = (field: string): string | undefined => requirements.find((r) => r.field === field && r.equal)?.value
  return {
    requirements,
    matches: (object) => tests.every((test) => test(object)),
    name: wanted('metadata.name'),
    namespace: wanted('metadata.namespace'),
  }
}
