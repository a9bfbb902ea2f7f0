// Seccomp filters that ask a supervisor: the listener arrives with the state of whose it is, and its answers count. Needs root.
import { closeSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Linux } from '../../src/runtime/index.js'
import { addressOf, checked, rawSyscall, sysNumber, watchReadable } from '../../src/sys/index.js'
import { leftovers, type Scene, scene, skip } from './scene.js'

const EROFS = 30
const NOTIF_RECV = 0xc0502100
const NOTIF_SEND = 0xc0182101
const ACCEPT4 = process.arch === 'arm64' ? 242 : 288

interface Asked {
  readonly record: {
    readonly fds: readonly string[]
    readonly pid: number
    readonly metadata: string
    readonly state: Record<string, unknown>
  }
  calls: number
}

/** Takes listeners at `path` and refuses every call that it is asked about with EROFS. */
function supervisor(path: string): { readonly next: () => Promise<Asked>; close(): void } {
  const name = Buffer.from(`\x01\0${path}\0`)
  const server = checked('socket', path, sysNumber('socket'), 1, 1, 0)
  checked('bind', path, sysNumber('bind'), server, name, name.length)
  checked('listen', path, sysNumber('listen'), server, 8)
  const asked = queue<Asked>()
  const stops: (() => void)[] = []
  const watch = (fd: number, ready: () => void): void => {
    const { stop } = watchReadable(fd, ready)
    stops.push(() => {
      stop()
      closeSync(fd)
    })
  }
  watch(server, () => {
    const socket = checked('accept4', path, ACCEPT4, server, 0, 0, 0)
    const { text, fd } = receive(socket)
    closeSync(socket)
    const one: Asked = { record: JSON.parse(text) as Asked['record'], calls: 0 }
    asked.put(one)
    watch(fd, () => {
      const question = Buffer.alloc(80)
      // It may have been killed meanwhile, and the last one that is gone makes the descriptor readable for ever.
      if (rawSyscall(sysNumber('ioctl'), fd, NOTIF_RECV, question) < 0) return
      one.calls++
      const answer = Buffer.alloc(24)
      question.copy(answer, 0, 0, 8)
      answer.writeInt32LE(-EROFS, 16)
      checked('ioctl', 'answer', sysNumber('ioctl'), fd, NOTIF_SEND, answer)
    })
  })
  const close = (): void => {
    for (const stop of stops) stop()
  }
  return { next: asked.take, close }
}

/** What is put is taken in its order, now or when it comes. */
function queue<T>(): { put(item: T): void; take(): Promise<T> } {
  const items: T[] = []
  const waiting: ((item: T) => void)[] = []
  return {
    put: (item) => {
      const taker = waiting.shift()
      if (taker) taker(item)
      else items.push(item)
    },
    take: () => new Promise((resolve) => (items.length > 0 ? resolve(items.shift() as T) : waiting.push(resolve))),
  }
}

/** One message with one descriptor. */
function receive(socket: number): { readonly text: string; readonly fd: number } {
  const [data, control, vector, header] = [Buffer.alloc(1 << 16), Buffer.alloc(64), Buffer.alloc(16), Buffer.alloc(56)]
  vector.writeBigUInt64LE(addressOf(data), 0)
  vector.writeBigUInt64LE(BigInt(data.length), 8)
  header.writeBigUInt64LE(addressOf(vector), 16)
  header.writeBigUInt64LE(1n, 24)
  header.writeBigUInt64LE(addressOf(control), 32)
  header.writeBigUInt64LE(BigInt(control.length), 40)
  const length = checked('recvmsg', '', sysNumber('recvmsg'), socket, header, 0)
  return { text: data.toString('utf8', 0, length), fd: control.readInt32LE(16) }
}

const asking = (listenerPath: string): Partial<Linux> => ({
  seccomp: {
    defaultAction: 'SCMP_ACT_ALLOW',
    listenerPath,
    listenerMetadata: 'note',
    syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_NOTIFY' }],
  },
})

const forEach = async (values: readonly boolean[], work: (value: boolean) => Promise<void>): Promise<void> => {
  for (const value of values) await work(value)
}

t.test('a supervisor answers for the first process and for others', { skip }, async (t) => {
  const s: Scene = scene(t)
  const path = join(s.folder, 'agent.sock')
  const agent = supervisor(path)
  t.teardown(() => agent.close())
  await forEach([false, true], async (noNewPrivileges) => {
    const id = `asks-${String(noNewPrivileges)}`
    const spec = s.spec(['sh', '-c', 'mkdir /tmp/x 2>&1; ls -l /proc/self/fd | wc -l; sleep 1000'], {
      process: { noNewPrivileges },
      linux: asking(path),
      spec: { root: { path: 'rootfs' } },
    })
    const out = s.output()
    const { pid } = await s.runtime.create({ id, bundle: s.bundle, spec, stdio: out.stdio })
    const first = await agent.next()
    t.match(first.record, { fds: ['seccompFd'], pid, metadata: 'note', state: { id, status: 'creating', pid, bundle: s.bundle } })
    await s.runtime.start(id)
    const inside = s.output()
    const started = await s.runtime.exec(id, {
      process: { ...spec.process, cwd: '/', args: ['sh', '-c', 'mkdir /tmp/y; readlink /proc/self/fd/*'] },
      stdio: inside.stdio,
    })
    await started.wait()
    t.match(inside.text(), /mkdir: .*Read-only file system/)
    t.notMatch(inside.text(), /seccomp/, 'the listener is not left in the process')
    t.match((await agent.next()).record, { pid: started.pid, state: { id, status: 'running', pid } })
    t.match(out.text(), /mkdir: .*Read-only file system/)
    t.ok(first.calls > 0)
    await s.runtime.delete(id, { force: true })
  })
  t.same(await leftovers(s), [])
})

t.test('nobody to ask', { skip }, async (t) => {
  const s = scene(t)
  const path = join(s.folder, 'nobody.sock')
  const spec = s.spec(['true'], { linux: asking(path) })
  await t.rejects(s.runtime.create({ id: 'a', bundle: s.bundle, spec }), { message: `failed to connect with seccomp agent ${path}` })
  await t.rejects(s.runtime.create({ id: 'a', bundle: s.bundle, spec: s.spec(['true'], { linux: asking('') }) }), {
    message: /seccomp\.listenerPath: want the socket of a supervisor/,
  })
  t.same(await leftovers(s), [])
})
