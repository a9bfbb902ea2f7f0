// The log pump on real FIFOs: every line once, also when the pump is killed again and again, and when logs are rotated.
import { type ChildProcess, fork } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { parseLogLine } from '../../src/cri/log-format.js'
import { createLogPump, type LogPump, type PipeTools } from '../../src/cri/log-pump.js'
import { deferred, randomInt, seededRandom, systemClock } from '../../src/lib/index.js'
import { makeFifo, onReadable, spliceToFile } from '../../src/runtime/index.js'

const tools: PipeTools = { splice: spliceToFile, onReadable }

function openPump(dir: string, onError: (error: unknown) => void = (error) => process.stderr.write(`${String(error)}\n`)): LogPump {
  const reader = (name: string): number => openSync(join(dir, name), constants.O_RDONLY | constants.O_NONBLOCK)
  return createLogPump({
    dir: join(dir, 'spool'),
    logPath: join(dir, 'logs', '0.log'),
    pipes: { stdout: reader('out'), stderr: reader('err') },
    tools,
    clock: systemClock,
    onError,
  })
}

/** A folder with two FIFOs, held open as a monitor holds them. */
function scene(t: { teardown(run: () => void): void }): { dir: string; write(stream: 'out' | 'err', text: string): boolean } {
  const dir = mkdtempSync(join(tmpdir(), 'knarr-log-'))
  const held = new Map<string, number>()
  for (const name of ['out', 'err']) {
    makeFifo(join(dir, name))
    held.set(name, openSync(join(dir, name), constants.O_RDWR | constants.O_NONBLOCK))
  }
  t.teardown(() => {
    for (const fd of held.values()) closeSync(fd)
    rmSync(dir, { recursive: true, force: true })
  })
  return {
    dir,
    write(stream, text) {
      try {
        return writeSync(held.get(stream) ?? -1, text) === Buffer.byteLength(text)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return false
        throw error
      }
    },
  }
}

const contents = (path: string, stream?: string): string[] =>
  readFileSync(path)
    .toString('utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const parsed = parseLogLine(Buffer.from(line))
      if (!parsed) throw new Error(`not a log line: ${JSON.stringify(line)}`)
      return parsed
    })
    .filter((line) => !stream || line.stream === stream)
    .map((line) => line.content.toString())

if (process.argv[2] === 'pump') {
  openPump(process.argv[3] ?? '')
  process.send?.('ready')
  process.on('message', () => {})
} else suite()

function suite(): void {
  t.setTimeout(300_000)
  t.test('output of both streams becomes log lines; the unfinished line comes at the end', { timeout: 120_000 }, async (t) => {
    const { dir, write } = scene(t)
    const pump = openPump(dir)
    write('out', 'one\ntwo')
    write('err', 'oops\n')
    await pump.finish()
    const log = readFileSync(join(dir, 'logs', '0.log'), 'utf8')
    t.match(log, / stdout F one\n.* stdout P two\n.* stderr F oops\n/)
    t.strictSame(contents(join(dir, 'logs', '0.log')), ['one', 'two', 'oops'])
  })

  t.test('a listener gets what is written from then on, and may make the pump wait', { timeout: 120_000 }, async (t) => {
    const { dir, write } = scene(t)
    const pump = openPump(dir)
    const got: string[] = []
    const arrived = deferred()
    pump.subscribe((stream, chunk) => {
      got.push(`${stream}:${chunk.toString()}`)
      arrived.resolve()
      return false
    })
    write('out', 'a\n')
    const alive = setInterval(() => {}, 1000)
    await arrived.promise
    clearInterval(alive)
    write('out', 'b\n')
    t.strictSame(got, ['stdout:a\n'], 'waits after a no')
    await pump.finish()
    t.strictSame(got, ['stdout:a\n', 'stdout:b\n'])
    t.strictSame(contents(join(dir, 'logs', '0.log')), ['a', 'b'])
  })

  t.test('rotation: old lines in the old file, new ones in the new', { timeout: 120_000 }, async (t) => {
    const { dir, write } = scene(t)
    const first = openPump(dir)
    write('out', 'before\n')
    first.close()
    const log = join(dir, 'logs', '0.log')
    const pump = openPump(dir)
    write('out', 'still before\n')
    await drained(dir, 2)
    renameSync(log, `${log}.1`)
    pump.reopen()
    write('out', 'after\n')
    await pump.finish()
    t.strictSame(contents(`${log}.1`), ['before', 'still before'])
    t.strictSame(contents(log), ['after'])
  })

  t.test('spools do not grow with what went through them', { timeout: 120_000 }, async (t) => {
    const { dir, write } = scene(t)
    const pump = openPump(dir)
    // Not longer than PIPE_BUF, so that each is written as a whole.
    const line = `${'x'.repeat(4000)}\n`
    const alive = setInterval(() => {}, 1000)
    for (let sent = 0; sent < 1500; ) {
      if (write('out', line)) sent++
      else await new Promise(setImmediate)
    }
    clearInterval(alive)
    await pump.finish()
    const bytes = contents(join(dir, 'logs', '0.log')).reduce((sum, text) => sum + text.length, 0)
    t.equal(bytes, 1500 * 4000)
    for (const name of readdirSync(join(dir, 'spool'))) t.ok(readFileSync(join(dir, 'spool', name)).length < 1_500_000, name)
  })

  t.test('killed at any moment, every line is there once and in order', { timeout: 120_000 }, async (t) => {
    const { dir, write } = scene(t)
    const log = join(dir, 'logs', '0.log')
    const random = seededRandom(7)
    let child: ChildProcess | undefined
    let next = 0
    let pending = ''
    for (let round = 0; round < 12; round++) {
      child = fork(import.meta.filename, ['pump', dir], { stdio: 'inherit' })
      await new Promise((resolve) => child?.once('message', resolve))
      const until = next + 2000 + randomInt(random, 6000)
      while (next < until) {
        pending ||= `line ${next} ${'.'.repeat(randomInt(random, 300))}\n`
        if (write('out', pending)) {
          next++
          pending = ''
        } else await new Promise(setImmediate)
      }
      const gone = new Promise((resolve) => child?.once('exit', resolve))
      child.kill('SIGKILL')
      await gone
      if (round % 4 === 3) renameSync(log, `${log}.${round}`)
    }
    await openPump(dir).finish()
    const files = [`${log}.3`, `${log}.7`, `${log}.11`, log]
    const numbers = files.flatMap((path) => contents(path, 'stdout')).map((text) => Number(text.split(' ')[1]))
    t.equal(numbers.length, next, 'as many lines as were written')
    t.ok(
      numbers.every((number, i) => number === i),
      'in order, none twice',
    )
  })
}

/** Waits until the log has so many lines. */
async function drained(dir: string, lines: number): Promise<void> {
  const alive = setInterval(() => {}, 1000)
  while (contents(join(dir, 'logs', '0.log')).length < lines) await new Promise(setImmediate)
  clearInterval(alive)
}
