import t from 'tap'
import { createCodec } from './codec.js'
import { criProto } from './proto.js'
import { camelCase, parseSchema } from './schema.js'

const schema = parseSchema(criProto)
const codec = createCodec(schema)

t.test('every type that a field or method names is defined', async (t) => {
  const scalars = ['string', 'bytes', 'bool', 'double', 'int32', 'uint32', 'int64', 'uint64', 'map']
  const known = (type: string): boolean => scalars.includes(type) || schema.messages.has(type) || schema.enums.has(type)
  const wrong: string[] = []
  for (const [message, fields] of schema.messages) {
    for (const { name, type, mapOf } of fields) if (!known(type) || !known(mapOf ?? 'map')) wrong.push(`${message}.${name}`)
    if (new Set(fields.map(({ number }) => number)).size !== fields.length) wrong.push(`${message}: a number twice`)
  }
  for (const methods of schema.services.values())
    for (const { name, request, response } of methods) if (!schema.messages.has(request) || !schema.messages.has(response)) wrong.push(name)
  t.strictSame(wrong, [])
  t.equal(schema.services.get('RuntimeService')?.length, 35)
  t.equal(schema.services.get('ImageService')?.length, 6)
})

t.test('names in camelCase', async (t) => {
  t.strictSame(['pod_sandbox_id', 'CDI_devices', 'Avg10', 'uidMappings'].map(camelCase), [
    'podSandboxId',
    'cdiDevices',
    'avg10',
    'uidMappings',
  ])
})

t.test('bytes as protoc would write them', async (t) => {
  // Worked by hand from the encoding's description (protobuf.dev/programming-guides/encoding).
  t.equal(
    codec.encode('PodSandboxMetadata', { name: 'a', uid: 'b', namespace: 'c', attempt: 300 }).toString('hex'),
    '0a01611201621a016320ac02',
  )
  t.equal(codec.encode('Int64Value', { value: -1 }).toString('hex'), '08ffffffffffffffffff01')
  t.equal(codec.encode('PortForwardRequest', { podSandboxId: '', port: [80, 443] }).toString('hex'), '120350bb03')
  t.equal(codec.encode('LinuxSandboxSecurityContext', { runAsUser: 0 }).toString('hex'), '1a00', 'a wrapped zero is present')
})

t.test('values come back', async (t) => {
  const config = {
    metadata: { name: 'web', uid: 'u', namespace: 'n', attempt: 0 },
    labels: { a: 'b', __proto__x: 'y' },
    portMappings: [{ protocol: 'UDP', containerPort: 53, hostPort: 5353, hostIp: '' }],
    linux: { securityContext: { runAsUser: 0, namespaceOptions: { network: 'NODE' } }, sysctls: { 'net.core.somaxconn': '9' } },
  }
  const back = codec.decode('PodSandboxConfig', codec.encode('PodSandboxConfig', config))
  t.match(back, config)
  t.strictSame(back.annotations, {}, 'absent maps are empty')
  t.notOk('dnsConfig' in back, 'absent messages stay absent')
})

t.test('times are milliseconds here and nanoseconds there', async (t) => {
  const createdAt = 1_767_323_045_006.25
  const bytes = codec.encode('PodSandbox', { createdAt })
  t.equal(bytes.toString('hex').slice(0, 2), '20')
  t.equal(codec.decode('PodSandbox', bytes).createdAt, createdAt)
  const raw = codec.decode('Int64Value', Buffer.concat([Buffer.from([8]), bytes.subarray(1)]))
  t.equal(raw.value, 1_767_323_045_006_250_000)
})

t.test('unknown fields are skipped, broken bytes refused', async (t) => {
  const known = codec.encode('PodIP', { ip: '10.0.0.1' })
  const unknown = Buffer.from('7a03616263' + '8001ac02' + '8d0100000000' + '910100000000000000ff', 'hex')
  t.strictSame(codec.decode('PodIP', Buffer.concat([unknown, known, unknown])), { ip: '10.0.0.1' })
  for (const hex of ['0aff', '0a05616263', '08', 'ffffffffffffffffffffff', '0b'])
    t.throws(() => codec.decode('PodIP', Buffer.from(hex, 'hex')), RangeError, hex)
  t.throws(() => codec.encode('PortMapping', { protocol: 'ICMP' }), /no Protocol/)
})
