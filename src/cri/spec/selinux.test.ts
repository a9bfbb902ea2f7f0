import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { relabel } from '../relabel.js'
import { contextOption, isUnlabelled, labelsOf, newLevel, parseContexts, relabelled } from './selinux.js'

const policy = parseContexts(
  'process = "system_u:system_r:container_t:s0"\nfile = "system_u:object_r:container_file_t:s0"\nro_file="system_u:object_r:container_ro_file_t:s0"\n',
)

t.test('the policy says what containers are', async (t) => {
  t.strictSame(policy, { process: 'system_u:system_r:container_t:s0', file: 'system_u:object_r:container_file_t:s0' })
  t.strictSame(parseContexts('process = "system_u:system_r:svirt_lxc_net_t:s0"\n').process, 'system_u:system_r:svirt_lxc_net_t:s0')
  t.strictSame(parseContexts(''), policy, 'a policy without the file')
})

t.test('labels: of process and mounts, what is asked over what is usual', async (t) => {
  t.strictSame(labelsOf(undefined, policy, 's0:c1,c2'), {
    process: 'system_u:system_r:container_t:s0:c1,c2',
    mount: 'system_u:object_r:container_file_t:s0:c1,c2',
  })
  t.strictSame(labelsOf({ level: 's0:c5,c9', type: 'spc_t', user: '', role: '' }, policy, 's0:c1,c2'), {
    process: 'system_u:system_r:spc_t:s0:c5,c9',
    mount: 'system_u:object_r:container_file_t:s0:c5,c9',
  })
  t.throws(() => labelsOf({ type: 'a:b' }, policy, 's0'), /SELinux type "a:b"/)
  t.throws(() => labelsOf({ level: 's0 c1' }, policy, 's0'), /SELinux level/)
  t.strictSame(contextOption('u:r:t:s0:c1,c2'), ['context="u:r:t:s0:c1,c2"'], 'its comma separates no options')
})

t.test('levels: two different categories in order, none given twice', async (t) => {
  const numbers = [3, 3, 9, 2, 2, 9, 700, 1]
  const random = () => numbers.shift() ?? 0
  t.equal(newLevel(random, new Set()), 's0:c2,c9', 'two of the same are no two')
  t.equal(newLevel(random, new Set(['s0:c2,c9'])), 's0:c1,c700')
})

t.test('who has no label', async (t) => {
  t.ok(isUnlabelled(true, undefined) && isUnlabelled(false, { pid: 'NODE' }) && isUnlabelled(false, { ipc: 'NODE' }))
  t.notOk(isUnlabelled(false, { network: 'NODE', pid: 'CONTAINER' }))
})

t.test('volumes that ask for it are relabelled, the machine itself never', async (t) => {
  const mount = (hostPath: string, selinuxRelabel = true) => ({ containerPath: '/x', hostPath, selinuxRelabel })
  t.strictSame(relabelled([mount('/data/a'), mount('/etc', false), mount('/var/lib/kubelet/pods/x')]), [
    '/data/a',
    '/var/lib/kubelet/pods/x',
  ])
  for (const path of ['/', '/etc/', '/usr', '/var/lib']) t.throws(() => relabelled([mount(path)]), /cannot be relabelled/)
})

t.test('relabelling: a folder, all in it, links themselves and not where they lead', async (t) => {
  const dir = t.testdir({ a: { b: 'x' } })
  const outside = t.testdirName.concat('-outside')
  mkdirSync(outside, { recursive: true })
  writeFileSync(join(outside, 'file'), '')
  symlinkSync(outside, join(dir, 'link'))
  const seen: string[] = []
  relabel(dir, 'u:r:t:s0', (path, name, value) => {
    seen.push(`${String(path).slice(dir.length)} ${name} ${JSON.stringify(Buffer.from(value).toString())}`)
    if (String(path).endsWith('/b')) throw Object.assign(new Error('not there'), { code: 'EOPNOTSUPP' })
  })
  t.strictSame(
    seen.sort(),
    ['', '/a', '/a/b', '/link'].map((path) => `${path} security.selinux "u:r:t:s0\\u0000"`),
  )
  t.throws(
    () =>
      relabel(dir, 'x', () => {
        throw Object.assign(new Error('no'), { code: 'EPERM' })
      }),
    /no/,
  )
})
