// A program that asks web servers again and again, from wherever it is run, until a file appears; then says what it got, as JSON.
// load.js STOP-FILE TRIES URL…: a request is lost when TRIES attempts in a row, each of at most two seconds, brought nothing.
import { existsSync } from 'node:fs'
import { get } from 'node:http'

export interface LoadReport {
  readonly answers: Readonly<Record<string, number>>
  /** Requests that needed more than one attempt. */
  readonly retried: number
  readonly lost: readonly string[]
}

const [stopFile = '', tries = '1', ...urls] = process.argv.slice(2)
const answers: Record<string, number> = {}
const lost: string[] = []
let retried = 0

const ask = (url: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const request = get(url, { agent: false, timeout: 2000 }, (response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString()
      })
      response.on('end', () => (response.statusCode === 200 ? resolve(text) : reject(new Error(`status ${response.statusCode}`))))
      response.on('error', reject)
    })
    request.on('timeout', () => request.destroy(new Error('no answer within 2 s')))
    request.on('error', reject)
  })

async function askFor(url: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      const version = (await ask(url)).split(' ')[0] ?? ''
      answers[version] = (answers[version] ?? 0) + 1
      if (attempt > 1) retried++
      return
    } catch (error) {
      if (attempt < Number(tries)) continue
      lost.push(`${new Date().toISOString()} ${url}: ${String(error)}`)
      return
    }
  }
}

await Promise.all(
  urls.map(async (url) => {
    while (!existsSync(stopFile)) {
      await askFor(url)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }),
)
process.stdout.write(JSON.stringify({ answers, retried, lost } satisfies LoadReport))
