// Pods with scheduling gates wait until the last of them is taken away.
import type { Plugin } from '../plugin.js'

export const schedulingGates: Plugin = {
  name: 'SchedulingGates',
  local: true,
  preEnqueue: (pod) =>
    (pod.spec?.schedulingGates ?? []).length > 0 ? 'Scheduling is blocked due to non-empty scheduling gates' : undefined,
}
