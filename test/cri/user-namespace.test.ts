// A pod in a user namespace of its own, on the real kernel. Needs root.
import t from 'tap'
import type { NamespaceOption } from '../../src/cri/index.js'
import { contents, exited, leftovers, options, run, scene } from './scene.js'

t.setTimeout(300_000)

t.test('user namespace', options, async (t) => {
  const s = await scene()
  const { cri, close } = await s.open()
  t.teardown(async () => {
    close()
    await s.end()
  })
  const ids = { hostId: 200_000, containerId: 0, length: 65_536 }
  const withUsers = (usernsOptions: NamespaceOption['usernsOptions'] & object) => {
    const { linux } = s.pod('users')
    return s.pod('users', { linux: { ...linux, securityContext: { namespaceOptions: { usernsOptions } } } })
  }

  t.test('root inside is nobody outside, and owns its files and its network', { timeout: 120_000 }, async (t) => {
    const usernsOptions = { mode: 'POD' as const, uids: [ids], gids: [ids] }
    const config = withUsers(usernsOptions)
    const { podSandboxId } = await cri.runPodSandbox({ config })
    const script = [
      'id -u',
      'cat /proc/self/uid_map',
      'ip -4 addr show eth0',
      'stat -c %u:%g /etc/passwd',
      'touch /etc/x && echo written',
      'ip link set lo mtu 60000 && echo mine',
    ].join('; ')
    const secure = { securityContext: { namespaceOptions: { usernsOptions }, capabilities: { addCapabilities: ['NET_ADMIN'] } } }
    const id = await run(cri, podSandboxId, config, script, { linux: secure })
    await exited(cri, id)
    const text = contents(s.dir, 'users', 'main/0.log').join('\n')
    t.match(text, /^0\n\s+0\s+200000\s+65536\n/)
    t.match(text, /inet 10\./)
    t.match(text, /\n0:0\nwritten\nmine$/)
    await cri.removePodSandbox(podSandboxId)
    t.strictSame(await leftovers(s), [])
  })

  t.test('maps that give the pod no root are refused', { timeout: 120_000 }, async (t) => {
    await t.rejects(cri.runPodSandbox({ config: withUsers({ mode: 'POD', uids: [], gids: [ids] }) }), /one mapping of uids/)
  })
})
