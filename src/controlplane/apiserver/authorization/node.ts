// What a kubelet may see: its own node, and what the pods on it refer to.
import { findResource, PersistentVolume, type Pod, type PodSpec, type PolicyRule, type ResourceType } from '../../../api/index.js'
import type { User } from '../http/context.js'
import { attributesOf, decodeEntry, type Reader } from '../registry/backend.js'
import type { Feed } from '../registry/feed.js'
import type { AuthorizationAttributes, Authorizer } from './authorizer.js'
import { ruleAllows } from './rules.js'

/** The node's name when the user is a kubelet. */
export function nodeNameOf(user: User): string | undefined {
  return user.groups.includes('system:nodes') && user.name.startsWith('system:node:') ? user.name.slice('system:node:'.length) : undefined
}

/** Names of one kind that a pod refers to. */
export function referencesOf(spec: PodSpec, resource: string, podName: string): Set<string> {
  const names = new Set<string | undefined>()
  const containers = [...(spec.initContainers ?? []), ...spec.containers, ...(spec.ephemeralContainers ?? [])]
  for (const volume of spec.volumes ?? []) {
    if (resource === 'secrets') {
      names.add(volume.secret?.secretName)
      for (const source of volume.projected?.sources ?? []) names.add(source.secret?.name)
      const drivers = [
        volume.csi?.nodePublishSecretRef,
        volume.rbd?.secretRef,
        volume.cephfs?.secretRef,
        volume.flexVolume?.secretRef,
        volume.iscsi?.secretRef,
        volume.scaleIO?.secretRef,
        volume.storageos?.secretRef,
      ]
      for (const driver of drivers) names.add(driver?.name)
      names.add(volume.azureFile?.secretName)
    } else if (resource === 'configmaps') {
      names.add(volume.configMap?.name)
      for (const source of volume.projected?.sources ?? []) names.add(source.configMap?.name)
    } else if (resource === 'persistentvolumeclaims') {
      names.add(volume.persistentVolumeClaim?.claimName)
      if (volume.ephemeral) names.add(`${podName}-${volume.name}`)
    }
  }
  for (const { env = [], envFrom = [] } of containers) {
    if (resource === 'secrets') {
      for (const { valueFrom } of env) names.add(valueFrom?.secretKeyRef?.name)
      for (const { secretRef } of envFrom) names.add(secretRef?.name)
    } else if (resource === 'configmaps') {
      for (const { valueFrom } of env) names.add(valueFrom?.configMapKeyRef?.name)
      for (const { configMapRef } of envFrom) names.add(configMapRef?.name)
    }
  }
  if (resource === 'secrets') for (const { name } of spec.imagePullSecrets ?? []) names.add(name)
  if (resource === 'serviceaccounts') names.add(spec.serviceAccountName)
  if (resource === 'resourceclaims') for (const { resourceClaimName } of spec.resourceClaims ?? []) names.add(resourceClaimName)
  return new Set([...names].filter((name): name is string => Boolean(name)))
}

/** The object a request names: in its path, or as the one of a list that is limited to it. */
const singleName = ({ name, fieldSelector }: AuthorizationAttributes): string =>
  name || /^metadata\.name=([^,=!]+)$/.exec(fieldSelector ?? '')?.[1] || ''

const READ = ['get', 'list', 'watch']
const no = (reason = ''): { allowed: false; reason: string } => ({ allowed: false, reason })
const yes = { allowed: true, reason: '' } as const

/** `rules` are those every kubelet has, as in the ClusterRole `system:node`. */
export function nodeAuthorizer(feed: Feed, reader: Reader, rules: readonly PolicyRule[]): Authorizer {
  const podType = findResource('', 'v1', 'pods') as ResourceType

  async function* podsOn(node: string, namespace: string): AsyncGenerator<Pod> {
    const cache = await feed.cache(podType.storagePrefix)
    for (const entry of cache.range(namespace ? `${cache.prefix}${namespace}/` : cache.prefix)) {
      if (attributesOf(podType, entry).fields.get('spec.nodeName') === node) yield decodeEntry(podType, entry) as Pod
    }
  }
  const podRefersTo = async (node: string, namespace: string, resource: string, name: string): Promise<boolean> => {
    for await (const pod of podsOn(node, namespace)) {
      if (pod.spec && referencesOf(pod.spec, resource, pod.metadata.name).has(name)) return true
    }
    return false
  }
  const volumeIsUsed = async (node: string, name: string): Promise<boolean> => {
    const claim = (await reader.find(PersistentVolume, '', name))?.spec?.claimRef
    return Boolean(claim?.name && (await podRefersTo(node, claim.namespace ?? '', 'persistentvolumeclaims', claim.name)))
  }

  return {
    async authorize(attributes) {
      const node = nodeNameOf(attributes.user)
      if (!node) return no()
      const { isResource, group, resource, subresource, namespace, verb } = attributes
      const name = singleName(attributes)
      const unrelated = `no relationship found between node '${node}' and this object`
      if (isResource && subresource === '') {
        if (group === '' && ['secrets', 'configmaps', 'persistentvolumeclaims'].includes(resource)) {
          if (!READ.includes(verb)) return no(`can only read resources of this type`)
          if (!name) return no(`No Object name found`)
          return (await podRefersTo(node, namespace, resource, name)) ? yes : no(unrelated)
        }
        if (group === '' && resource === 'persistentvolumes') {
          if (verb !== 'get') return no('can only get individual resources of this type')
          return (await volumeIsUsed(node, name)) ? yes : no(unrelated)
        }
        // A request for a pod's certificate names the account by its uid.
        if (group === '' && resource === 'serviceaccounts') {
          if (verb !== 'get') return no('can only get individual resources of this type')
          return (await podRefersTo(node, namespace, resource, name)) ? yes : no(unrelated)
        }
        if (group === 'resource.k8s.io' && resource === 'resourceclaims') {
          return verb === 'get' && (await podRefersTo(node, namespace, resource, name)) ? yes : no(unrelated)
        }
        if (group === 'coordination.k8s.io' && resource === 'leases') {
          if (namespace !== 'kube-node-lease') return no(`can only access leases in the "kube-node-lease" system namespace`)
          return verb === 'create' || name === node ? yes : no(`can only access node lease with the same name as the requesting node`)
        }
        if (group === 'storage.k8s.io' && resource === 'csinodes') {
          return verb === 'create' || name === node ? yes : no('can only access CSINode with the same name as the requesting node')
        }
        if (group === 'resource.k8s.io' && resource === 'resourceslices') {
          return name !== '' || verb === 'create' || (attributes.fieldSelector ?? '').includes(`spec.nodeName=${node}`)
            ? yes
            : no(unrelated)
        }
        if (group === '' && resource === 'nodes' && READ.includes(verb) && name !== node)
          return no(`node '${node}' cannot read all nodes, only its own Node object`)
        if (
          group === '' &&
          resource === 'pods' &&
          (verb === 'list' || verb === 'watch') &&
          !name &&
          !(attributes.fieldSelector ?? '').split(',').includes(`spec.nodeName=${node}`)
        ) {
          return no(`can only list/watch pods with spec.nodeName field selector`)
        }
      }
      if (isResource && group === '' && resource === 'serviceaccounts' && subresource === 'token') {
        return verb === 'create' && (await podRefersTo(node, namespace, 'serviceaccounts', name || '')) ? yes : no(unrelated)
      }
      if (isResource && group === '' && resource === 'persistentvolumeclaims' && subresource === 'status') {
        return (await podRefersTo(node, namespace, 'persistentvolumeclaims', name)) ? yes : no(unrelated)
      }
      return rules.some((rule) => ruleAllows(rule, attributes)) ? yes : no()
    },
  }
}
