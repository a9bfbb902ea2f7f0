// A netlink socket: requests with their answers, dumps, batches, notifications. Opened in any network namespace, used from anywhere.
import { closeSync, write } from 'node:fs'
import { ERRNO, SysError } from '../../lib/index.js'
import { onReadable } from '../libc/libc.js'
import { bind, receive, send, setSocketOption, socket } from '../native.js'
import {
  Attributes,
  MessageWriter,
  type NetlinkMessage,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  parseMessages,
} from './message.js'
import { inNetworkNamespace } from './namespace.js'

export const NETLINK_ROUTE = 0
export const NETLINK_NETFILTER = 12

const AF_NETLINK = 16
const SOCK_RAW = 3
const SOL_SOCKET = 1
const SO_RCVBUFFORCE = 33
const SO_SNDBUFFORCE = 32
const SOL_NETLINK = 270
const NETLINK_ADD_MEMBERSHIP = 1
const NETLINK_CAP_ACK = 10
const NETLINK_EXT_ACK = 11
const NETLINK_GET_STRICT_CHK = 12
const MSG_DONTWAIT = 0x40

/** A refusal of the kernel, with the sentence it gave (extended acknowledgement), if any. */
export class NetlinkError extends SysError {
  readonly detail: string | undefined
  /** Which message of a batch was refused. */
  readonly sequence: number

  constructor(call: string, errno: number, subject: string, detail: string | undefined, sequence: number) {
    super(call, errno, subject)
    this.name = 'NetlinkError'
    this.detail = detail
    this.sequence = sequence
    if (detail) this.message += ` (${detail.replace(/\.$/, '')})`
  }
}

export interface NetlinkOptions {
  /** Path of a network namespace (`/proc/PID/ns/net`, `/run/netns/x`); absent: our own. */
  readonly namespace?: string | undefined
  /** Multicast groups to hear. */
  readonly groups?: readonly number[]
}

/** What to say when it fails: `add link`, `veth0`. */
export interface RequestWords {
  readonly call: string
  readonly subject: string
}

/** One buffer for all: requests are synchronous, so only one answer is read at a time. A dump message is at most 32 KiB, big ones are asked for in one piece. */
const inbox = Buffer.allocUnsafeSlow(1 << 18)

export class NetlinkSocket {
  private readonly fd: number
  private readonly writer = new MessageWriter()
  private sequence = 1
  private closed = false

  constructor(protocol: number, options: NetlinkOptions = {}) {
    const open = (): number => {
      const fd = socket(AF_NETLINK, SOCK_RAW, protocol)
      try {
        const address = Buffer.alloc(12)
        address.writeUInt16LE(AF_NETLINK, 0)
        bind(fd, address, 'netlink socket')
        setSocketOption(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1)
        setSocketOption(fd, SOL_NETLINK, NETLINK_CAP_ACK, 1)
        if (protocol === NETLINK_ROUTE) setSocketOption(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
        for (const group of options.groups ?? []) setSocketOption(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
        setSocketOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        return fd
      } catch (error) {
        closeSync(fd)
        throw error
      }
    }
    this.fd = options.namespace === undefined ? open() : inNetworkNamespace(options.namespace, open)
  }

  close(): void {
    if (this.closed) return
    this.closed = true
    closeSync(this.fd)
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /** Sends one request and waits for its acknowledgement; returns the messages that came before it. */
  request(type: number, flags: number, words: RequestWords, fill: (writer: MessageWriter) => void): readonly NetlinkMessage[] {
    const sequence = this.write(type, NLM_F_REQUEST | NLM_F_ACK | flags, fill)
    return this.answers(sequence, words).messages
  }

  /** All objects of a kind. Asked again when they changed while being listed. */
  dump(type: number, words: RequestWords, fill: (writer: MessageWriter) => void): readonly NetlinkMessage[] {
    for (let attempt = 0; ; attempt++) {
      const sequence = this.write(type, NLM_F_REQUEST | NLM_F_DUMP, fill)
      const { messages, interrupted } = this.answers(sequence, words)
      if (!interrupted || attempt === 10) return messages
    }
  }

  /**
   * As request, but the kernel's work is done on another thread: for requests that take it long (taking a link away
   * waits for every processor). A netlink socket takes write(2) as it takes send(2). Nothing else may use the socket meanwhile.
   */
  async requestSlowly(type: number, words: RequestWords, fill: (writer: MessageWriter) => void): Promise<readonly NetlinkMessage[]> {
    const sequence = this.nextSequence()
    const writer = new MessageWriter(256).begin(type, NLM_F_REQUEST | NLM_F_ACK, sequence)
    fill(writer)
    const bytes = writer.end().done()
    await new Promise<void>((resolve, reject) => {
      write(this.fd, bytes, (error) => (error ? reject(error) : resolve()))
    })
    return this.answers(sequence, words).messages
  }

  private write(type: number, flags: number, fill: (writer: MessageWriter) => void): number {
    const sequence = this.nextSequence()
    this.writer.reset()
    this.writer.begin(type, flags, sequence)
    fill(this.writer)
    send(this.fd, this.writer.end().done())
    return sequence
  }

  private nextSequence(): number {
    this.sequence = (this.sequence + 1) >>> 0 || 1
    return this.sequence
  }

  private answers(sequence: number, words: RequestWords): { messages: NetlinkMessage[]; interrupted: boolean } {
    const messages: NetlinkMessage[] = []
    let interrupted = false
    for (;;) {
      const length = receive(this.fd, inbox)
      if (length === undefined) continue
      // A copy: the messages outlive the next receive.
      for (const message of parseMessages(Buffer.from(inbox.subarray(0, length)))) {
        if (message.sequence !== sequence) continue
        if (message.flags & NLM_F_DUMP_INTR) interrupted = true
        if (message.type === NLMSG_DONE) {
          const errno = message.payload.length >= 4 ? -message.payload.readInt32LE(0) : 0
          if (errno > 0) throw failure(message, words)
          return { messages, interrupted }
        }
        if (message.type === NLMSG_ERROR) {
          if (message.payload.readInt32LE(0) !== 0) throw failure(message, words)
          return { messages, interrupted }
        }
        messages.push(message)
      }
    }
  }

  /** First number of a run of `count` messages that the caller numbers by itself in a batch. */
  takeSequences(count: number): number {
    const first = this.sequence + 1
    this.sequence += count
    return first
  }

  /** Sends messages written by the caller, whose last one asks for an acknowledgement; throws the first refusal. */
  sendBatch(bytes: Buffer, first: number, last: number, words: (sequence: number) => RequestWords): void {
    setSocketOption(this.fd, SOL_SOCKET, SO_SNDBUFFORCE, Math.max(bytes.length * 2, 1 << 20))
    send(this.fd, bytes)
    let refused: NetlinkError | undefined
    for (;;) {
      // After a refusal the kernel may say more, or nothing: take what is there.
      const length = receive(this.fd, inbox, refused ? MSG_DONTWAIT : 0)
      if (length === undefined) {
        if (refused) throw refused
        continue
      }
      for (const message of parseMessages(inbox.subarray(0, length))) {
        if (message.type !== NLMSG_ERROR || message.sequence < first || message.sequence > last) continue
        if (message.payload.readInt32LE(0) !== 0) refused ??= failure(message, words(message.sequence))
        else if (message.sequence === last && !refused) return
      }
    }
  }

  /** Hears notifications until the returned function is called. `lost` is told when the kernel dropped some: list everything again then. */
  listen(heard: (message: NetlinkMessage) => void, lost: () => void): () => void {
    const stop = onReadable(this.fd, () => {
      for (;;) {
        let length: number | undefined
        try {
          length = receive(this.fd, inbox, MSG_DONTWAIT)
        } catch (error) {
          if (!(error instanceof SysError) || error.errno !== ERRNO.ENOBUFS) throw error
          lost()
          continue
        }
        if (length === undefined) return
        for (const message of parseMessages(Buffer.from(inbox.subarray(0, length)))) {
          heard(message)
          // The listener may close us at any message.
          if (this.closed) return
        }
      }
    })
    return () => {
      stop()
      this.close()
    }
  }
}

function failure(message: NetlinkMessage, { call, subject }: RequestWords): NetlinkError {
  const errno = -message.payload.readInt32LE(0)
  // With NETLINK_CAP_ACK only the header of the request (16 bytes) comes back, then the attributes. NLMSG_DONE has the attributes at once.
  const attributes = new Attributes(message.payload.subarray(message.type === NLMSG_DONE ? 4 : 20))
  return new NetlinkError(call, errno, subject, attributes.text(1), message.sequence)
}
