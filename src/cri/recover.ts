// The daemon starts: what it finds is taken up again, what was half-made or half-removed is finished off.
import { rmSync } from 'node:fs'
import { RuntimeError } from '../runtime/index.js'
import { demolish, exitOf, watchContainer } from './containers.js'
import { containersOf, type Engine, spoolDir } from './engine.js'
import { finishStop, sweepSandbox, watchPause } from './pods.js'

const isGone = (error: unknown): boolean => error instanceof RuntimeError && error.code === 'NotFound'

async function recoverContainers(engine: Engine): Promise<void> {
  for (const record of [...engine.containers.all.values()]) {
    if (record.phase !== 'ready') {
      await demolish(engine, record)
      continue
    }
    if (record.exit || record.unstartable !== undefined) continue
    try {
      if (record.bootId !== engine.machine.bootId) throw new RuntimeError('NotFound', 'the machine was started anew')
      const state = await engine.runtime.state(record.id)
      // A daemon that was killed between starting it and saying so.
      const startedAt = record.startedAt || state.startedAt || 0
      const found = { ...record, startedAt }
      if (startedAt !== record.startedAt) engine.containers.note(found)
      await watchContainer(engine, found, state.pid ?? 0)
    } catch (error) {
      if (!isGone(error)) throw error
      engine.containers.note({ ...record, exit: exitOf(undefined, engine.clock) })
      rmSync(spoolDir(engine, record.id), { recursive: true, force: true })
    }
  }
}

async function recoverSandboxes(engine: Engine): Promise<void> {
  for (const record of [...engine.sandboxes.all.values()]) {
    if (record.phase === 'creating' || record.phase === 'removing') {
      for (const container of containersOf(engine, record.id)) await demolish(engine, container)
      await sweepSandbox(engine, record)
      continue
    }
    if (record.phase === 'stopped') {
      await finishStop(engine, record).catch((err: unknown) => engine.log.error('stop not finished', { sandbox: record.id, err }))
      continue
    }
    try {
      if (record.bootId !== engine.machine.bootId) continue
      const state = await engine.runtime.state(record.id)
      if (state.status === 'running') watchPause(engine, record.id)
    } catch (error) {
      if (!isGone(error)) throw error
    }
  }
}

export async function recover(engine: Engine): Promise<void> {
  await recoverContainers(engine)
  await recoverSandboxes(engine)
}
