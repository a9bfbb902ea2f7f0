// Runs the built tests: all of them, or those whose path contains one of the words given. `--list` only names them.
import { spawn } from 'node:child_process'
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
const name = (file: string): string => relative(dist, file)

/** Runs files, so many at a time, and says what they said when they are done; resolves with true when all passed. */
function run(some: readonly string[], concurrency: number): Promise<boolean> {
  // tap's own limit is 30 s for a whole file.
  const seconds = process.env.TAP_TIMEOUT ?? '1200'
  const args = ['--test', `--test-concurrency=${concurrency}`, '--test-reporter=spec', `--test-timeout=${seconds}000`, ...some]
  const env = { ...process.env, TAP_TIMEOUT: seconds }
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], env })
  const said: Buffer[] = []
  child.stdout.on('data', (bytes: Buffer) => said.push(bytes))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => {
      process.stdout.write(Buffer.concat(said))
      resolve(code === 0)
    })
  })
}

/** One file after the other; resolves with those that failed. */
async function runInTurn(some: readonly string[]): Promise<readonly string[]> {
  const failed: string[] = []
  for (const file of some) if (!(await run([file], 1))) failed.push(file)
  return failed
}

// Pure tests side by side. Of the others two at a time: one that looks for what is left on this machine, and beside it one that
// has machines of its own or needs nothing but memory, files and loopback.
const APART = /^test\/(api|apiserver|cluster|controllers|machines|simulation|store|walkthrough)\//
const pure = files.filter((file) => name(file).startsWith('src/'))
const apart = files.filter((file) => APART.test(name(file)))
const onMachine = files.filter((file) => !pure.includes(file) && !apart.includes(file))
const purePassed = pure.length === 0 || (await run(pure, 2))
const failed = (await Promise.all([runInTurn(onMachine), runInTurn(apart)])).flat()
// Real time and a real kernel: a file that fails is given one more chance, and both ways it is said.
for (const file of failed) console.log(`\nAGAIN ${name(file)} failed; once more`)
const failedTwice = await runInTurn(failed)
for (const file of failed)
  console.log(failedTwice.includes(file) ? `FAILED ${name(file)}` : `FLAKY ${name(file)}: failed once, passed the second time`)
if (!purePassed) console.log('FAILED tests of src')
const failures = failedTwice.length + (purePassed ? 0 : 1)
console.log(`${onMachine.length + apart.length + 1 - failures} passed, ${failures} failed`)
process.exitCode = failures === 0 ? 0 : 1
