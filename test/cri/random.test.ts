// Random sequences of making, starting, killing and removing, several at once, and then: nothing is left. Needs root.
// KNARR_SEQUENCES says how many (default 100); KNARR_SEED repeats a run.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Cri, CriError } from '../../src/cri/index.js'
import { hasErrno, type Random, randomInt, seededRandom, sleep, systemClock } from '../../src/lib/index.js'
import { IMAGE, leftovers, options, run, scene } from './scene.js'

const SEQUENCES = Number(process.env.KNARR_SEQUENCES ?? 100)
const SEED = Number(process.env.KNARR_SEED ?? 20_261_122)
const AT_ONCE = 4

const SCRIPTS = ['exec sleep 1000', 'exit 3', 'echo hello; sleep 0.02', 'sleep 500 & exit 0', 'kill -9 $$', 'trap "" TERM; sleep 1000']

/** Answers that a caller who does things in any order must expect. */
const expected = (error: unknown): boolean =>
  error instanceof CriError &&
  ['INVALID_ARGUMENT', 'NOT_FOUND', 'FAILED_PRECONDITION', 'ALREADY_EXISTS', 'UNKNOWN', 'DEADLINE_EXCEEDED'].includes(error.code)

const PATIENCE_MS = Number(process.env.KNARR_PATIENCE ?? 60_000)

async function tolerate(what: string, work: () => Promise<unknown>, surprises: string[]): Promise<void> {
  const done = new AbortController()
  const hung = sleep(systemClock, PATIENCE_MS, done.signal).then(
    () => surprises.push(`${what} did not end`),
    () => {},
  )
  try {
    await Promise.race([work(), hung])
  } catch (error) {
    if (!expected(error)) surprises.push(`${what}: ${error instanceof Error ? error.stack : String(error)}`)
  } finally {
    done.abort()
  }
}

t.setTimeout(600_000)

t.test('random sequences', { ...options, timeout: 600_000 }, async (t) => {
  const s = await scene()
  const { cri, close } = await s.open()
  t.teardown(async () => {
    close()
    await s.end()
  })
  const surprises: string[] = []

  const pidOf = async (on: Cri, id: string): Promise<number> =>
    JSON.parse((await on.containerStatus(id, { verbose: true })).info.info ?? '{}').pid ?? 0

  async function sequence(number: number, random: Random): Promise<void> {
    const config = s.pod(`p${number}`, random.next() < 0.2 ? { linux: { securityContext: { namespaceOptions: { network: 'NODE' } } } } : {})
    const pods: string[] = []
    const containers: string[] = []
    const pick = (from: readonly string[]): string => from[randomInt(random, from.length)] ?? 'none'
    const steps: readonly (() => Promise<unknown>)[] = [
      async () => pods.push((await cri.runPodSandbox({ config })).podSandboxId),
      async () => {
        const command = random.next() < 0.1 ? ['/no/such'] : ['sh', '-c', SCRIPTS[randomInt(random, SCRIPTS.length)] ?? '']
        const mounts = random.next() < 0.1 ? [{ hostPath: '/proc/none/x', containerPath: '/x' }] : []
        const made = await cri.createContainer({
          podSandboxId: pick(pods),
          sandboxConfig: config,
          config: {
            metadata: { name: `c${randomInt(random, 3)}` },
            image: { image: random.next() < 0.05 ? 'test.local/none:1' : IMAGE },
            command,
            mounts,
            logPath: 'c.log',
            stdin: random.next() < 0.2,
            tty: random.next() < 0.2,
            linux: { securityContext: { namespaceOptions: { pid: random.next() < 0.3 ? 'CONTAINER' : 'POD' } } },
          },
        })
        containers.push(made.containerId)
        if (random.next() < 0.8) await cri.startContainer(made.containerId)
      },
      () => cri.startContainer(pick(containers)),
      () => cri.stopContainer(pick(containers), random.next() < 0.5 ? 0 : 0.02),
      () => cri.removeContainer(pick(containers)),
      () => Promise.all([cri.removeContainer(pick(containers)), cri.removeContainer(pick(containers))]),
      () => cri.execSync(pick(containers), ['true'], 5),
      async () => {
        const pid = await pidOf(cri, pick(containers))
        if (pid > 1) kill(pid)
      },
      async () => {
        const info = (await cri.podSandboxStatus(pick(pods), { verbose: true })).info.info ?? '{}'
        const { pid = 0 } = JSON.parse(info) as { pid?: number }
        if (pid > 1) kill(pid)
      },
      () => cri.stopPodSandbox(pick(pods)),
      () => Promise.all([cri.stopPodSandbox(pick(pods)), cri.removePodSandbox(pick(pods))]),
    ]
    await tolerate(`sequence ${number}, run`, () => steps[0]?.() ?? Promise.resolve(), surprises)
    for (let i = 1 + randomInt(random, 5); i > 0; i--) {
      // Making containers is what gives the others something to do.
      const index = random.next() < 0.4 ? 1 : randomInt(random, steps.length)
      await tolerate(`sequence ${number}, step ${index}`, () => steps[index]?.() ?? Promise.resolve(), surprises)
    }
    for (const pod of pods) await tolerate(`sequence ${number}, last removal`, () => cri.removePodSandbox(pod), surprises)
  }

  t.test(`${SEQUENCES} sequences with seed ${SEED}`, { timeout: 600_000 }, async (t) => {
    let next = 0
    const worker = async (): Promise<void> => {
      while (next < SEQUENCES) {
        const number = next++
        await sequence(number, seededRandom(SEED + number))
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
    t.strictSame(surprises, [])
    t.strictSame(await cri.listPodSandbox(), [])
    t.strictSame(await cri.listContainers(), [])
    t.strictSame(await leftovers(s), [])
  })

  t.test('a network that fails, an exhausted range: a sentence, and nothing left', { timeout: 120_000 }, async (t) => {
    const path = join(s.dir, 'net.d', '10-test.conflist')
    const write = (plugins: readonly object[]): void =>
      writeFileSync(path, JSON.stringify({ cniVersion: '1.1.0', name: `net-${s.bridge}`, plugins }))
    const bridge = { type: 'bridge', bridge: `${s.bridge}x`, isGateway: true }
    const small = { type: 'host-local', dataDir: join(s.dir, 'ipam'), ranges: [[{ subnet: '10.215.1.0/30' }]] }
    write([{ ...bridge, ipam: { ...small, type: 'no-such-ipam' } }])
    await t.rejects(cri.runPodSandbox({ config: s.pod('x') }), /no-such-ipam/)
    write([{ ...bridge, ipam: small }, { type: 'no-such-plugin' }])
    await t.rejects(cri.runPodSandbox({ config: s.pod('x') }), /no-such-plugin/)
    t.strictSame(await leftovers(s), [])
    // A plugin that does not let go, until it does.
    const stuck = join(s.dir, 'stuck')
    writeFileSync(stuck, '')
    mkdirSync(join(s.dir, 'bin'))
    const refusal = `echo '{"code":999,"msg":"the switch does not answer"}'; exit 1`
    const script = `#!/bin/sh\n[ $CNI_COMMAND != DEL ] || [ ! -e ${stuck} ] || { ${refusal}; }\n[ $CNI_COMMAND != ADD ] || sed 's/.*"prevResult":\\(.*\\)}$/\\1/'\n`
    writeFileSync(join(s.dir, 'bin', 'stubborn'), script, { mode: 0o755 })
    write([{ ...bridge, ipam: small }, { type: 'stubborn' }])
    const held = s.pod('held')
    const { podSandboxId: pod } = await cri.runPodSandbox({ config: held })
    const container = await run(cri, pod, held, 'exec sleep 1000')
    for (const remove of [cri.stopPodSandbox, cri.removePodSandbox])
      await t.rejects(remove(pod), { message: /^stopping pod sandbox .*plugin stubborn: the switch does not answer$/ })
    t.match((await cri.containerStatus(container)).status, { state: 'CONTAINER_EXITED' })
    rmSync(stuck)
    await cri.removePodSandbox(pod)
    t.strictSame(await leftovers(s), [])

    write([{ ...bridge, ipam: small }])
    const { podSandboxId } = await cri.runPodSandbox({ config: s.pod('only') })
    await t.rejects(cri.runPodSandbox({ config: s.pod('y') }), /address|range|free/i)
    await cri.removePodSandbox(podSandboxId)
    const again = await cri.runPodSandbox({ config: s.pod('z') })
    await cri.removePodSandbox(again.podSandboxId)
    writeFileSync(path, '{')
    await t.rejects(cri.runPodSandbox({ config: s.pod('x') }), /10-test\.conflist/)
    t.match((await cri.status()).status.conditions[1], { type: 'NetworkReady', status: false })
    t.strictSame(await leftovers(s), [])
  })
})

/** It may have ended meanwhile. */
function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if (!hasErrno(error, 'ESRCH')) throw error
  }
}
