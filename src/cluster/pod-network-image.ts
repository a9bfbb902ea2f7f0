// The image of the pod network add-on, made from this installation: one executable of a few pages that hands its ConfigMap to the node agent.
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ImageStore } from '../image/index.js'
import { elfProgram, ProgramWriter, program, thisArchitecture } from '../sys/index.js'
import { paths } from './paths.js'

/** What the add-on asks for; every node makes it for itself. */
export const POD_NETWORK_IMAGE = 'knarr.local/pod-network:v2'

const { address, bytes, text, value } = program
const HERE = -100
const SIGTERM = 15
const [WRITE, CREATE, TRUNCATE] = [0o1, 0o100, 0o1000]
const BUFFER = 16_384

/** A signal set of one. Process 1 of a pid namespace is sent only what it handles or has blocked. */
const mask = (signal: number): Buffer => {
  const set = Buffer.alloc(8)
  set.writeBigUInt64LE(1n << BigInt(signal - 1))
  return set
}

/** Copies `/config/network.json` to `/node/network.json`, whole or not at all, and then waits for SIGTERM. */
export function podNetworkProgram(): Buffer {
  const w = new ProgramWriter()
  w.region('buffer', new Array<bigint>(BUFFER / 8).fill(0n))
  w.block('start')
  w.step('block SIGTERM', 'rt_sigprocmask', [0, bytes(mask(SIGTERM)), 0, 8])
  w.step('open the ConfigMap', 'openat', [HERE, text('/config/network.json'), 0, 0], { into: 'from' })
  w.step('read it', 'read', [value('from'), address('buffer'), BUFFER], { into: 'length', retry: true })
  w.step('open the copy', 'openat', [HERE, text('/node/network.json.new'), WRITE | CREATE | TRUNCATE, 0o644], { into: 'to' })
  w.step('write it', 'write', [value('to'), address('buffer'), value('length')], { retry: true })
  w.step('put it in place', 'renameat', [HERE, text('/node/network.json.new'), HERE, text('/node/network.json')])
  w.step('wait for SIGTERM', 'rt_sigtimedwait', [bytes(mask(SIGTERM)), 0, 0, 8], { retry: true })
  w.step('end', 'exit_group', [0], { onError: 'ignore' })
  w.block('fail')
  w.step('exit', 'exit_group', [1], { onError: 'ignore' })
  return elfProgram(w.program('start'), thisArchitecture).file
}

/** Makes the image unless it is there. */
export async function ensurePodNetworkImage(images: ImageStore): Promise<void> {
  if (images.resolve(POD_NETWORK_IMAGE)) return
  const root = mkdtempSync(join(existsSync(paths.state) ? paths.state : tmpdir(), 'image-'))
  try {
    const file = join(root, 'pod-network')
    writeFileSync(file, podNetworkProgram())
    chmodSync(file, 0o555)
    await images.import(root, { name: POD_NETWORK_IMAGE, config: { Entrypoint: ['/pod-network'] }, compression: 'none' })
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}
