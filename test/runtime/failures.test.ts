// Every step of a container's program made to fail in turn: nothing may stay behind. Needs root.
import { closeSync } from 'node:fs'
import t, { type Test } from 'tap'
import { limiter } from '../../src/lib/index.js'
import { createContainer, planContainer } from '../../src/runtime/create.js'
import type { Linux, MountSpec, Spec } from '../../src/runtime/index.js'
import { containerProgram } from '../../src/runtime/plan/container.js'
import { type Launched, type program, reap } from '../../src/sys/index.js'
import { leftovers, scene, skip } from './scene.js'

/** The program with one step replaced by a call that cannot succeed. */
function sabotage(planned: program.Program, index: number): { readonly program: program.Program; readonly name: string | undefined } {
  let at = 0
  let name: string | undefined
  const blocks = planned.blocks.map((block) => ({
    ...block,
    steps: block.steps.map((step) => {
      const mine = step.call !== 'value' && step.call !== 'exit_group' && step.call !== 'end' && block.label !== 'fail' && at++ === index
      if (!mine) return step
      name = step.name
      return { ...step, call: 'close' as const, args: [-1], onZero: undefined, onError: step.onError === 'ignore' ? 'fail' : step.onError }
    }),
  }))
  return { program: { ...planned, blocks }, name }
}

t.setTimeout(560_000)

const everyStep = async (t: Test, linux: (base: Spec) => Partial<Linux>): Promise<void> => {
  const s = scene(t)
  const base = s.spec(['sleep', '1000'])
  const bind: MountSpec = { destination: '/tmp', type: 'bind', source: '/tmp', options: ['rbind', 'rro'] }
  const wanted = (index: number): Spec => ({
    ...base,
    mounts: [...(base.mounts ?? []), bind],
    linux: { ...base.linux, cgroupsPath: `${s.cgroups}/victim-${index}`, ...linux(base) },
  })
  const plan = planContainer(wanted(0), { id: 'victim', bundle: s.bundle }, s.runtime.context())
  const whole = containerProgram(plan.spec, plan.facts)
  const names: string[] = []
  for (let index = 0; ; index++) {
    const { name } = sabotage(whole, index)
    if (name === undefined) break
    names.push(name)
  }
  let refused = 0
  const attempt = async (index: number, name: string): Promise<void> => {
    const id = `victim-${index}`
    const edit = (planned: program.Program): program.Program => sabotage(planned, index).program
    let launched: Launched
    try {
      const created = await createContainer({ id, bundle: s.bundle, spec: wanted(index) }, { ...s.runtime.context(), edit })
      created.report.close()
      launched = created.launched
    } catch (error) {
      refused++
      const { message } = error as Error
      if (!message.replaceAll(id, 'victim-0').includes(name)) t.fail(`step ${index}: "${message}" does not name "${name}"`)
      return
    }
    // Steps behind the start, and detours that are not taken, let it be made.
    await s.runtime.delete(id, { force: true })
    reap(launched.pid)
    closeSync(launched.pidfd)
  }
  const limit = limiter(8)
  // Two of a kind are enough.
  const seen = new Map<string, number>()
  const chosen = [...names.entries()].filter(([, name]) => {
    const kind = /^(signal|drop) /.exec(name)?.[0] ?? name
    seen.set(kind, (seen.get(kind) ?? 0) + 1)
    return (seen.get(kind) ?? 0) <= 2
  })
  await Promise.all(chosen.map(([index, name]) => limit(() => attempt(index, name))))
  t.same(await leftovers(s), [])
  t.ok(chosen.length > 100, `${chosen.length} of ${names.length} steps, ${refused} refused`)
  t.ok(refused > 90, String(refused))
}

t.test('a failure at any step leaves nothing', { skip, timeout: 280_000 }, (t) =>
  everyStep(t, () => ({ resources: { pids: { limit: 50 } }, sysctl: { 'net.ipv4.ip_unprivileged_port_start': '0' } })),
)

t.test('a failure at any step leaves nothing, with a user namespace', { skip, timeout: 280_000 }, (t) => {
  const maps = [{ containerID: 0, hostID: 100_000, size: 65_536 }]
  return everyStep(t, ({ linux }) => ({
    namespaces: [...(linux?.namespaces ?? []), { type: 'user' }],
    uidMappings: maps,
    gidMappings: maps,
  }))
})

t.test('what fails before the program leaves nothing either', { skip }, async (t) => {
  const s = scene(t)
  const cases: readonly (readonly [Parameters<typeof s.spec>[1], RegExp])[] = [
    [{ spec: { root: { path: 'nowhere' } } }, /root\.path: no such folder/],
    [{ spec: { mounts: [{ destination: '/x', type: 'bind', source: '/does/not/exist', options: ['bind'] }] } }, /mounts\[0\]\.source/],
    [
      { spec: { mounts: [{ destination: '/x', type: 'nofilesystem', source: 'x' }] } },
      /mount \/x: open file system nofilesystem: fsopen: ENODEV/,
    ],
    [
      { spec: { mounts: [{ destination: '/x', type: 'tmpfs', source: 'x', options: ['nonsense=1'] }] } },
      /mount \/x: option nonsense=1: fsconfig: EINVAL/,
    ],
    [{ linux: { resources: { unified: { 'nonsense.max': '1' } } } }, /unified/],
    [{ linux: { resources: { memory: { limit: 64 << 20 }, cpu: { cpus: '999' } } } }, /cpuset/],
    [
      { linux: { namespaces: [{ type: 'mount' }, { type: 'network', path: '/does/not/exist' }] }, spec: { hostname: '' } },
      /network namespace: open \/does\/not\/exist: openat: ENOENT/,
    ],
    [{ process: { cwd: '/nowhere' } }, /working folder \/nowhere: openat2: ENOENT/],
    [{ linux: { seccomp: { defaultAction: 'SCMP_ACT_NONSENSE' } } }, /linux\.seccomp\.defaultAction: want one of/],
  ]
  for (const [changes, message] of cases) {
    await t.rejects(s.runtime.create({ id: 'victim', bundle: s.bundle, spec: s.spec(['true'], changes) }), { message })
  }
  t.same(await leftovers(s), [])
})
