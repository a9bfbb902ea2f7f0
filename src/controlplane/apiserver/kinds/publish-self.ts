// What a server says of itself: the `kubernetes` Service, and the endpoints of all servers behind it.
import { EndpointSlice, Endpoints, type JsonObject, type Kind, type Resource, Service, ServiceCIDR } from '../../../api/index.js'
import { isStatus } from '../../../lib/index.js'
import { systemRequest } from '../bootstrap.js'
import type { Writer } from '../registry/writer.js'
import { addressText, rangeOf, type ServiceRanges } from './service-ranges.js'

/** The `kubernetes` Service in `default`, and its endpoint: this server. */
export async function publishSelf(
  writer: Writer,
  { address, port }: { readonly address: string; readonly port: number },
  { cidr }: ServiceRanges,
): Promise<void> {
  const cidrs = cidr.split(',')
  const { base, family } = rangeOf(cidrs[0] ?? '')
  const clusterIP = addressText(base + 1n, family === 'IPv6')
  const meta = { name: 'kubernetes', namespace: 'default', labels: { component: 'apiserver', provider: 'kubernetes' } }
  const spec = {
    clusterIP,
    clusterIPs: [clusterIP],
    ipFamilies: [family],
    ipFamilyPolicy: 'SingleStack',
    type: 'ClusterIP',
    sessionAffinity: 'None',
    internalTrafficPolicy: 'Cluster',
    ports: [{ name: 'https', protocol: 'TCP', port: 443, targetPort: port }],
  }
  await ensureObject(writer, Service, { apiVersion: 'v1', kind: 'Service', metadata: meta, spec })
  await ensureObject(writer, ServiceCIDR, {
    apiVersion: ServiceCIDR.apiVersion,
    kind: 'ServiceCIDR',
    metadata: { name: 'kubernetes' },
    spec: { cidrs },
  })
  const endpointMeta = { name: 'kubernetes', namespace: 'default' }
  const labels = { 'endpointslice.kubernetes.io/skip-mirror': 'true' }
  await ensureObject(
    writer,
    Endpoints,
    {
      apiVersion: 'v1',
      kind: 'Endpoints',
      metadata: { ...endpointMeta, labels },
      subsets: [{ addresses: [{ ip: address }], ports: [{ name: 'https', port, protocol: 'TCP' }] }],
    },
    'subsets',
  )
  await ensureObject(
    writer,
    EndpointSlice,
    {
      apiVersion: EndpointSlice.apiVersion,
      kind: 'EndpointSlice',
      metadata: { ...endpointMeta, labels: { 'kubernetes.io/service-name': 'kubernetes' } },
      addressType: family,
      endpoints: [{ addresses: [address], conditions: { ready: true } }],
      ports: [{ name: 'https', port, protocol: 'TCP' }],
    },
    'endpoints',
  )
}

/** Makes the object; of one that is there, `keep` is the field that is brought up to date: other servers add themselves to it. */
async function ensureObject(writer: Writer, kind: Kind, object: JsonObject, field?: 'subsets' | 'endpoints'): Promise<void> {
  const { name, namespace = '' } = object.metadata as { name: string; namespace?: string }
  const request = systemRequest(kind, namespace, name)
  try {
    await writer.create({ ...request, name: '' }, structuredClone(object))
  } catch (error) {
    // A Service that is there holds its address, and a second one with it is Invalid before its name is looked at.
    if (!isStatus(error, 'AlreadyExists', 'Invalid')) throw error
    if (field === undefined) {
      const unchanged = (previous: Resource): JsonObject => previous as unknown as JsonObject
      await writer.update(request, unchanged, { exact: false }).catch((missing: unknown) => {
        throw isStatus(missing, 'NotFound') ? error : missing
      })
      return
    }
    await writer.update(
      request,
      (previous) => {
        const present = ((previous as unknown as JsonObject)[field] ?? []) as JsonObject[]
        const [mine] = object[field] as JsonObject[]
        const known = present.some((one) => JSON.stringify(one.addresses) === JSON.stringify(mine?.addresses))
        return { ...previous, [field]: known ? present : [...present, ...(mine ? [mine] : [])] } as unknown as JsonObject
      },
      { exact: false },
    )
  }
}
