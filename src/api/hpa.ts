// autoscaling/v1 and v2 of the HorizontalPodAutoscaler: v2 is stored; what v1 cannot say travels in annotations.
import { cloneJson, isObject, type Json, type JsonObject } from './json/value.js'

const METRICS = 'autoscaling.alpha.kubernetes.io/metrics'
const BEHAVIOR = 'autoscaling.alpha.kubernetes.io/behavior'
const CONDITIONS = 'autoscaling.alpha.kubernetes.io/conditions'
const CURRENT = 'autoscaling.alpha.kubernetes.io/current-metrics'

const objectAt = (object: JsonObject, name: string): JsonObject => (isObject(object[name]) ? (object[name] as JsonObject) : {})

function parse(text: Json | undefined): Json | undefined {
  if (typeof text !== 'string') return undefined
  try {
    return JSON.parse(text) as Json
  } catch {
    return undefined
  }
}

const cpu = (utilization: Json): Json => ({
  type: 'Resource',
  resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: utilization } },
})

/** v1 to v2. */
export function hpaFromV1(object: JsonObject): JsonObject {
  const result = cloneJson(object)
  result.apiVersion = 'autoscaling/v2'
  const metadata = objectAt(result, 'metadata')
  const annotations = objectAt(metadata, 'annotations')
  const spec = objectAt(result, 'spec')
  const status = objectAt(result, 'status')
  const more = parse(annotations[METRICS])
  const metrics: Json[] = []
  if (spec.targetCPUUtilizationPercentage !== undefined) metrics.push(cpu(spec.targetCPUUtilizationPercentage))
  if (Array.isArray(more)) metrics.push(...more)
  if (metrics.length > 0) spec.metrics = metrics
  delete spec.targetCPUUtilizationPercentage
  const behavior = parse(annotations[BEHAVIOR])
  if (isObject(behavior)) spec.behavior = behavior
  const current = parse(annotations[CURRENT])
  const currentMetrics: Json[] = []
  if (status.currentCPUUtilizationPercentage !== undefined)
    currentMetrics.push({
      type: 'Resource',
      resource: { name: 'cpu', current: { averageUtilization: status.currentCPUUtilizationPercentage } },
    })
  if (Array.isArray(current)) currentMetrics.push(...current)
  if (currentMetrics.length > 0) status.currentMetrics = currentMetrics
  delete status.currentCPUUtilizationPercentage
  const conditions = parse(annotations[CONDITIONS])
  if (Array.isArray(conditions)) status.conditions = conditions
  for (const name of [METRICS, BEHAVIOR, CONDITIONS, CURRENT]) delete annotations[name]
  if (metadata.annotations !== undefined && Object.keys(annotations).length === 0) delete metadata.annotations
  return result
}

const isCpu = (metric: Json, part: 'target' | 'current'): Json | undefined => {
  const resource = isObject(metric) && metric.type === 'Resource' ? objectAt(metric, 'resource') : {}
  return resource.name === 'cpu' ? objectAt(resource, part).averageUtilization : undefined
}

/** v2 to v1. */
export function hpaToV1(object: JsonObject): JsonObject {
  const result = cloneJson(object)
  result.apiVersion = 'autoscaling/v1'
  const metadata = objectAt(result, 'metadata')
  const annotations: JsonObject = { ...objectAt(metadata, 'annotations') }
  const spec = objectAt(result, 'spec')
  const status = objectAt(result, 'status')
  const take = (list: Json | undefined, part: 'target' | 'current'): { utilization: Json | undefined; rest: Json[] } => {
    const items = Array.isArray(list) ? list : []
    const at = items.findIndex((metric) => isCpu(metric, part) !== undefined)
    return { utilization: at < 0 ? undefined : isCpu(items[at] as Json, part), rest: items.filter((_, index) => index !== at) }
  }
  const wanted = take(spec.metrics, 'target')
  if (wanted.utilization !== undefined) spec.targetCPUUtilizationPercentage = wanted.utilization
  if (wanted.rest.length > 0) annotations[METRICS] = JSON.stringify(wanted.rest)
  if (isObject(spec.behavior)) annotations[BEHAVIOR] = JSON.stringify(spec.behavior)
  const now = take(status.currentMetrics, 'current')
  if (now.utilization !== undefined) status.currentCPUUtilizationPercentage = now.utilization
  if (now.rest.length > 0) annotations[CURRENT] = JSON.stringify(now.rest)
  if (Array.isArray(status.conditions)) annotations[CONDITIONS] = JSON.stringify(status.conditions)
  for (const name of ['metrics', 'behavior']) delete spec[name]
  for (const name of ['currentMetrics', 'conditions']) delete status[name]
  if (Object.keys(annotations).length > 0) metadata.annotations = annotations
  return result
}
