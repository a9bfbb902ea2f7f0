// Runs inside a network namespace as a pod, a node or a stranger. Orders come as lines of JSON, and each is answered with one.
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { connect, createServer, isIPv6, type Server } from 'node:net'
import { createInterface } from 'node:readline'

const [name = ''] = process.argv.slice(2)
const plain = (address = ''): string => address.replace(/^::ffff:(?=\d+\.)/, '')

/** Answers every connection and every packet with who we are and where it came from. */
interface Backend {
  readonly tcp: Server
  readonly udp: UdpSocket
}
const backends = new Map<number, Backend>()

async function listen({ port, as = name }: { readonly port: number; readonly as?: string }): Promise<string> {
  const tcp = createServer((socket) => {
    socket.on('error', () => {})
    socket.setTimeout(5000, () => socket.destroy())
    socket.end(`${as} ${plain(socket.remoteAddress)}`)
  })
  const udp = createSocket('udp6')
  udp.on('message', (_, from) => udp.send(`${as} ${plain(from.address)}`, from.port, from.address))
  await new Promise<void>((resolve, reject) => tcp.once('error', reject).listen(port, '::', 1024, resolve))
  await new Promise<void>((resolve, reject) => udp.once('error', reject).bind(port, '::', resolve))
  backends.set(port, { tcp, udp })
  return 'ok'
}

/** Stops listening; what was accepted is answered first. */
async function unlisten({ port }: { readonly port: number }): Promise<string> {
  const backend = backends.get(port)
  backends.delete(port)
  await new Promise((resolve) => backend?.tcp.close(resolve))
  backend?.udp.close()
  return 'ok'
}

interface Dial {
  readonly protocol: 'tcp' | 'udp'
  readonly ip: string
  readonly port: number
  readonly count?: number
  readonly timeoutMs?: number
  /** Port of ours to use. */
  readonly from?: number
}

const dialTcp = ({ ip, port, timeoutMs = 5000 }: Dial): Promise<string> =>
  new Promise((resolve) => {
    let said = ''
    const socket = connect({ host: ip, port })
    socket.setTimeout(timeoutMs, () => socket.destroy(Object.assign(new Error('timeout'), { code: 'TIMEOUT' })))
    socket.on('data', (chunk) => {
      said += chunk.toString()
    })
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'))
    socket.on('end', () => resolve(said))
  })
const dialUdp = ({ ip, port, timeoutMs = 5000, from }: Dial): Promise<string> =>
  new Promise((resolve) => {
    const socket = createSocket(isIPv6(ip) ? 'udp6' : 'udp4')
    const finish = (answer: string): void => {
      clearTimeout(timer)
      socket.close()
      resolve(answer)
    }
    const timer = setTimeout(() => finish('TIMEOUT'), timeoutMs)
    socket.on('message', (bytes) => finish(bytes.toString()))
    socket.on('error', (error: NodeJS.ErrnoException) => finish(error.code ?? 'error'))
    socket.bind(from ?? 0, () => socket.connect(port, ip, () => socket.send('?')))
  })
const dialOne = (dial: Dial): Promise<string> => (dial.protocol === 'tcp' ? dialTcp(dial) : dialUdp(dial))

/** How often each answer came. */
type Answers = Record<string, number>

async function dial(order: Dial): Promise<Answers> {
  const answers: Answers = {}
  for (let left = order.count ?? 1; left > 0; left -= 50)
    for (const answer of await Promise.all(Array.from({ length: Math.min(50, left) }, () => dialOne(order))))
      answers[answer] = (answers[answer] ?? 0) + 1
  return answers
}

/** Dials without a pause until told to stop. */
let load:
  | { stop: boolean; count: number; done: Promise<unknown>; onAnswer?: (() => void) | undefined; readonly answers: Answers }
  | undefined

async function startLoad(order: Dial): Promise<string> {
  const answers: Answers = {}
  const state: NonNullable<typeof load> = { stop: false, count: 0, answers, done: Promise.resolve() }
  const client = async (): Promise<void> => {
    while (!state.stop) {
      const answer = await dialOne(order)
      answers[answer] = (answers[answer] ?? 0) + 1
      state.count++
      state.onAnswer?.()
    }
  }
  state.done = Promise.all([client(), client(), client(), client()])
  load = state
  return 'ok'
}

/** Resolves when so many more answers came. */
async function underLoad({ more }: { readonly more: number }): Promise<string> {
  const state = load
  if (!state) throw new Error('no load')
  const enough = state.count + more
  await new Promise<void>((resolve) => {
    state.onAnswer = () => {
      if (state.count >= enough) resolve()
    }
  })
  state.onAnswer = undefined
  return 'ok'
}

async function stopLoad(): Promise<Answers> {
  if (!load) throw new Error('no load')
  load.stop = true
  await load.done
  return load.answers
}

async function get({ url }: { readonly url: string }): Promise<unknown> {
  const response = await fetch(url)
  return { status: response.status, headers: Object.fromEntries(response.headers), body: await response.text() }
}

// biome-ignore lint/suspicious/noExplicitAny: each order has its own shape, and only our own test gives orders
const orders: Readonly<Record<string, (order: any) => Promise<unknown>>> = { listen, unlisten, dial, startLoad, underLoad, stopLoad, get }
process.stdout.write('"ready"\n')
for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line) as { readonly do: string }
  const answer = await orders[order.do]?.(order).catch((error: unknown) => ({ error: String(error) }))
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
process.exit(0)
