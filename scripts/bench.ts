// `npm run bench -- NAME`: runs test/bench/NAME, or lists the benchmarks there are.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const folder = join(import.meta.dirname, '../test/bench')
const names = readdirSync(folder)
  .filter((name) => name.endsWith('.bench.js'))
  .map((name) => name.slice(0, -'.bench.js'.length))
const [name] = process.argv.slice(2)
if (name === undefined || !names.includes(name)) {
  console.error(`usage: npm run bench -- NAME, with NAME one of: ${names.join(', ')}`)
  process.exit(1)
}
process.argv.splice(2, 1)
await import(pathToFileURL(join(folder, `${name}.bench.js`)).href)
