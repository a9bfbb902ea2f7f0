// Runs inside a pod's network namespace: answers every TCP connection and UDP packet on the port with its name and the peer's address.
import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'

const [name = '', port = ''] = process.argv.slice(2)
createServer((socket) => {
  socket.on('error', () => {})
  socket.end(`${name} ${socket.remoteAddress?.replace('::ffff:', '')}`)
}).listen(Number(port), '0.0.0.0', () => {
  const udp = createSocket('udp4')
  udp.on('message', (_, from) => udp.send(`${name} ${from.address}`, from.port, from.address))
  udp.bind(Number(port), '0.0.0.0', () => process.stdout.write('ready\n'))
})
