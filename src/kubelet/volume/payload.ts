// The files of configMap, secret, downwardAPI and projected volumes, as values.
import type { ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret } from '../../api/index.js'
import { type FieldContext, fieldValue, resourceValue } from '../container/fields.js'
import type { VolumeFile } from './atomic-writer.js'

export type Files = ReadonlyMap<string, VolumeFile>

const DEFAULT_MODE = 0o644

/** All keys, or the chosen ones under the names that were given. */
function pick(
  bytes: ReadonlyMap<string, Uint8Array>,
  { items, mode, optional, missing }: { items: readonly KeyToPath[] | undefined; mode: number; optional: boolean; missing: string },
): Files {
  const files = new Map<string, VolumeFile>()
  if (!items || items.length === 0) {
    for (const [key, value] of bytes) files.set(key, { bytes: value, mode })
    return files
  }
  for (const item of items) {
    const value = bytes.get(item.key)
    if (value) files.set(item.path, { bytes: value, mode: item.mode ?? mode })
    else if (!optional) throw new Error(missing)
  }
  return files
}

export function configMapFiles(
  map: ConfigMap | undefined,
  source: { name?: string | undefined; items?: readonly KeyToPath[] | undefined; optional?: boolean | undefined },
  defaultMode: number | undefined,
): Files {
  const optional = source.optional === true
  if (!map && !optional) throw new Error(`configmap "${source.name}" not found`)
  const bytes = new Map<string, Uint8Array>()
  for (const [key, value] of Object.entries(map?.data ?? {})) bytes.set(key, Buffer.from(value))
  for (const [key, value] of Object.entries(map?.binaryData ?? {})) bytes.set(key, Buffer.from(value, 'base64'))
  const missing = 'configmap references non-existent config key'
  const of = source.items?.find(({ key }) => !bytes.has(key))?.key
  return pick(bytes, { items: source.items, mode: defaultMode ?? DEFAULT_MODE, optional, missing: `${missing}: ${of}` })
}

export function secretFiles(
  secret: Secret | undefined,
  source: { name?: string | undefined; items?: readonly KeyToPath[] | undefined; optional?: boolean | undefined },
  defaultMode: number | undefined,
): Files {
  const optional = source.optional === true
  if (!secret && !optional) throw new Error(`secret "${source.name}" not found`)
  const bytes = new Map<string, Uint8Array>()
  for (const [key, value] of Object.entries(secret?.data ?? {})) bytes.set(key, Buffer.from(value, 'base64'))
  const of = source.items?.find(({ key }) => !bytes.has(key))?.key
  const missing = `references non-existent secret key: ${of}`
  return pick(bytes, { items: source.items, mode: defaultMode ?? DEFAULT_MODE, optional, missing })
}

export function downwardFiles(
  pod: Pod,
  items: readonly DownwardAPIVolumeFile[] | undefined,
  defaultMode: number | undefined,
  context: FieldContext,
): Files {
  const files = new Map<string, VolumeFile>()
  for (const { path, mode, fieldRef, resourceFieldRef } of items ?? []) {
    const text = fieldRef
      ? fieldValue(pod, fieldRef.fieldPath, context)
      : resourceFieldRef
        ? resourceValue(pod, undefined, resourceFieldRef, context.allocatable)
        : ''
    files.set(path, { bytes: Buffer.from(text), mode: mode ?? defaultMode ?? DEFAULT_MODE })
  }
  return files
}

/** Later sources hide earlier ones. */
export function merge(...all: readonly Files[]): Files {
  const files = new Map<string, VolumeFile>()
  for (const part of all) for (const [path, file] of part) files.set(path, file)
  return files
}
