// Tracked connections: listing them, and deleting those whose translation is out of date (linux/netfilter/nfnetlink_conntrack.h).
import { hasErrno } from '../../lib/index.js'
import { formatIp, type IpFamily } from '../netlink/ip.js'
import { Attributes, type MessageWriter } from '../netlink/message.js'
import { NETLINK_NETFILTER, NetlinkSocket } from '../netlink/socket.js'

const SUBSYSTEM = 1 << 8
const GET = SUBSYSTEM | 1
const DELETE = SUBSYSTEM | 2

const TUPLE_ORIGINAL = 1
const TUPLE_REPLY = 2
const STATUS = 3
const MARK = 8
const ID = 12

/** One direction of a connection. */
export interface Flow {
  readonly source: string
  readonly destination: string
  readonly sourcePort: number
  readonly destinationPort: number
}

export interface Connection {
  readonly family: IpFamily
  /** Number of the protocol: 6 TCP, 17 UDP, 132 SCTP. */
  readonly protocol: number
  readonly original: Flow
  /** As answers come; its source is where the packets really went. */
  readonly reply: Flow
  readonly mark: number
  readonly status: number
}

interface Listed extends Connection {
  /** The original tuple and the id as they came, to name the entry in a deletion. */
  readonly tuple: Buffer
  readonly id: Buffer | undefined
}

export interface ConntrackOptions {
  readonly namespace?: string | undefined
}

const header = (family: IpFamily): Buffer => Buffer.from([family === 4 ? 2 : 10, 0, 0, 0])

function flowOf(tuple: Attributes): Flow & { readonly protocol: number } {
  const ip = tuple.nested(1)
  const protocol = tuple.nested(2)
  return {
    source: formatIp(ip.bytes(1) ?? ip.bytes(3) ?? Buffer.alloc(4)),
    destination: formatIp(ip.bytes(2) ?? ip.bytes(4) ?? Buffer.alloc(4)),
    sourcePort: protocol.be16(2) ?? 0,
    destinationPort: protocol.be16(3) ?? 0,
    protocol: protocol.u8(1) ?? 0,
  }
}

export class Conntrack {
  private readonly socket: NetlinkSocket

  constructor(options: ConntrackOptions = {}) {
    this.socket = new NetlinkSocket(NETLINK_NETFILTER, options)
  }

  close(): void {
    this.socket.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  list(family: IpFamily): readonly Connection[] {
    return this.entries(family).map(({ tuple: _, id: __, ...connection }) => connection)
  }

  private entries(family: IpFamily): readonly Listed[] {
    const messages = this.socket.dump(GET, { call: 'list', subject: 'connections' }, (w) => w.raw(header(family)))
    return messages.map(({ payload }) => {
      const attributes = new Attributes(payload.subarray(4))
      const { protocol, ...original } = flowOf(attributes.nested(TUPLE_ORIGINAL))
      const { protocol: _, ...reply } = flowOf(attributes.nested(TUPLE_REPLY))
      return {
        family,
        protocol,
        original,
        reply,
        mark: attributes.be32(MARK) ?? 0,
        status: attributes.be32(STATUS) ?? 0,
        tuple: attributes.bytes(TUPLE_ORIGINAL) ?? Buffer.alloc(0),
        id: attributes.bytes(ID),
      }
    })
  }

  /** Deletes the connections that fit; how many they were. One that ended meanwhile is not counted. */
  delete(family: IpFamily, fits: (connection: Connection) => boolean): number {
    return this.entries(family).filter((entry) => fits(entry) && this.deleteOne(entry)).length
  }

  private deleteOne({ family, tuple, id, original }: Listed): boolean {
    const NESTED = 0x8000
    try {
      this.socket.request(DELETE, 0, { call: 'delete connection to', subject: original.destination }, (w: MessageWriter) => {
        w.raw(header(family)).bytes(TUPLE_ORIGINAL | NESTED, tuple)
        // The id keeps a new connection with the same addresses alive.
        if (id) w.bytes(ID, id)
      })
      return true
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return false
      throw error
    }
  }
}

export function withConntrack<T>(namespace: string | undefined, work: (conntrack: Conntrack) => T): T {
  const conntrack = new Conntrack({ namespace })
  try {
    return work(conntrack)
  } finally {
    conntrack.close()
  }
}
