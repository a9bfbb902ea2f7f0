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
const name = (file: string): string => relative(dist, file)
const pure = files.filter((file) => name(file).startsWith('src/'))
const kernel = files.filter((file) => !pure.includes(file))
const purePassed = run(pure, 2)
const failed = kernel.filter((file) => !run([file], 1))
// Real time and a real kernel: a file that fails is given one more chance, and both ways it is said.
const failedTwice = failed.filter((file) => {
  console.log(`\nAGAIN ${name(file)} failed; once more`)
  return !run([file], 1)
})
for (const file of failed)
  console.log(failedTwice.includes(file) ? `FAILED ${name(file)}` : `FLAKY ${name(file)}: failed once, passed the second time`)
if (!purePassed) console.log('FAILED tests of src')
const failures = failedTwice.length + (purePassed ? 0 : 1)
console.log(`${kernel.length + 1 - failures} passed, ${failures} failed`)
process.exitCode = failures === 0 ? 0 : 1
