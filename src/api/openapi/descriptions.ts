// What types and fields mean, in our own words, for `kubectl explain`. Looked up by `Type.field`, then by the field's name alone.
import { fieldNotes, typeNotes } from './notes.js'

let fields: Map<string, string> | undefined
let types: Map<string, string> | undefined

function parse(text: string): Map<string, string> {
  return new Map(
    text
      .split('\n')
      .filter(Boolean)
      .map((line) => {
        const at = line.indexOf(' ')
        return [line.slice(0, at), line.slice(at + 1)]
      }),
  )
}

/** `maxUnavailable` to `max unavailable`. */
const words = (name: string): string => name.replace(/([a-z0-9])([A-Z])/g, '$1 $2').replace(/([A-Z]+)([A-Z][a-z])/g, '$1 $2')

export function describeField(type: string, field: string): string {
  fields ??= parse(fieldNotes)
  const known = fields.get(`${type}.${field}`) ?? fields.get(field)
  if (known) return known
  const text = words(field).toLowerCase()
  return `${text.charAt(0).toUpperCase()}${text.slice(1)} of the ${words(type).toLowerCase()}.`
}

export function describeType(name: string): string {
  types ??= parse(typeNotes)
  const known = types.get(name)
  if (known) return known
  if (name.endsWith('List')) return `A list of ${words(name.slice(0, -4))} objects.`
  if (name.endsWith('Spec')) return `What is wanted of a ${words(name.slice(0, -4))}.`
  if (name.endsWith('Status')) return `What was last seen of a ${words(name.slice(0, -6))}.`
  if (name.endsWith('Condition')) return `One thing that holds, or does not hold, of a ${words(name.slice(0, -9))}.`
  return `${words(name)}.`
}
