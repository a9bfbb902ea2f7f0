// Writes into a store from many sides and says what was acknowledged, until it is killed. Started by crash.test.ts.
import { writeSync } from 'node:fs'
import { systemClock } from '../../../src/lib/index.js'
import { openLmdbStore } from '../../../src/store/index.js'

const [path = '', round = '0'] = process.argv.slice(2)
const store = await openLmdbStore({ path, clock: systemClock })
writeSync(1, `ready ${await store.revision()}\n`)

const value = (text: string): Uint8Array => Buffer.from(`${text} ${'x'.repeat(800)}`)

async function write(id: number): Promise<never> {
  for (let i = 0; ; i++) {
    const key = `/registry/crash/${round}/${id}/${i % 20}`
    const text = `${round}.${id}.${i}`
    const result = i % 50 === 49 ? await store.delete(key) : await store.put(key, value(text))
    writeSync(1, `${result.revision} ${i % 50 === 49 ? '-' : '+'} ${key} ${text}\n`)
  }
}

await Promise.all(Array.from({ length: 64 }, (_, id) => write(id)))
