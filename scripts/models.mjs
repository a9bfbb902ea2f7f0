// Reads the models of @kubernetes/client-node: names, types and optionality of every field, and the resources of its paths.
// Shared by the generators; run those when the package is raised.
import { readdirSync, readFileSync } from 'node:fs'

const root = new URL('../node_modules/@kubernetes/client-node/dist/gen/', import.meta.url)

/** Types that are GA in v1.37 and still beta in the package: the beta model stands in. */
const promoted = new Map(
  ['ClusterTrustBundle', 'PodCertificateRequest', 'StorageVersionMigration']
    .flatMap((name) => ['', 'List', 'Spec', 'Status'].map((part) => [`V1beta1${name}${part}`, `V1${name}${part}`]))
    .concat(
      ['DeviceTaintRule', 'DeviceTaintRuleList', 'DeviceTaintRuleSpec', 'DeviceTaintRuleStatus', 'DeviceTaintSelector'].map((name) => [
        `V1beta2${name}`,
        `V1${name}`,
      ]),
    ),
)
const promotedPaths =
  /^\/apis\/(certificates\.k8s\.io\/v1beta1\/.*(clustertrustbundles|podcertificaterequests)|storagemigration\.k8s\.io\/v1beta1\/|resource\.k8s\.io\/v1beta2\/devicetaintrules)/

const isBeta = (model) => /V\d(alpha|beta)\d/.test(model)

function promoteType(type) {
  return type.replace(/V1beta\d(\w+)/g, (_, name) => `V1${name}`)
}

/** Model name to its fields. */
export function readModels() {
  const models = new Map()
  for (const file of readdirSync(new URL('models/', root))) {
    if (!file.endsWith('.d.ts') || file === 'all.d.ts' || file === 'ObjectSerializer.d.ts') continue
    const source = file.slice(0, -'.d.ts'.length)
    const model = promoted.get(source) ?? source
    if (isBeta(model)) continue
    const declaration = readFileSync(new URL(`models/${file}`, root), 'utf8')
    const script = readFileSync(new URL(`models/${source}.js`, root), 'utf8')
    const attributes = /attributeTypeMap = (\[[\s\S]*?\n\]);/.exec(script)
    if (!attributes) continue
    const fields = JSON.parse(attributes[1]).map(({ name, baseName, type, format }) => ({
      name: baseName,
      type: promoteType(type),
      format,
      optional: new RegExp(`^ +'${name}'\\?:`, 'm').test(declaration),
    }))
    models.set(model, fields)
  }
  // Left behind by an older version of the package, under a name that another type has now.
  for (const stale of models.keys()) if (/^V1/.test(stale) && models.has(`ResourceV1${stale.slice(2)}`)) models.delete(stale)
  return models
}

const aliases = {
  CoreV1Event: 'Event',
  CoreV1EventSeries: 'EventSeries',
  ResourceV1ResourceClaim: 'ResourceClaim',
  AuthenticationV1TokenRequest: 'TokenRequest',
}

/** client-node prefixes every model with its version; the plain name goes to the newest one. */
export function publicNamesOf(models) {
  const names = new Map()
  for (const model of models.keys()) {
    const plain = /^V\d+(.+)$/.exec(model)?.[1]
    names.set(model, aliases[model] ?? (model.startsWith('V1') && plain && models.has(`V2${plain}`) ? `${plain}V1` : (plain ?? model)))
  }
  return names
}

/** Resource paths tell plural, scope and subresources; the functions above them tell the kind. Model name to resource. */
export function readResources(models) {
  const resources = new Map()
  for (const file of readdirSync(new URL('apis/', root))) {
    if (!/V\d((alpha|beta)\d)?Api\.js$/.test(file)) continue
    const script = readFileSync(new URL(`apis/${file}`, root), 'utf8')
    let method = ''
    for (const line of script.split('\n')) {
      method = /^ {4}async (\w+)\(/.exec(line)?.[1] ?? method
      const raw = /localVarPath = '([^']+)'/.exec(line)?.[1]
      if (!raw) continue
      const url = promotedPaths.test(raw) ? raw.replace(/\/v1beta\d\//, '/v1/') : raw
      const path = /^\/(api|apis)\/(?:([\w.-]+)\/)?(v\d+)\/(?:(namespaces)\/\{namespace\}\/)?(.*)$/.exec(url)
      if (!path) continue
      const [, prefix, groupOrNothing, version, namespaced, rest] = path
      const group = prefix === 'api' ? '' : groupOrNothing
      const [plural, name, sub] = rest.split('/')
      if (!plural || plural === 'watch' || plural === '{name}' || (plural === 'namespaces' && namespaced)) continue
      const key = `${group}/${version}/${plural}`
      const entry = resources.get(key) ?? { group, version, plural, namespaced: false, kind: '', sub: new Set() }
      resources.set(key, entry)
      if (namespaced) entry.namespaced = true
      if (sub && name === '{name}') entry.sub.add(sub)
      else {
        const kind = /^(?:create|read|list|replace)(?:Namespaced)?(\w+?)(?:ForAllNamespaces)?$/.exec(method)?.[1]
        if (kind && !entry.kind) entry.kind = kind
      }
    }
  }
  const descriptors = new Map()
  for (const r of resources.values()) {
    const version = r.version.toUpperCase()
    const domain = r.group === '' ? 'Core' : r.group.split('.')[0].replace(/^./, (c) => c.toUpperCase())
    const model = [`${domain}${version}${r.kind}`, `${version}${r.kind}`].find((m) => models.has(m))
    if (model) descriptors.set(model, r)
  }
  return descriptors
}
