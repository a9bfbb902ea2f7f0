// What nobody may store: for every kind several bodies that are wrong, and the refusal, word by word.
import { generateKeyPairSync, sign } from 'node:crypto'
import t from 'tap'
import { resourceTypes } from '../../src/api/index.js'
import { systemClock, systemRandom } from '../../src/lib/index.js'
import { createCa, createCsr } from '../../src/pki/index.js'
import { configMap, defaultAccount, startServer } from './harness.js'
import { POD_UID, samples } from './samples.js'
import { WRONG as CORE } from './wrong-bodies/core.js'
import { WRONG as MACHINERY } from './wrong-bodies/machinery.js'
import { WRONG as WORKLOADS } from './wrong-bodies/workloads.js'

const RULES: Readonly<Record<string, string>> = {
  label:
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
  label1035:
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
  subdomain:
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
  qualified:
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
  labelValue:
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
  configKey:
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
}
const told = (refusal: string): string => refusal.replace(/<(\w+)>/g, (word, name: string) => RULES[name] ?? word)

type Tree = Record<string, unknown>

/** `spec.ports[0].port=0;spec.type="X"`, applied to the object. */
function change(object: Tree, changes: string): void {
  for (const one of changes.split(/;(?=[a-zA-Z]+[.[=]|$)/).filter(Boolean)) {
    const equals = one.indexOf('=')
    const path = one.slice(0, equals).match(/[^.[\]]+/g) ?? []
    const last = path.pop() ?? ''
    let at = object
    for (const name of path) {
      at[name] ??= {}
      at = at[name] as Tree
    }
    const value = one.slice(equals + 1)
    if (value === 'undefined') delete at[last]
    else at[last] = JSON.parse(value)
  }
}

void t.test('every kind refuses what is wrong with it', { timeout: 200_000 }, async (t) => {
  const { ask } = await startServer(t)
  await ask(...defaultAccount())
  const ca = await createCa('wrong', { clock: systemClock, random: systemRandom })
  const pair = generateKeyPairSync('ed25519')
  const table = samples({
    pem: ca.cert,
    csr: Buffer.from(createCsr({ commonName: 'x' }, pair)).toString('base64'),
    publicKey: pair.publicKey.export({ type: 'spki', format: 'der' }).toString('base64'),
    proof: sign(null, Buffer.from(POD_UID), pair.privateKey).toString('base64'),
  })
  const wrong = { ...CORE, ...WORKLOADS, ...MACHINERY }
  const stored = resourceTypes.filter(({ verbs }) => verbs.includes('create') && verbs.includes('list'))
  for (const type of stored) {
    await t.test(`${type.plural} ${type.apiVersion}`, async (t) => {
      const name = `${type.group}/${type.plural}`
      // The older API of events refuses little, the older one of autoscaling is read as the newer one.
      const cases = wrong[name] ?? []
      t.ok(cases.length >= (name === '/events' ? 2 : 4), `${cases.length} cases`)
      if (type.apiVersion === 'autoscaling/v1') return
      const root = type.group ? `/apis/${type.apiVersion}` : '/api/v1'
      const collection = type.namespaced ? `${root}/namespaces/default/${type.plural}` : `${root}/${type.plural}`
      for (const [changes, refusal] of cases) {
        const sample = table[name]
        const body = structuredClone({
          apiVersion: type.apiVersion,
          kind: type.kind,
          metadata: { name: sample?.name ?? 'x' },
          ...sample?.body,
        }) as Tree
        change(body, changes)
        const answer = await ask('POST', `${collection}?dryRun=All&fieldValidation=Strict`, body)
        const [, code = '422', text = ''] = /^(?:(\d{3}) )?(.*)$/s.exec(told(refusal)) ?? []
        t.equal(answer.status, Number(code), `${changes}: ${answer.body.message}`)
        const said = String(answer.body.message).replace(/^\S+ "[^"]*" is (invalid|forbidden): /, '')
        t.equal(said, text, changes)
      }
    })
  }
})

void t.test('what is too large', async (t) => {
  const { ask } = await startServer(t)
  const maps = '/api/v1/namespaces/default/configmaps'
  const large = 'x'.repeat(1024 * 1024 + 1)
  t.match(await ask('POST', maps, configMap('a', { large })), {
    status: 422,
    body: { message: 'ConfigMap "a" is invalid: []: Too long: may not be more than 1048576 bytes' },
  })
  const secret = { metadata: { name: 's' }, data: { large: Buffer.from(large).toString('base64') } }
  t.match(await ask('POST', '/api/v1/namespaces/default/secrets', secret), {
    status: 422,
    body: { message: 'Secret "s" is invalid: data: Too long: may not be more than 1048576 bytes' },
  })
  t.match(await ask('POST', maps, { metadata: { name: 'a', annotations: { large: 'x'.repeat(256 * 1024) } } }), {
    status: 422,
    body: { message: 'ConfigMap "a" is invalid: metadata.annotations: Too long: may not be more than 262144 bytes' },
  })
})
