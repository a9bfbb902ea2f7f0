// Runs inside a network namespace: dials so many times, and prints how often each answer came.
import { createSocket } from 'node:dgram'
import { connect } from 'node:net'

const [protocol = '', ip = '', port = '', count = '1'] = process.argv.slice(2)

const tcp = (): Promise<string> =>
  new Promise((resolve) => {
    let said = ''
    const socket = connect({ host: ip, port: Number(port) })
    socket.setTimeout(3000, () => socket.destroy(Object.assign(new Error('timeout'), { code: 'TIMEOUT' })))
    socket.on('data', (chunk) => {
      said += chunk.toString()
    })
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'))
    socket.on('end', () => resolve(said))
  })
const udp = (): Promise<string> =>
  new Promise((resolve) => {
    const socket = createSocket('udp4')
    const finish = (answer: string): void => {
      clearTimeout(timer)
      socket.close()
      resolve(answer)
    }
    const timer = setTimeout(() => finish('TIMEOUT'), 2000)
    socket.on('message', (bytes) => finish(bytes.toString()))
    socket.on('error', (error: NodeJS.ErrnoException) => finish(error.code ?? 'error'))
    socket.connect(Number(port), ip, () => socket.send('?'))
  })

const answers: Record<string, number> = {}
const dial = protocol === 'tcp' ? tcp : udp
for (let left = Number(count); left > 0; left -= 20) {
  for (const answer of await Promise.all(Array.from({ length: Math.min(20, left) }, dial))) answers[answer] = (answers[answer] ?? 0) + 1
}
process.stdout.write(JSON.stringify(answers))
