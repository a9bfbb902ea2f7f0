// A daemon that a test kills: makes three containers, says so, and waits for its end.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createRuntime, type Spec } from '../../src/runtime/index.js'

const [root = '', bundle = ''] = process.argv.slice(2)
const runtime = createRuntime({ root })
const spec = (name: string): Spec => JSON.parse(readFileSync(join(bundle, `${name}.json`), 'utf8')) as Spec
const fifo = join(bundle, 'ended.fifo')
execFileSync('mkfifo', [fifo])
await runtime.create({ id: 'running', bundle, spec: spec('running') })
await runtime.start('running')
await runtime.create({ id: 'ended', bundle, spec: spec('ended'), stdio: { stdin: { path: fifo } } })
await runtime.start('ended')
await runtime.create({ id: 'waiting', bundle, spec: spec('waiting') })
process.stdout.write('ready\n')
setInterval(() => {}, 1 << 30)
