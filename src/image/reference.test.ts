import fc from 'fast-check'
import t from 'tap'
import { familiarName, formatReference, parseReference, storedName } from './reference.js'

const digest = `sha256:${'a'.repeat(64)}`

t.test('names are completed as Docker does', async (t) => {
  const cases: Record<string, string> = {
    nginx: 'docker.io/library/nginx:latest',
    'nginx:1.27': 'docker.io/library/nginx:1.27',
    'bitnami/redis': 'docker.io/bitnami/redis:latest',
    'index.docker.io/nginx': 'docker.io/library/nginx:latest',
    'docker.io/nginx': 'docker.io/library/nginx:latest',
    'localhost/x': 'localhost/x:latest',
    'localhost:5000/x': 'localhost:5000/x:latest',
    '127.0.0.1:5000/a/b/c:v1': '127.0.0.1:5000/a/b/c:v1',
    '[::1]:5000/a:v1': '[::1]:5000/a:v1',
    'registry.k8s.io/pause:3.9': 'registry.k8s.io/pause:3.9',
    'Registry/a': 'Registry/a:latest',
    [`nginx@${digest}`]: `docker.io/library/nginx@${digest}`,
    [`nginx:1@${digest}`]: `docker.io/library/nginx:1@${digest}`,
    'x/a__b--c.d/e_f': 'docker.io/x/a__b--c.d/e_f:latest',
  }
  for (const [text, want] of Object.entries(cases)) t.equal(formatReference(parseReference(text)), want, text)
  t.equal(storedName(parseReference(`nginx:1@${digest}`)), `docker.io/library/nginx@${digest}`)
})

t.test('bad names get a sentence that names them', async (t) => {
  const bad = [
    '',
    'Nginx',
    'a//b',
    '/a',
    'a/',
    'a:',
    'a:-x',
    'a@sha256:12',
    'a@md5:12',
    'a b',
    '-a',
    'x.y/UP',
    'a'.repeat(64),
    `${'a'.repeat(300)}`,
  ]
  for (const text of bad) t.throws(() => parseReference(text), { name: 'InvalidReference', message: /^invalid image name "/ }, text)
})

t.test('familiar names', async (t) => {
  t.equal(familiarName('docker.io/library/nginx:latest'), 'nginx:latest')
  t.equal(familiarName('docker.io/bitnami/redis:7'), 'bitnami/redis:7')
  t.equal(familiarName('quay.io/a/b:1'), 'quay.io/a/b:1')
})

t.test('reading what was written changes nothing, whatever goes in', async (t) => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'aA0.:/@-_[]l', 'sha256:') }), (text) => {
      let parsed: ReturnType<typeof parseReference>
      try {
        parsed = parseReference(text)
      } catch (error) {
        return (error as Error).name === 'InvalidReference'
      }
      const written = formatReference(parsed)
      return formatReference(parseReference(written)) === written
    }),
    { numRuns: 2000 },
  )
  t.pass('2000 names')
})
