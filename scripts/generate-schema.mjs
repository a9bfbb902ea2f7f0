// Writes src/api/generated/schema.ts: every type of the GA API as one line of facts (fields, types, requiredness, list types and keys,
// patch strategy and merge keys, fields that are written even when empty).
//
//   node scripts/generate-schema.mjs FOLDER
//
// FOLDER is k8s.io as unpacked from Debian's golang-k8s-api-dev, golang-k8s-apimachinery-dev and golang-k8s-client-go-dev
// (trixie or newer: `apt-get download` with a sources list and state folder of its own, then `dpkg -x`). Names and types come from the
// models of @kubernetes/client-node, which are newer; the Go packages say what those leave out. What neither knows is in `overlay` below.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { publicNamesOf, readModels, readResources } from './models.mjs'

const folder = process.argv[2]
if (!folder || !existsSync(join(folder, 'api/core/v1/types.go'))) {
  console.error('usage: node scripts/generate-schema.mjs FOLDER   (FOLDER holds api/, apimachinery/ and client-go/)')
  process.exit(1)
}

/** Structs of one Go package: name to fields {json, type, pointer, omitempty, strategy, key, markers}. */
function readStructs(path) {
  const structs = new Map()
  for (const file of readdirSync(path).filter(
    (name) => /types.*\.go$|micro_time|time\.go|group_version/.test(name) && !/_test|generated/.test(name),
  )) {
    let current
    let markers = []
    for (const line of readFileSync(join(path, file), 'utf8').split('\n')) {
      const start = /^type (\w+) struct \{/.exec(line)
      if (start) {
        current = { fields: [], embeds: [] }
        structs.set(start[1], current)
        continue
      }
      if (!current) continue
      if (line === '}') {
        current = undefined
        continue
      }
      const marker = /^\s*\/\/ ?\+(\S.*)$/.exec(line)
      if (marker) markers.push(marker[1].trim())
      const field = /^\t(?:(\w+)\s+)?(\S+)\s+`([^`]*)`/.exec(line)
      if (!field) {
        if (line.trim() === '') markers = []
        continue
      }
      const [, , type, tags] = field
      const json = /json:"([^"]*)"/.exec(tags)?.[1]
      if (json === undefined) continue
      const [name, ...options] = json.split(',')
      if (options.includes('inline') || name === '') current.embeds.push(type.replace(/^\*/, ''))
      else
        current.fields.push({
          name,
          type: type.replace(/^\*/, ''),
          pointer: type.startsWith('*'),
          omitempty: options.includes('omitempty'),
          strategy: /patchStrategy:"([^"]*)"/.exec(tags)?.[1] ?? '',
          mergeKey: /patchMergeKey:"([^"]*)"/.exec(tags)?.[1] ?? '',
          markers,
        })
      markers = []
    }
  }
  return structs
}

const packages = new Map()
for (const group of readdirSync(join(folder, 'api'))) {
  const at = join(folder, 'api', group)
  if (!existsSync(join(at, 'doc.go')) && !/^[a-z]+$/.test(group)) continue
  for (const version of existsSync(at) && !group.includes('.')
    ? readdirSync(at, { withFileTypes: true }).filter((e) => e.isDirectory())
    : [])
    if (/^v\d/.test(version.name)) packages.set(`api.${group}.${version.name}`, readStructs(join(at, version.name)))
}
packages.set('apimachinery.pkg.apis.meta.v1', readStructs(join(folder, 'apimachinery/pkg/apis/meta/v1')))

/** The structured-merge schema: `package.Type` to field to {list, keys, map}. */
const merge = new Map()
{
  const yaml = readFileSync(join(folder, 'client-go/applyconfigurations/internal/internal.go'), 'utf8')
  for (const block of yaml.split(/^- name: /m).slice(1)) {
    const name = block.slice(0, block.indexOf('\n')).replace(/^io\.k8s\./, '')
    const fields = new Map()
    for (const part of block.split(/^ {4}- name: /m).slice(1)) {
      const field = part.slice(0, part.indexOf('\n'))
      const relationship = /^ {10}elementRelationship: (\w+)/m.exec(part)?.[1]
      const list = /^ {8}list:/m.test(part)
      const keys = /^ {10}keys:\n((?: {10}- \w+\n)+)/m.exec(part)?.[1]?.match(/\w+/g) ?? []
      fields.set(field, { list, relationship, keys })
    }
    const whole = /^ {4}elementRelationship: (\w+)/m.exec(block)?.[1]
    merge.set(name, { fields, atomic: whole === 'atomic' })
  }
}

const models = readModels()
const publicNames = publicNamesOf(models)
const resources = readResources(models)

/** Where a model comes from: `api.core.v1`. The version suffix is the GA one, whichever package the facts are read from. */
const extensions = 'apiextensions-apiserver.pkg.apis.apiextensions.v1'
const aggregator = 'kube-aggregator.pkg.apis.apiregistration.v1'
const known = [
  [
    /^(ApiextensionsV1|V1CustomResource|V1ExternalDocumentation|V1JSONSchemaProps|V1SelectableField|V1ValidationRule|V1WebhookConversion)/,
    extensions,
  ],
  [/^(ApiregistrationV1|V1APIService)/, aggregator],
  [/^V1ServiceReference$/, aggregator],
  [/^(V1ApplyConfiguration|V1JSONPatch|V1MutatingAdmission|V1Mutation$)/, 'api.admissionregistration.v1'],
  [
    /^V1(CELDeviceSelector|Capacity|Counter|Device|ExactDevice|NetworkDeviceData|OpaqueDevice|ResourceClaim|ResourcePool|ResourceSlice|Alloca)/,
    'api.resource.v1',
  ],
  [/^ResourceV1/, 'api.resource.v1'],
  [/^V1(IPAddress|ServiceCIDR|ParentReference)/, 'api.networking.v1'],
  [/^V1VolumeAttributesClass/, 'api.storage.v1'],
  [/^V1StorageVersionMigration/, 'api.storagemigration.v1'],
  [/^V1(ClusterTrustBundle(List|Spec)?|PodCertificateRequest.*)$/, 'api.certificates.v1'],
  [/^V1ForNode$/, 'api.discovery.v1'],
  [/^V1(ShardInfo|GroupResource)$/, 'apimachinery.pkg.apis.meta.v1'],
  [/^VersionInfo$/, 'apimachinery.pkg.version'],
  [/^V1(User|Group|ServiceAccount)Subject$/, 'api.flowcontrol.v1'],
  [/^V1Scheduling$/, 'api.node.v1'],
  [/^V1(ClusterRole|Role|PolicyRule$|Aggregation)/, 'api.rbac.v1'],
  [/^V1(CrossVersionObjectReference|Scale(Spec|Status)?|HorizontalPodAutoscaler.*)$/, 'api.autoscaling.v1'],
  [/^V1ResourceAttributes$|^V1NonResource(Attributes|Rule)$|^V1ResourceRule$/, 'api.authorization.v1'],
  [/^V1NonResourcePolicyRule$/, 'api.flowcontrol.v1'],
]
function locate(model) {
  const prefixed = /^([A-Z][a-z]+)(V\d)(.+)$/.exec(model)
  const plain = /^(V\d)(.+)$/.exec(model)
  const short = plain?.[2] ?? prefixed?.[3] ?? model
  const version = (plain?.[1] ?? prefixed?.[2] ?? 'V1').toLowerCase()
  const fixed = known.find(([pattern]) => pattern.test(model))?.[1]
  if (fixed) {
    const name = fixed
    const group = name.split('.')[1]
    const beta = [...packages.keys()].filter((p) => p.startsWith(`api.${group}.`)).sort((a, b) => rank(b) - rank(a))
    return { package: name, short, facts: beta.find((p) => packages.get(p).has(short)) }
  }
  if (prefixed && !plain) {
    const name = `api.${prefixed[1].toLowerCase()}.${version}`
    return { package: name, short: short, facts: packages.get(name)?.has(short) ? name : undefined }
  }
  const order = ['api.core', 'api.apps', 'apimachinery', 'api']
  const found = [...packages.keys()]
    .filter((p) => p.endsWith(`.${version}`) && packages.get(p).has(short) && !/imagepolicy|admission\.|extensions|apidiscovery/.test(p))
    .sort((a, b) => order.findIndex((o) => a.startsWith(o)) - order.findIndex((o) => b.startsWith(o)))[0]
  return { package: found ?? 'api.core.v1', short, facts: found }
}
function rank(name) {
  const version = name.split('.').at(-1)
  return (version.includes('alpha') ? 0 : version.includes('beta') ? 100 : 200) + Number(/\d+$/.exec(version)[0])
}

/** Facts that no source has: `Type.field` to flags. */
const overlay = readOverlay()
function readOverlay() {
  const map = new Map()
  for (const line of readFileSync(new URL('schema-overlay.txt', import.meta.url), 'utf8').split('\n')) {
    const [at, flags] = line.replace(/#.*/, '').trim().split(/\s+/)
    if (at) map.set(at, flags)
  }
  return map
}

const unknownLists = []
const scalars = { string: 's', boolean: 'b', any: '*', object: '*', Date: 't', V1MicroTime: 'u', IntOrString: 'x', 'Set<string>': 's' }

function goFields(located) {
  const result = new Map()
  const visit = (pkg, name) => {
    const struct = packages.get(pkg)?.get(name)
    if (!struct) return
    for (const field of struct.fields) result.set(field.name, field)
    for (const embed of struct.embeds) {
      const [prefix, type] = embed.includes('.') ? embed.split('.') : ['', embed]
      if (prefix === 'metav1') continue
      visit(prefix === 'v1' ? 'api.core.v1' : pkg, type)
    }
  }
  if (located.facts) visit(located.facts, located.short)
  return result
}

function scalarOf(field, go) {
  const goType = go?.type ?? ''
  if (field.type === 'string' && field.format === 'byte') return 'y'
  if (field.type === 'string' && /(^|\.)Quantity$/.test(goType)) return 'q'
  if (field.type === 'number') return { int32: 'i', int64: 'l', double: 'n' }[field.format] ?? 'l'
  return scalars[field.type]
}

const lines = []
for (const [model, fields] of [...models].sort((a, b) => publicNames.get(a[0]).localeCompare(publicNames.get(b[0])))) {
  const name = publicNames.get(model)
  const located = locate(model)
  const go = goFields(located)
  const ssa = merge.get(`${located.facts ?? located.package}.${located.short}`) ?? merge.get(`${located.package}.${located.short}`)
  const columns = fields.map((field) => {
    const fact = go.get(field.name)
    const facts = ssa?.fields.get(field.name)
    const extra = overlay.get(`${name}.${field.name}`) ?? ''
    const array = /^Array<(.+)>$/.exec(field.type)
    const map = /^\{ \[key: string\]: (.+); \}$/.exec(field.type)
    const typeCode = (type, format = '') => {
      if (type === 'any' || type === 'object') return '*'
      const inner = scalarOf({ type, format }, undefined)
      if (inner) return inner
      const list = /^Array<(.+)>$/.exec(type)
      if (list) return `[${typeCode(list[1])}`
      const reference = publicNames.get(type)
      if (!reference) throw new Error(`no model for ${type} in ${model}.${field.name}`)
      return reference
    }
    let code
    if (array) {
      const item = /q$/.test(extra) ? 'q' : typeCode(array[1])
      const keys = /k=([\w+]+)/.exec(extra)?.[1]?.split('+') ?? facts?.keys ?? []
      const set = /set/.test(extra) || (facts?.relationship === 'associative' && keys.length === 0)
      if (!facts && !extra) unknownLists.push(`${name}.${field.name}  ${field.type}`)
      code = `[${set ? '=' : ''}${keys.length > 0 ? `(${keys.join(',')})` : ''}${item}`
    } else if (map) {
      const quantity = /ResourceList$|\]resource\.Quantity$/.test(fact?.type ?? '') || /q/.test(extra)
      const atomic = facts?.relationship === 'atomic' || /atomic/.test(extra)
      const item = quantity ? 'q' : /\[\]byte$/.test(fact?.type ?? '') || /y/.test(extra) ? 'y' : typeCode(map[1], '')
      code = `{${atomic ? '!' : ''}${item}`
    } else code = /^q/.test(extra) ? 'q' : (scalarOf(field, fact) ?? typeCode(field.type))
    let flags = ''
    if (!field.optional) flags += '!'
    // A Go struct that is no pointer is written even when it is empty.
    const struct = fact && !fact.pointer && /^[A-Z]|^v1\.|^metav1\./.test(fact.type) && /^[A-Z]/.test(code)
    if (struct && field.name !== 'metadata') flags += '+'
    // Zero values of plain Go fields with omitempty are never written.
    const plain = fact ? fact.omitempty && (!fact.pointer || /^[[{]/.test(code)) : field.optional && /^[[{]/.test(code)
    if (plain && !/^[A-Z*tu]/.test(code)) flags += '-'
    const strategy = /p=([\w+]*)/.exec(extra) ? /p=([\w+]*)/.exec(extra)[1].replace('+', ',') : (fact?.strategy ?? '')
    const mergeKey = fact?.mergeKey ?? /m=(\w+)/.exec(extra)?.[1] ?? ''
    if (strategy || mergeKey) flags += `^${strategy}${mergeKey ? `@${mergeKey}` : ''}`
    return `${field.name}:${code}${flags}`
  })
  lines.push(`${name}|${located.package}.${located.short}|${ssa?.atomic || overlay.get(name) === 'atomic' ? '!' : ''}|${columns.join(' ')}`)
}

const out = `// Generated by scripts/generate-schema.mjs: a line for each type of the GA API.
//
//   name|package|flags|field:type…
//
// Flags of a type: ! is atomic. Types: s string, b boolean, i int32, l int64, n number, y bytes, t time, u micro time, q quantity,
// x int or string, * anything, Name another line, {T map, {!T atomic map, [T atomic list, [=T set, [(key,…)T list by keys.
// After a type: ! required, + written when empty, - dropped when zero, ^strategy@key strategic merge.
export const schemaLines = \`
${lines.join('\n')}
\`
`
writeFileSync(new URL('../src/api/generated/schema.ts', import.meta.url), out)
console.log(`${lines.length} types, ${out.length} bytes, ${resources.size} resources`)
for (const line of unknownLists) console.log(`no list type known: ${line}`)
