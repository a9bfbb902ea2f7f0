// What crash.test.ts kills: pulls, prepares, removes and collects without end. argv: root, registry, names.
import { createImageStore } from '../../src/image/index.js'

const [root = '', host = '', ...names] = process.argv.slice(2)
setInterval(() => {}, 2 ** 30)
const store = createImageStore({ root, registries: { plainHttp: true, env: {}, hostFolders: [] } })
for (let round = 0; ; round++) {
  const name = `${host}/${names[round % names.length]}`
  const { image } = await store.pull(name)
  await store.snapshot.prepare(`s${round % 3}`, image)
  process.stdout.write('.')
  await store.snapshot.remove(`s${(round + 1) % 3}`)
  await store.remove(`${host}/${names[(round + 1) % names.length]}`).catch(() => {})
  await store.gc()
}
