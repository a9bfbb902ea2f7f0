// Asks before what cannot be undone: a person at a terminal; a script has decided already.
import { createInterface } from 'node:readline/promises'
import type { CommandIo } from '../../lib/index.js'

/** True when the answer is yes, or when there is nobody to ask. */
export async function isAgreed(consequence: string, { stdin, stdout, signal }: CommandIo): Promise<boolean> {
  if (!(stdin as NodeJS.ReadStream).isTTY) return true
  const lines = createInterface({ input: stdin, output: process.stdout })
  try {
    const answer = await lines.question(`${consequence}\nAre you sure? [y/N] `, { signal })
    if (/^y(es)?$/i.test(answer.trim())) return true
    stdout.write('Nothing was changed.\n')
    return false
  } finally {
    lines.close()
  }
}
