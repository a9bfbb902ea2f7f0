// Exec, attach and port-forward into pods on the real kernel. Needs root.
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import type { Cri, PodSandboxConfig } from '../../src/cri/index.js'
import { contents, exited, options, run, scene, until } from './scene.js'

const out = (bytes: Uint8Array): string => Buffer.from(bytes).toString()

t.setTimeout(300_000)

t.test('streams', options, async (t) => {
  const s = await scene()
  let daemon = await s.open()
  const cri = (): Cri => daemon.cri
  t.teardown(async () => {
    daemon.close()
    await s.end()
  })
  const config: PodSandboxConfig = s.pod('streams')
  const { podSandboxId } = await cri().runPodSandbox({ config })
  const main = await run(cri(), podSandboxId, config, 'exec sleep 1000', { envs: [{ key: 'COLOUR', value: 'blue' }] })

  t.test('execSync: output, exit code, environment, failures', { timeout: 120_000 }, async (t) => {
    const result = await cri().execSync(main, ['sh', '-c', 'echo out $COLOUR $FROM; echo err >&2; exit 7'])
    t.match(
      { ...result, stdout: out(result.stdout), stderr: out(result.stderr) },
      { exitCode: 7, stdout: 'out blue image\n', stderr: 'err\n' },
    )
    await t.rejects(cri().execSync(main, ['/no/such/program']), /no such file/)
    await t.rejects(cri().execSync(main, ['sleep', '100'], 1), { code: 'DEADLINE_EXCEEDED' })
    await t.rejects(cri().execSync('nobody', ['true']), { code: 'NOT_FOUND' })
    const big = await cri().execSync(main, ['sh', '-c', 'dd if=/dev/zero bs=1024 count=3000 2>/dev/null'])
    t.equal(big.stdout.length, 3_072_000)
  })

  t.test('a process that was given up is killed', { timeout: 120_000 }, async (t) => {
    const { stdout } = await cri().execSync(main, ['ps', '-o', 'args'])
    t.notMatch(out(stdout), /sleep 100\n/)
  })

  t.test('exec with streams: input reaches the process, its end too', { timeout: 120_000 }, async (t) => {
    const session = await cri().exec({
      containerId: main,
      cmd: ['sh', '-c', 'cat; echo done >&2; exit 4'],
      stdin: true,
      stdout: true,
      stderr: true,
    })
    if (!session.stdin || !session.stdout || !session.stderr) throw new Error('a stream is missing')
    const [stdout, stderr] = [text(session.stdout), text(session.stderr)]
    session.stdin.write('one\n')
    session.stdin.end('two\n')
    t.strictSame(await session.exit, { exitCode: 4 })
    t.equal(await stdout, 'one\ntwo\n')
    t.equal(await stderr, 'done\n')
    session.close()
  })

  t.test('exec with a terminal: one output, a size that can change', { timeout: 120_000 }, async (t) => {
    const session = await cri().exec({
      containerId: main,
      cmd: ['sh', '-c', 'tty; read x; stty size; exit 3'],
      tty: true,
      stdin: true,
      stdout: true,
    })
    if (!session.stdin || !session.stdout) throw new Error('a stream is missing')
    t.notOk(session.stderr)
    let seen = ''
    session.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      seen += chunk
    })
    const ended = once(session.stdout, 'end')
    await until(async () => seen.includes('/dev/pts/') || undefined)
    session.resize({ width: 123, height: 45 })
    session.stdin.write('\n')
    t.strictSame(await session.exit, { exitCode: 3 })
    await ended
    t.match(seen, /45 123/)
    session.close()
  })

  t.test('closing a session kills its process', { timeout: 120_000 }, async (t) => {
    const session = await cri().exec({ containerId: main, cmd: ['sleep', '777'], stdout: true })
    session.close()
    t.strictSame(await session.exit, { exitCode: 137 })
  })

  t.test('attach: output from now on, input, end of input with stdinOnce', { timeout: 120_000 }, async (t) => {
    const id = await run(cri(), podSandboxId, config, 'echo before; while read line; do echo "got $line"; done; echo end', {
      metadata: { name: 'once' },
      stdin: true,
      stdinOnce: true,
    })
    await until(async () => contents(s.dir, 'streams', 'once/0.log').includes('before') || undefined)
    const session = await cri().attach({ containerId: id, stdin: true, stdout: true, stderr: true })
    if (!session.stdin || !session.stdout) throw new Error('a stream is missing')
    const stdout = text(session.stdout)
    session.stdin.end('a\nb\n')
    await session.done
    t.equal(await stdout, 'got a\ngot b\nend\n')
    t.match(await exited(cri(), id), { exitCode: 0 })
    t.strictSame(contents(s.dir, 'streams', 'once/0.log'), ['before', 'got a', 'got b', 'end'])
  })

  t.test('input stays open over sessions and over the death of the daemon without stdinOnce', { timeout: 120_000 }, async (t) => {
    const id = await run(cri(), podSandboxId, config, 'while read line; do echo "got $line"; done; echo end', {
      metadata: { name: 'long' },
      stdin: true,
    })
    const first = await cri().attach({ containerId: id, stdin: true, stdout: true })
    first.stdin?.end('a\n')
    await until(async () => contents(s.dir, 'streams', 'long/0.log').includes('got a') || undefined)
    first.close()
    daemon.close()
    daemon = await s.open()
    const second = await cri().attach({ containerId: id, stdin: true, stdout: true })
    second.stdin?.end('b\n')
    await until(async () => contents(s.dir, 'streams', 'long/0.log').includes('got b') || undefined)
    second.close()
    t.equal((await cri().containerStatus(id)).status.state, 'CONTAINER_RUNNING')
    await cri().removeContainer(id)
    t.notOk(
      readdirSync('/proc').some((pid) => /^\d+$/.test(pid) && commandOf(pid).startsWith(`knarr-stdin\0${id}`)),
      'nobody keeps its input any more',
    )
  })

  t.test('a container with a terminal: log, attach, resize', { timeout: 120_000 }, async (t) => {
    const id = await run(cri(), podSandboxId, config, 'echo ready; read x; stty size; echo "x=$x"', {
      metadata: { name: 'tty' },
      tty: true,
      stdin: true,
    })
    const session = await cri().attach({ containerId: id, tty: true, stdin: true, stdout: true })
    t.notOk(session.stderr)
    session.resize({ width: 91, height: 17 })
    const stdout = session.stdout ? text(session.stdout) : Promise.resolve('')
    session.stdin?.write('word\n')
    await session.done
    t.match(await stdout, /x=word/)
    t.match(await exited(cri(), id), { exitCode: 0 })
    const log = contents(s.dir, 'streams', 'tty/0.log').join('\n')
    t.match(log, /ready\r\n/)
    t.match(log, /17 91\r\nx=word\r/)
  })

  t.test('port-forward reaches what listens on the loopback of the pod', { timeout: 120_000 }, async (t) => {
    const id = await run(cri(), podSandboxId, config, 'exec nc -ll -p 8080 -e cat', { metadata: { name: 'server' } })
    const connection = await until(() =>
      cri()
        .portForward(podSandboxId, 8080)
        .catch(() => undefined),
    )
    const echoed = text(connection)
    connection.end('hello pod')
    t.equal(await echoed, 'hello pod')
    connection.destroy()
    await t.rejects(cri().portForward(podSandboxId, 8081), /ECONNREFUSED/)
    const host: Server = createServer().listen(0, '127.0.0.1')
    await once(host, 'listening')
    const address = host.address()
    const port = typeof address === 'object' && address ? address.port : 0
    await t.rejects(cri().portForward(podSandboxId, port), /ECONNREFUSED/, 'not to the host')
    host.close()
    await cri().removeContainer(id)
  })
})

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}
