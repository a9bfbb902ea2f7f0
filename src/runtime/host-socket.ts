// A TCP connection from within another network namespace: only the socket is made there, everything else happens here.
import { closeSync } from 'node:fs'
import { Socket } from 'node:net'
import { ERRNO, SysError } from '../lib/index.js'
import { checked, inNetworkNamespace, onWritable, rawSyscall, sysNumber } from '../sys/index.js'

const AF_INET = 2
const AF_INET6 = 10
const SOCK_STREAM = 1
const SOCK_FLAGS = 0o2004000
const SOL_SOCKET = 1
const SO_ERROR = 4
const GETSOCKOPT = process.arch === 'arm64' ? 209 : 55

function loopback(family: 4 | 6, port: number): Buffer {
  const address = Buffer.alloc(family === 4 ? 16 : 28)
  address.writeUInt16LE(family === 4 ? AF_INET : AF_INET6, 0)
  address.writeUInt16BE(port, 2)
  if (family === 4) address.set([127, 0, 0, 1], 4)
  else address[23] = 1
  return address
}

function socketError(fd: number): number {
  const value = Buffer.alloc(4)
  const length = Buffer.from([4, 0, 0, 0])
  checked('getsockopt', '', GETSOCKOPT, fd, SOL_SOCKET, SO_ERROR, value, length)
  return value.readInt32LE(0)
}

/** Connects to `port` on the loopback of the namespace at `path` (of our own without one). The caller destroys the socket. */
export async function connectLoopback(path: string | undefined, port: number, family: 4 | 6 = 4): Promise<Socket> {
  const subject = `${family === 4 ? '127.0.0.1' : '[::1]'}:${port}`
  const make = (): number => checked('socket', subject, sysNumber('socket'), family === 4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_FLAGS, 0)
  const fd = path === undefined ? make() : inNetworkNamespace(path, make)
  try {
    const address = loopback(family, port)
    const result = rawSyscall(sysNumber('connect'), fd, address, address.length)
    if (result < 0 && result !== -ERRNO.EINPROGRESS) throw new SysError('connect', -result, subject)
    if (result < 0) {
      await new Promise<void>((resolve) => {
        const stop = onWritable(fd, () => {
          stop()
          resolve()
        })
      })
      const errno = socketError(fd)
      if (errno !== 0) throw new SysError('connect', errno, subject)
    }
  } catch (error) {
    closeSync(fd)
    throw error
  }
  return new Socket({ fd, readable: true, writable: true, allowHalfOpen: true })
}
