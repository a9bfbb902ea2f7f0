// Containers under AppArmor, where the kernel has it and profiles can be compiled. Needs root.
import { readFileSync } from 'node:fs'
import t from 'tap'
import type { SecurityProfile } from '../../src/cri/index.js'
import { appArmorParser } from '../../src/sys/index.js'
import { contents, exited, leftovers, options, run, scene, slowness } from './scene.js'

t.setTimeout(300_000 * slowness)

function enabled(): boolean {
  try {
    return readFileSync('/sys/module/apparmor/parameters/enabled', 'utf8').startsWith('Y')
  } catch {
    return false
  }
}
const skip = options.skip || (enabled() && appArmorParser() ? false : 'needs a kernel with AppArmor and apparmor_parser')

t.test('the default profile confines, and can be done without', { ...options, skip }, async (t) => {
  const s = await scene()
  const { cri, close } = await s.open()
  t.teardown(async () => {
    close()
    await s.end()
  })
  const config = s.pod('confined')
  const { podSandboxId } = await cri.runPodSandbox({ config })
  // All that a mount needs but for AppArmor.
  const capabilities = { addCapabilities: ['SYS_ADMIN'] }
  const script = 'cat /proc/self/attr/current; mount -t tmpfs none /tmp 2>&1 && echo mounted; kill -0 1 && echo signalled; exit 0'
  const said = async (apparmor?: SecurityProfile): Promise<string> => {
    const secure = { securityContext: { capabilities, seccomp: { profileType: 'Unconfined' as const }, ...(apparmor ? { apparmor } : {}) } }
    const id = await run(cri, podSandboxId, config, script, { linux: secure })
    await exited(cri, id)
    await cri.removeContainer(id)
    return contents(s.dir, 'confined', 'main/0.log').slice(-3).join('\n')
  }
  const confined = /^knarr-default \(enforce\)\nmount: .*Permission denied\nsignalled$/
  t.match(await said(), confined, 'nothing said')
  t.match(await said({ profileType: 'RuntimeDefault' }), confined)
  t.match(await said({ profileType: 'Localhost', localhostRef: 'knarr-default' }), confined)
  t.equal(await said({ profileType: 'Unconfined' }), 'unconfined\nmounted\nsignalled')
  await cri.removePodSandbox(podSandboxId)
  t.strictSame(await leftovers(s), [])
})
