// ReplicationControllers: ReplicaSets with an older selector.
import { ReplicationController } from '../../../api/index.js'
import { replicaController } from './replicas.js'

export const replicationController = replicaController({
  name: 'replication',
  kind: ReplicationController,
  selector: ({ spec }) => {
    const matchLabels = spec?.selector ?? spec?.template?.metadata?.labels ?? {}
    return Object.keys(matchLabels).length > 0 ? { matchLabels } : undefined
  },
})
