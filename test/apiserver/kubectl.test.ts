// Real kubectl, every version on the machine, over a real socket.
import { execFile, spawn } from 'node:child_process'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { until } from './harness.js'
import { type Served, serveApi } from './tls.js'

// Some two hundred processes, on a machine that may be busy.
t.setTimeout(300_000)

const FOLDERS = ['/usr/lib/google-cloud-sdk/bin', '/usr/bin', '/usr/local/bin']

interface Found {
  readonly version: string
  readonly path: string
}

/** `kubectl.1.27` and so on; plain `kubectl` where there is nothing else. */
function kubectls(): Found[] {
  const found = FOLDERS.filter((folder) => existsSync(folder)).flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => /^kubectl(\.1\.\d+)?$/.test(name))
      .map((name) => join(folder, name)),
  )
  const versioned = found.filter((path) => /\d$/.test(path))
  return (versioned.length > 0 ? versioned : found.slice(0, 1)).map((path) => ({
    path,
    version: /kubectl\.(.*)$/.exec(path)?.[1] ?? 'one',
  }))
}

interface Result {
  readonly code: number
  readonly out: string
  readonly err: string
}

type Kubectl = (...words: string[]) => Promise<Result>

const kubectlOf =
  (path: string, config: string, namespace: string, more: Readonly<Record<string, string>> = {}): Kubectl =>
  (...words) =>
    new Promise((resolve) => {
      const child = execFile(
        path,
        ['--kubeconfig', config, '-n', namespace, ...words],
        { timeout: 60_000, env: { ...process.env, HOME: '/nonexistent', ...more } },
        (error, stdout, stderr) =>
          resolve({ code: error ? (typeof error.code === 'number' ? error.code : 1) : 0, out: stdout, err: stderr }),
      )
      child.stdin?.end()
    })

const DEPLOYMENT = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: nginx:1
        ports: [{containerPort: 80}]
`

const CRD = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: gadgets, singular: gadget, kind: Gadget, shortNames: [gd]}
  versions:
  - name: v1
    served: true
    storage: true
    additionalPrinterColumns: [{name: Size, type: integer, jsonPath: .spec.size}]
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              size: {type: integer, maximum: 10, description: How large it is.}
`

async function basics(t: Test, kubectl: Kubectl, api: Served, version: string, namespace: string): Promise<void> {
  const ok = async (words: string[], pattern: RegExp): Promise<void> => {
    const result = await kubectl(...words)
    t.equal(result.code, 0, `${words.join(' ')}: ${result.err}`)
    t.match(result.out, pattern, words.join(' '))
  }
  await ok(['create', 'namespace', namespace], /created/)
  await api.ask('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: 'default' },
  })
  await ok(['run', 'one', '--image=busybox', '--labels=a=b'], /pod\/one created/)
  await ok(['get', 'pods', '-o', 'wide'], /NAME +READY +STATUS +RESTARTS +AGE +IP +NODE.*\none +0\/1 +Pending/)
  await ok(['get', 'pod', 'one', '-o', 'jsonpath={.spec.containers[0].image}'], /^busybox$/)
  await ok(['describe', 'pod', 'one'], /Image: +busybox/)
  await ok(['create', 'configmap', 'cm', '--from-literal=k=v'], /created/)
  await ok(['label', 'pod', 'one', 'c=d'], /labeled/)
  await ok(['annotate', 'pod', 'one', 'x=y'], /annotated?/)
  await ok(['get', 'pods', '-l', 'a=b,c=d', '-o', 'name'], /^pod\/one$/m)
  await ok(['get', 'pods', '--field-selector', 'metadata.name=two', '-o', 'name'], /^$/)
  const file = join(api.path, `web-${version}.yaml`)
  writeFileSync(file, DEPLOYMENT)
  await ok(['apply', '-f', file], /deployment.apps\/web created/)
  writeFileSync(file, DEPLOYMENT.replace('nginx:1', 'nginx:2'))
  await ok(['apply', '-f', file], /configured/)
  await ok(['scale', 'deployment', 'web', '--replicas=5'], /scaled/)
  await ok(['get', 'deployment', 'web', '-o', 'jsonpath={.spec.replicas} {.spec.template.spec.containers[0].image}'], /^5 nginx:2$/)
  await ok(['auth', 'can-i', 'create', 'pods'], /^yes/)
  await ok(['delete', 'pod', 'one', '--wait'], /deleted/)
  const gone = await kubectl('get', 'pod', 'one')
  t.equal(gone.code, 1)
  t.match(gone.err, /Error from server \(NotFound\): pods "one" not found/)
}

/** Changing what is there: on the client's side, on the server's, by hand in an editor. */
async function changes(t: Test, path: string, api: Served, version: string): Promise<void> {
  const namespace = `changes${version.replaceAll('.', '-')}`
  await api.ask('POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
  const kubectl = kubectlOf(path, api.kubeconfig, namespace)
  const run = async (words: string[], pattern: RegExp, code = 0): Promise<Result> => {
    const result = await kubectl(...words)
    t.equal(result.code, code, `${words.join(' ')}: ${result.out}${result.err}`)
    t.match(`${result.out}${result.err}`, pattern, words.join(' '))
    return result
  }
  const edit = (script: string, ...words: string[]): Promise<Result> =>
    kubectlOf(path, api.kubeconfig, namespace, { KUBE_EDITOR: `sed -i ${script}` })(...words)
  const live = async () => (await api.ask('GET', `/apis/apps/v1/namespaces/${namespace}/deployments/web`)).body
  const file = join(api.path, `changes-${version}.yaml`)
  writeFileSync(file, DEPLOYMENT)
  await run(['apply', '-f', file], /created/)
  writeFileSync(file, DEPLOYMENT.replace('nginx:1', 'nginx:2'))
  const difference = await run(['diff', '-f', file], /^\+ +- image: nginx:2|^\+ +image: nginx:2/m, 1)
  t.match(difference.out, /^- +(- )?image: nginx:1/m)
  await run(['replace', '-f', file], /replaced/)
  t.match((await edit('s/replicas:.2/replicas:\\ 3/', 'edit', 'deployment', 'web')).out, /edited/)
  t.equal((await live()).spec.replicas, 3)
  t.match((await edit('s/replicas:.3/replicas:\\ x/', 'edit', 'deployment', 'web')).err, /deployments\.apps "web" is invalid/)
  t.match(
    (await edit('s/nothing/x/', 'edit', 'deployment', 'web')).out + (await edit('s/no/no/', 'edit', 'deployment', 'web')).err,
    /no changes made/,
  )
  const stale = join(api.path, `stale-${version}.yaml`)
  writeFileSync(stale, JSON.stringify({ ...(await live()), apiVersion: 'apps/v1', kind: 'Deployment' }))
  await run(['annotate', 'deployment', 'web', 'a=b'], /annotated?/)
  await run(['replace', '-f', stale], /Conflict.*the object has been modified/, 1)
  await run(['replace', '--force', '-f', file], /replaced/)
  // From the client's side to the server's: the fields go over without a conflict, even with a change.
  await run(['apply', '-f', file], /configured|unchanged/)
  writeFileSync(file, DEPLOYMENT.replace('nginx:1', 'nginx:3').replace('app: web}\nspec', 'app: web, more: x}\nspec'))
  await run(['apply', '--server-side', '-f', file], /serverside-applied/)
  t.equal((await live()).spec.template.spec.containers[0].image, 'nginx:3')
  const managers = (await live()).metadata.managedFields.map(({ manager, operation }: Record<string, string>) => `${manager} ${operation}`)
  t.ok(managers.includes('kubectl Apply'))
  await run(['apply', '--server-side', '--field-manager=other', '-f', stale.replace('stale', 'changes')], /serverside-applied/)
  writeFileSync(file, DEPLOYMENT.replace('nginx:1', 'nginx:4'))
  await run(
    ['apply', '--server-side', '--field-manager=other', '-f', file],
    /conflict.*with "kubectl"(.|\n)*containers\[name="web"\]\.image/,
    1,
  )
  await run(['apply', '--server-side', '--field-manager=other', '--force-conflicts', '-f', file], /serverside-applied/)
  const chatty = await run(['get', 'deployment', 'web', '--v=8'], /^web /m)
  const statuses = [...chatty.err.matchAll(/Response(?: Status:|" status=")\s*"?(\d{3})|status="?(\d{3})/g)].map(
    (match) => match[1] ?? match[2],
  )
  t.ok(statuses.length > 0 && statuses.every((status) => status === '200'), `--v=8: ${statuses.join(' ')}`)
  t.notMatch(chatty.err, /[Ww]arning:|unable to|falling back/)
}

async function rest(t: Test, kubectl: Kubectl, api: Served, path: string): Promise<void> {
  const run = async (words: string[], pattern: RegExp, code = 0): Promise<Result> => {
    const result = await kubectl(...words)
    t.equal(result.code, code, `${words.join(' ')}: ${result.out}${result.err}`)
    t.match(`${result.out}${result.err}`, pattern, words.join(' '))
    return result
  }
  await run(['version', '-o', 'json'], /"gitVersion": "v1\.37\.\d+\+knarr"/)
  await run(['api-resources'], /deployments +deploy +apps\/v1 +true +Deployment/)
  await run(['api-versions'], /^networking\.k8s\.io\/v1$/m)
  await run(['create', 'deployment', 'd', '--image=nginx', '--replicas=2'], /created/)
  await run(['set', 'image', 'deployment/d', 'nginx=nginx:3'], /image updated/)
  await run(['patch', 'deployment', 'd', '-p', '{"spec":{"replicas":3}}'], /patched/)
  await run(['patch', 'deployment', 'd', '--type=merge', '-p', '{"metadata":{"labels":{"m":"1"}}}'], /patched/)
  await run(['patch', 'deployment', 'd', '--type=json', '-p', '[{"op":"replace","path":"/spec/replicas","value":4}]'], /patched/)
  await run(['get', 'deployment', 'd', '-o', 'jsonpath={.spec.replicas} {.metadata.labels.m}'], /^4 1$/)
  await run(['expose', 'deployment', 'd', '--port=80'], /exposed/)
  await run(['get', 'service', 'd'], /ClusterIP +10\.96\./)
  await run(['create', 'secret', 'generic', 's', '--from-literal=p=w'], /created/)
  await run(['get', 'secret', 's', '-o', 'jsonpath={.data.p}'], /^dw==$/)
  await run(['create', 'role', 'reader', '--verb=get,list', '--resource=pods'], /created/)
  await run(['create', 'rolebinding', 'reader', '--role=reader', '--user=bob'], /created/)
  await run(['auth', 'can-i', 'list', 'pods', '--as=bob'], /^yes/)
  await run(['auth', 'can-i', 'delete', 'pods', '--as=bob'], /^no/, 1)
  await run(['auth', 'can-i', '--list', '--as=bob'], /pods +\[\] +\[\] +\[get list\]/)
  await run(['create', 'token', 'default'], /^ey[\w-]+\.[\w-]+\.[\w-]+$/m)
  await run(['get', 'all'], /deployment\.apps\/d/)
  await run(['get', '--raw', '/readyz'], /^ok$/)
  await run(['logs', 'nobody'], /pods "nobody" not found/, 1)
  await run(['create', 'quota', 'q', '--hard=pods=3'], /created/)
  await run(['wait', '--for=jsonpath={.spec.replicas}=4', 'deployment/d', '--timeout=20s'], /condition met/)
  await run(['get', 'configmap', 'missing', '--ignore-not-found'], /^$/)
  await run(['explain', 'pod.spec.containers.image'], /KIND: +Pod(.|\n)*FIELD: image <string>/)
  await run(['explain', 'deployments', '--recursive'], /replicas\t<integer>/)
  const crd = join(api.path, 'crd.yaml')
  writeFileSync(crd, CRD)
  await run(['apply', '-f', crd], /customresourcedefinition\S* created/)
  await run(['wait', '--for=condition=Established', 'crd/gadgets.example.com', '--timeout=30s'], /condition met/)
  const gadget = join(api.path, 'gadget.yaml')
  writeFileSync(gadget, 'apiVersion: example.com/v1\nkind: Gadget\nmetadata: {name: g}\nspec: {size: 3}\n')
  await run(['apply', '--server-side', '-f', gadget], /gadget\S* serverside-applied/)
  writeFileSync(gadget, 'apiVersion: example.com/v1\nkind: Gadget\nmetadata: {name: g}\nspec: {size: 4}\n')
  await run(['diff', '--server-side', '-f', gadget], /^\+ +size: 4$/m, 1)
  await run(['apply', '--server-side', '-f', gadget], /serverside-applied/)
  await run(['get', 'gd'], /NAME +SIZE\ng +4/)
  await run(['explain', 'gadget.spec.size'], /How large it is/)
  writeFileSync(gadget, 'apiVersion: example.com/v1\nkind: Gadget\nmetadata: {name: g}\nspec: {size: 400}\n')
  await run(['apply', '--server-side', '-f', gadget], /spec\.size: Invalid value/, 1)
  writeFileSync(gadget, 'apiVersion: example.com/v1\nkind: Gadget\nmetadata: {name: g}\nspec: {size: 4, shape: x}\n')
  await run(['apply', '-f', gadget], /strict decoding error: unknown field "spec\.shape"/, 1)
  await run(['delete', 'crd', 'gadgets.example.com', '--timeout=60s'], /deleted/)
  await run(['delete', 'deployment,service', '--all'], /deleted/)
  const bob = kubectlOf(path, await api.configFor('bob'), 'rest')
  const refused = await bob('delete', 'pod', 'x')
  t.match(
    refused.err,
    /Error from server \(Forbidden\): pods "x" is forbidden: User "bob" cannot delete resource "pods" in API group "" in the namespace "rest"/,
  )
  t.match((await bob('get', 'pods')).err, /No resources found/)
}

const found = kubectls()
if (found.length === 0) t.plan(0, 'no kubectl on this machine')
else {
  void t.test('kubectl', { timeout: 280_000 }, async (t) => {
    const api = await serveApi(t)
    for (const { path, version } of found) {
      await t.test(`kubectl ${version}`, { timeout: 120_000 }, async (t) => {
        const namespace = `v${version.replaceAll('.', '-')}`
        await basics(t, kubectlOf(path, api.kubeconfig, namespace), api, version, namespace)
      })
    }
    for (const { path, version } of new Set([found[0] as Found, found.at(-1) as Found]))
      await t.test(`kubectl ${version} changes things`, { timeout: 120_000 }, async (t) => changes(t, path, api, version))
    const newest = found.at(-1)
    if (newest) {
      await t.test(`the newest, kubectl ${newest.version}, does the rest`, { timeout: 120_000 }, async (t) => {
        await api.ask('POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'rest' } })
        await api.ask('POST', '/api/v1/namespaces/rest/serviceaccounts', {
          apiVersion: 'v1',
          kind: 'ServiceAccount',
          metadata: { name: 'default' },
        })
        await rest(t, kubectlOf(newest.path, api.kubeconfig, 'rest'), api, newest.path)
      })
      await t.test('get -w tells of changes as they happen', async (t) => {
        const child = spawn(newest.path, ['--kubeconfig', api.kubeconfig, '-n', 'default', 'get', 'configmaps', '-w', '-o', 'name'], {
          stdio: ['ignore', 'pipe', 'inherit'],
          env: { ...process.env, HOME: '/nonexistent' },
        })
        t.teardown(() => child.kill('SIGKILL'))
        child.stdout.setEncoding('utf8')
        let out = ''
        const first = new Promise<void>((resolve) => child.stdout.once('data', () => resolve()))
        child.stdout.on('data', (text: string) => {
          out += text
        })
        const make = (name: string) =>
          api.ask('POST', '/api/v1/namespaces/default/configmaps', { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name } })
        await make('before')
        await first
        await make('after')
        await until(async () => out.includes('configmap/after'))
        t.match(out, /configmap\/before\nconfigmap\/after/)
      })
    }
  })
}
