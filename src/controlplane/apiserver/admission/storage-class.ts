// A claim without a class gets the default one.
import { type JsonObject, StorageClass } from '../../../api/index.js'
import type { Reader } from '../registry/backend.js'
import type { AdmissionPlugin } from './plugin.js'

const MARKS = ['storageclass.kubernetes.io/is-default-class', 'storageclass.beta.kubernetes.io/is-default-class']

export function defaultStorageClass(reader: Reader): AdmissionPlugin {
  return {
    name: 'DefaultStorageClass',
    async admit({ operation, type, subresource, object }) {
      if (operation !== 'CREATE' || type.group !== '' || type.plural !== 'persistentvolumeclaims' || subresource !== '' || !object) return
      const spec = object.spec as JsonObject | undefined
      const annotations = (object.metadata as JsonObject | undefined)?.annotations as Record<string, string> | undefined
      if (!spec || spec.storageClassName !== undefined || annotations?.['volume.beta.kubernetes.io/storage-class'] !== undefined) return
      const classes = (await reader.list(StorageClass)).filter(({ metadata }) =>
        MARKS.some((mark) => metadata.annotations?.[mark] === 'true'),
      )
      // The youngest wins; of equals the first by name.
      const [chosen] = [...classes].sort(
        (a, b) =>
          Date.parse(b.metadata.creationTimestamp ?? '') - Date.parse(a.metadata.creationTimestamp ?? '') ||
          (a.metadata.name < b.metadata.name ? -1 : 1),
      )
      if (chosen) spec.storageClassName = chosen.metadata.name
    },
  }
}
