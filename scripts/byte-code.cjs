// `node byte-code.cjs FILE.cjs CACHE`: writes down the byte code of every function of a CommonJS file, for src/cli/oci-start.ts.
const { readFileSync, writeFileSync } = require('node:fs')
const { wrap } = require('node:module')
const { setFlagsFromString } = require('node:v8')
const { Script } = require('node:vm')

const [, , file, cache] = process.argv
// V8 compiles a function at its first call unless it is told otherwise. The flags are part of what it checks later: back to the usual ones.
setFlagsFromString('--no-lazy')
const script = new Script(wrap(readFileSync(file, 'latin1')), { filename: file })
setFlagsFromString('--lazy')
writeFileSync(cache, script.createCachedData())
