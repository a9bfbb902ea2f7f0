// OpenAPI v2 in the protobuf form that older kubectl asks for (gnostic's openapi.v2.Document): as much as such clients read,
// which is the shapes of objects, and which PATCH takes which query parameters.
import { isObject, type Json, type JsonObject } from '../../../api/index.js'

type Part = Uint8Array

function varint(value: number): Part {
  const bytes: number[] = []
  let rest = value
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80)
    rest = Math.floor(rest / 0x80)
  }
  bytes.push(rest)
  return Uint8Array.from(bytes)
}

const message = (field: number, parts: readonly Part[]): Part => {
  const body = Buffer.concat(parts)
  return Buffer.concat([varint(field * 8 + 2), varint(body.length), body])
}
const text = (field: number, value: Json | undefined): Part[] =>
  typeof value === 'string' && value !== '' ? [message(field, [Buffer.from(value)])] : []
const texts = (field: number, values: Json | undefined): Part[] =>
  Array.isArray(values) ? values.flatMap((value) => text(field, value)) : []
const flag = (field: number, value: Json | undefined): Part[] => (value === true ? [varint(field * 8), varint(1)] : [])

/** `x-…` fields as YAML texts; JSON is YAML. */
const extensions = (field: number, object: JsonObject): Part[] =>
  Object.entries(object)
    .filter(([name]) => name.startsWith('x-'))
    .map(([name, value]) => message(field, [...text(1, name), message(2, [...text(2, JSON.stringify(value))])]))

function schema(value: JsonObject): Part[] {
  const { items, properties, additionalProperties } = value
  return [
    ...text(1, value.$ref),
    ...text(2, value.format),
    ...text(4, value.description),
    ...(value.default === undefined ? [] : [message(5, text(2, JSON.stringify(value.default)))]),
    ...texts(19, value.required),
    ...(isObject(additionalProperties) ? [message(21, [message(1, schema(additionalProperties))])] : []),
    ...(additionalProperties === true ? [message(21, flag(2, true))] : []),
    ...(typeof value.type === 'string' ? [message(22, text(1, value.type))] : []),
    ...(isObject(items) ? [message(23, [message(1, schema(items))])] : []),
    ...(isObject(properties) ? [message(25, namedSchemas(properties))] : []),
    ...extensions(31, value),
  ]
}

const namedSchemas = (schemas: JsonObject): Part[] =>
  Object.entries(schemas).flatMap(([name, value]) => (isObject(value) ? [message(1, [...text(1, name), message(2, schema(value))])] : []))

function queryParameter(parameter: JsonObject): Part[] {
  if (parameter.in !== 'query') return []
  const fields = [...flag(1, parameter.required), ...text(2, 'query'), ...text(4, parameter.name), ...text(6, parameter.type)]
  return [message(8, [message(1, [message(2, [message(3, fields)])])])]
}

function patchOperation(operation: JsonObject): Part[] {
  const parameters = Array.isArray(operation.parameters) ? operation.parameters.filter(isObject) : []
  return [...text(5, operation.operationId), ...parameters.flatMap(queryParameter), ...extensions(13, operation)]
}

export function encodeOpenApiV2(document: JsonObject): Buffer {
  const info = isObject(document.info) ? document.info : {}
  const paths = isObject(document.paths) ? document.paths : {}
  const definitions = isObject(document.definitions) ? document.definitions : {}
  const items = Object.entries(paths).flatMap(([path, item]) => {
    const patch = isObject(item) ? item.patch : undefined
    if (!isObject(item) || !isObject(patch)) return []
    const shared = Array.isArray(item.parameters) ? item.parameters : []
    const own = Array.isArray(patch.parameters) ? patch.parameters : []
    return [message(2, [...text(1, path), message(2, [message(8, patchOperation({ ...patch, parameters: [...own, ...shared] }))])])]
  })
  return Buffer.concat([
    ...text(1, '2.0'),
    message(2, [...text(1, info.title), ...text(2, info.version)]),
    message(8, items),
    message(9, namedSchemas(definitions)),
  ])
}
