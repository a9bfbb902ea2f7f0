// Runs the built tests: all of them, or those whose path contains one of the words given. `--list` only names them.
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join, normalize, relative } from 'node:path'

const dist = normalize(join(import.meta.dirname, '..'))
const words = process.argv.slice(2).filter((word) => !word.startsWith('--'))
const files = ['src', 'test']
  .flatMap((folder) => readdirSync(join(dist, folder), { recursive: true, encoding: 'utf8' }).map((name) => join(dist, folder, name)))
  .filter((name) => name.endsWith('.test.js'))
  .filter((name) => words.length === 0 || words.some((word) => relative(dist, name).includes(word)))
  .sort()

if (files.length === 0) {
  console.error(`no test matches ${words.join(' ')}`)
  process.exit(1)
}
if (process.argv.includes('--list')) {
  for (const file of files) console.log(relative(dist, file))
  process.exit(0)
}
/** Runs files, so many at a time; true when all passed. */
function run(some: readonly string[], concurrency: number): boolean {
  if (some.length === 0) return true
  const args = ['--test', `--test-concurrency=${concurrency}`, '--test-reporter=spec', '--test-timeout=600000', ...some]
  // tap's own limit is 30 s for a whole file.
  return (
    spawnSync(process.execPath, args, { stdio: 'inherit', env: { ...process.env, TAP_TIMEOUT: process.env.TAP_TIMEOUT ?? '600' } })
      .status === 0
  )
}

// Pure tests side by side; those on the kernel one after the other, because they look for what is left on the machine.
const pure = files.filter((file) => relative(dist, file).startsWith('src/'))
const kernel = files.filter((file) => !pure.includes(file))
const passed = [run(pure, 2), run(kernel, 1)]
process.exitCode = passed.every(Boolean) ? 0 : 1
