// `knarr-oci` as it is started: the bundle beside this file, with the byte code that V8 made of it at the build. A third of the time from
// the first line to the container would else go into compiling. Byte code of another version of Node is refused by V8, and compiled anew.
import { readFileSync } from 'node:fs'
import { createRequire, wrap } from 'node:module'
import { join } from 'node:path'
import { Script } from 'node:vm'

const filename = join(__dirname, 'oci-bundle.cjs')

function byteCode(): Buffer | undefined {
  try {
    return readFileSync(join(__dirname, 'oci-bundle.cache'))
  } catch {
    return undefined
  }
}

/** koffi is part of the bundle, what it loads is not: where packages are kept apart, only koffi finds it. */
function requireFor(name: string): unknown {
  try {
    return require(name)
  } catch (error) {
    if (!name.startsWith('@koromix/')) throw error
    return createRequire(require.resolve('koffi'))(name)
  }
}

// The bundle is ASCII: every byte is a character.
const source = wrap(readFileSync(filename, 'latin1'))
const cachedData = byteCode()
const script = new Script(source, { filename, ...(cachedData ? { cachedData } : {}) })
script.runInThisContext()(module.exports, requireFor, module, filename, __dirname)
// Everything is written and nobody waits: taking the heap apart would be for nothing.
process.on('exit', () => process.exit())
