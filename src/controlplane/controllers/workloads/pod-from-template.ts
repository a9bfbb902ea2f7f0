// A pod as a template and its owner describe it. Pure.
import type { Kind, Pod, PodTemplateSpec, Resource } from '../../../api/index.js'
import { compact, controllerReference } from '../objects.js'

export interface PodOverrides {
  /** Instead of a generated name. */
  readonly name?: string
  readonly generateName?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly finalizers?: readonly string[]
}

/** Room for the generated characters in a name of 63. */
const LONGEST_PREFIX = 58

export function podFromTemplate(
  template: PodTemplateSpec | undefined,
  ownerKind: Kind,
  owner: Resource,
  overrides: PodOverrides = {},
): Pod {
  const prefix = `${owner.metadata.name}-`
  const meta = template?.metadata ?? {}
  const finalizers = [...(meta.finalizers ?? []), ...(overrides.finalizers ?? [])]
  const labels = { ...meta.labels, ...overrides.labels }
  const annotations = { ...meta.annotations, ...overrides.annotations }
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: compact({
      name: overrides.name ?? '',
      generateName: overrides.name ? undefined : (overrides.generateName ?? prefix.slice(0, LONGEST_PREFIX)),
      namespace: owner.metadata.namespace,
      labels: Object.keys(labels).length > 0 ? labels : undefined,
      annotations: Object.keys(annotations).length > 0 ? annotations : undefined,
      finalizers: finalizers.length > 0 ? finalizers : undefined,
      ownerReferences: [controllerReference(ownerKind, owner)],
    }),
    spec: template?.spec ?? { containers: [] },
  }
}
