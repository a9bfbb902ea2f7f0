// JSON Patch (RFC 6902). Works on a copy; the document given is not touched.
import { ApiError } from '../../lib/index.js'
import { cloneJson, equalJson, getField, isObject, type Json, type JsonObject, setField } from '../json/value.js'

export interface JsonPatchOperation {
  readonly op: 'add' | 'remove' | 'replace' | 'move' | 'copy' | 'test'
  readonly path: string
  readonly from?: string
  readonly value?: Json
}

const MOST_OPERATIONS = 10_000

/** A patch that cannot be applied to this document: 422 without causes, as Kubernetes answers. */
const cannot = (detail: string): ApiError =>
  new ApiError('Invalid', `the server rejected our request due to an error in our request: ${detail}`)

function pointer(path: string): string[] {
  if (path === '') return []
  if (!path.startsWith('/')) throw cannot(`jsonpatch path must start with '/': ${JSON.stringify(path)}`)
  return path
    .slice(1)
    .split('/')
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function indexOf(list: readonly Json[], step: string, options: { end: boolean }): number {
  if (step === '-' && options.end) return list.length
  if (!/^(0|-?[1-9]\d*)$/.test(step)) throw cannot(`jsonpatch: invalid array index ${JSON.stringify(step)}`)
  const index = Number(step) < 0 ? list.length + Number(step) : Number(step)
  if (index < 0 || index > list.length || (index === list.length && !options.end)) throw cannot(`jsonpatch: index ${step} is out of bounds`)
  return index
}

function read(document: Json, steps: readonly string[], path: string): Json {
  let at = document
  for (const step of steps) {
    const next: Json | undefined = Array.isArray(at) ? at[indexOf(at, step, { end: false })] : isObject(at) ? getField(at, step) : undefined
    if (next === undefined) throw cannot(`jsonpatch: path ${JSON.stringify(path)} does not exist`)
    at = next
  }
  return at
}

/** Finds the container of the last step and changes it; the new document is returned because the root itself may change. */
function change(document: Json, path: string, edit: (container: Json[] | JsonObject, step: string) => void): Json {
  const steps = pointer(path)
  const last = steps.at(-1) ?? ''
  const container = read(document, steps.slice(0, -1), path)
  if (!Array.isArray(container) && !isObject(container)) throw cannot(`jsonpatch: path ${JSON.stringify(path)} does not exist`)
  edit(container, last)
  return document
}

function add(document: Json, path: string, value: Json): Json {
  if (path === '') return value
  return change(document, path, (container, step) => {
    if (Array.isArray(container)) container.splice(indexOf(container, step, { end: true }), 0, value)
    else setField(container, step, value)
  })
}

function remove(document: Json, path: string): Json {
  if (path === '') throw cannot('jsonpatch: the whole document cannot be removed')
  return change(document, path, (container, step) => {
    if (Array.isArray(container)) container.splice(indexOf(container, step, { end: false }), 1)
    else if (Object.hasOwn(container, step)) delete container[step]
    else throw cannot(`jsonpatch: remove operation does not apply: path ${JSON.stringify(path)} does not exist`)
  })
}

function replace(document: Json, path: string, value: Json): Json {
  if (path === '') return value
  return change(document, path, (container, step) => {
    if (Array.isArray(container)) container[indexOf(container, step, { end: false })] = value
    // RFC 6902 wants the field to be there; Kubernetes does not ask.
    else setField(container, step, value)
  })
}

function applyOne(document: Json, operation: JsonPatchOperation): Json {
  const { op, path, from = '' } = operation
  const value = (): Json => {
    if (operation.value === undefined) throw cannot(`jsonpatch: ${op} operation without a value`)
    return cloneJson(operation.value)
  }
  switch (op) {
    case 'add':
      return add(document, path, value())
    case 'remove':
      return remove(document, path)
    case 'replace':
      return replace(document, path, value())
    case 'move': {
      if (path === from) return document
      if (path.startsWith(`${from}/`)) throw cannot('jsonpatch: a value cannot be moved into itself')
      const moved = cloneJson(read(document, pointer(from), from))
      return add(remove(document, from), path, moved)
    }
    case 'copy':
      return add(document, path, cloneJson(read(document, pointer(from), from)))
    case 'test': {
      const steps = pointer(path)
      const container = read(document, steps.slice(0, -1), path)
      const last = steps.at(-1)
      const found = last === undefined ? document : isObject(container) ? getField(container, last) : read(container, [last], path)
      // A field that is not there equals null.
      if (!equalJson(found ?? null, operation.value ?? null)) throw cannot(`jsonpatch: testing path ${path} value failed`)
      return document
    }
    default:
      throw new ApiError('BadRequest', `jsonpatch: unexpected kind: ${JSON.stringify(op)}`)
  }
}

/** Throws BadRequest for what is no patch and Invalid for a patch that does not apply. */
export function applyJsonPatch(document: Json, patch: Json): Json {
  if (!Array.isArray(patch)) throw new ApiError('BadRequest', 'error decoding patch: a JSON patch is a list of operations')
  if (patch.length > MOST_OPERATIONS)
    throw new ApiError('RequestEntityTooLarge', `The allowed maximum operations in a JSON patch is ${MOST_OPERATIONS}, got ${patch.length}`)
  let current = cloneJson(document)
  for (const operation of patch) {
    if (!isObject(operation) || typeof operation.op !== 'string' || typeof operation.path !== 'string')
      throw new ApiError('BadRequest', 'error decoding patch: an operation needs op and path')
    if ((operation.op === 'move' || operation.op === 'copy') && typeof operation.from !== 'string')
      throw new ApiError('BadRequest', `error decoding patch: ${operation.op} needs from`)
    current = applyOne(current, operation as unknown as JsonPatchOperation)
  }
  return current
}
