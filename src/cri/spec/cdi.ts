// The Container Device Interface (https://github.com/cncf-tags/container-device-interface, specification 0.8): vendors say in
// files what a device needs in a container; a configuration names devices as `vendor.com/class=name`.
import type { Device, Hooks, MountSpec, Spec } from '../../runtime/index.js'
import { invalid } from '../errors.js'

export interface CdiEdits {
  readonly env?: readonly string[]
  readonly deviceNodes?: readonly {
    readonly path: string
    readonly hostPath?: string
    readonly type?: string
    readonly major?: number
    readonly minor?: number
    readonly fileMode?: number
    readonly permissions?: string
    readonly uid?: number
    readonly gid?: number
  }[]
  readonly mounts?: readonly {
    readonly hostPath: string
    readonly containerPath: string
    readonly options?: readonly string[]
    readonly type?: string
  }[]
  readonly hooks?: readonly {
    readonly hookName: string
    readonly path: string
    readonly args?: readonly string[]
    readonly env?: readonly string[]
    readonly timeout?: number
  }[]
  readonly additionalGids?: readonly number[]
}

export interface CdiFile {
  readonly cdiVersion: string
  /** `vendor.com/class`. */
  readonly kind: string
  readonly devices?: readonly { readonly name: string; readonly containerEdits?: CdiEdits }[]
  /** For every device of the file. */
  readonly containerEdits?: CdiEdits
}

/** What the named devices want, each file's common part once. Later files win over earlier ones. */
export function cdiEdits(names: readonly string[], files: readonly CdiFile[]): readonly CdiEdits[] {
  const edits: CdiEdits[] = []
  const used = new Set<CdiFile>()
  for (const name of names) {
    const match = /^([A-Za-z0-9._-]+\/[A-Za-z0-9._-]+)=([A-Za-z0-9._:-]+)$/.exec(name)
    if (!match) throw invalid(`CDI device ${JSON.stringify(name)}: want vendor/class=name`)
    const [, kind, device] = match
    const file = files.findLast((each) => each.kind === kind && each.devices?.some((one) => one.name === device))
    const found = file?.devices?.find((one) => one.name === device)
    if (!file || !found) throw invalid(`CDI device ${name} is in no file of this machine`)
    if (!used.has(file) && file.containerEdits) edits.push(file.containerEdits)
    used.add(file)
    if (found.containerEdits) edits.push(found.containerEdits)
  }
  return edits
}

/** `lookUp` finds the numbers of a device node that the file does not give. */
export function applyCdi(spec: Spec, edits: readonly CdiEdits[], lookUp: (hostPath: string, path: string) => Device | undefined): Spec {
  if (edits.length === 0) return spec
  const nodes = edits.flatMap((edit) => edit.deviceNodes ?? [])
  const devices = nodes.map(({ path, hostPath, type, major, minor, fileMode, uid, gid }): Device => {
    const known = type !== undefined && major !== undefined && minor !== undefined ? undefined : lookUp(hostPath ?? path, path)
    if (!known && (major === undefined || minor === undefined)) throw invalid(`CDI: ${hostPath ?? path} is not a device of this machine`)
    return {
      ...known,
      path,
      type: (type as Device['type'] | undefined) ?? known?.type ?? 'c',
      ...(major === undefined ? {} : { major }),
      ...(minor === undefined ? {} : { minor }),
      ...(fileMode === undefined ? {} : { fileMode }),
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
    }
  })
  const rules = devices.map(({ type, major = 0, minor = 0 }, i) => ({
    allow: true,
    type,
    major,
    minor,
    access: nodes[i]?.permissions || 'rwm',
  }))
  const mounts = edits.flatMap((edit) =>
    (edit.mounts ?? []).map(
      ({ hostPath, containerPath, options = ['rbind', 'rprivate'], type = 'bind' }): MountSpec => ({
        destination: containerPath,
        source: hostPath,
        type,
        options,
      }),
    ),
  )
  const { process, linux } = spec
  return {
    ...spec,
    ...(process
      ? {
          process: {
            ...process,
            env: mergeEnv(
              process.env ?? [],
              edits.flatMap((edit) => edit.env ?? []),
            ),
            user: {
              ...(process.user ?? { uid: 0, gid: 0 }),
              additionalGids: [
                ...new Set([...(process.user?.additionalGids ?? []), ...edits.flatMap((edit) => edit.additionalGids ?? [])]),
              ],
            },
          },
        }
      : {}),
    mounts: [...(spec.mounts ?? []), ...mounts],
    hooks: edits.reduce((hooks, edit) => mergeHooks(hooks, edit.hooks ?? []), spec.hooks ?? {}),
    linux: {
      ...linux,
      devices: [...(linux?.devices ?? []), ...devices],
      resources: { ...linux?.resources, devices: [...(linux?.resources?.devices ?? []), ...rules] },
    },
  }
}

function mergeEnv(before: readonly string[], more: readonly string[]): readonly string[] {
  const key = (pair: string): string => pair.split('=')[0] ?? ''
  const taken = new Set(more.map(key))
  return [...before.filter((pair) => !taken.has(key(pair))), ...more]
}

function mergeHooks(hooks: Hooks, more: NonNullable<CdiEdits['hooks']>): Hooks {
  const all: Record<string, readonly object[]> = { ...hooks }
  for (const { hookName, ...hook } of more) all[hookName] = [...(all[hookName] ?? []), hook]
  return all as Hooks
}
