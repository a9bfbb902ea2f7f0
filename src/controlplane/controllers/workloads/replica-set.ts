// ReplicaSets: keeps as many pods alive as `spec.replicas` asks for.
import { ReplicaSet } from '../../../api/index.js'
import { replicaController } from './replicas.js'

export const replicaSet = replicaController({ name: 'replicaset', kind: ReplicaSet, selector: (set) => set.spec?.selector })
