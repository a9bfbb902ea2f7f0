// Builds dist/: every TypeScript file one to one (tests and scripts run from there), and the bundled command in dist/knarr.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))
process.chdir(root)
const quiet = process.argv.includes('--quiet')
/** Only what a user needs: no tests, no scripts. */
const commandOnly = process.argv.includes('--command')

const sources = (folder) =>
  readdirSync(folder, { recursive: true })
    .map((name) => join(folder, name))
    .filter((name) => /\.ts$/.test(name) && !/\.d\.ts$/.test(name))

const shared = {
  platform: 'node',
  format: 'esm',
  target: 'node20',
  sourcemap: 'linked',
  logLevel: 'warning',
}

const started = performance.now()
mkdirSync('dist', { recursive: true })
const bundle = async () => {
  rmSync('dist/knarr', { recursive: true, force: true })
  await build({
    ...shared,
    // Worker threads start from files of their own, beside the command.
    entryPoints: ['src/cli/main.ts', 'src/image/unpack-worker.ts'],
    outdir: 'dist/knarr',
    bundle: true,
    splitting: true,
    packages: 'external',
    entryNames: '[name]',
    chunkNames: '[name]-[hash]',
  })
  // One file in CommonJS, and its byte code: Node reads that in half the time of the same as modules.
  const oci = { ...shared, packages: 'external', format: 'cjs', minify: true }
  await Promise.all([
    build({ ...oci, entryPoints: ['src/cli/oci-start.ts'], outfile: 'dist/knarr/oci.cjs', bundle: true }),
    build({
      ...oci,
      entryPoints: ['src/cli/oci.ts'],
      outfile: 'dist/knarr/oci-bundle.cjs',
      bundle: true,
      packages: 'bundle',
      external: ['@koromix/*'],
      alias: { koffi: './node_modules/koffi/index.cjs' },
      // A script that was compiled before knows no `import()`.
      supported: { 'dynamic-import': false },
    }),
  ])
  execFileSync(process.execPath, ['scripts/byte-code.cjs', 'dist/knarr/oci-bundle.cjs', 'dist/knarr/oci-bundle.cache'])
}
const mirror = async () => {
  for (const folder of ['src', 'scripts', 'test']) rmSync(join('dist', folder), { recursive: true, force: true })
  await build({
    ...shared,
    entryPoints: [...sources('src'), ...sources('scripts'), ...sources('test')],
    outbase: '.',
    outdir: 'dist',
    bundle: false,
  })
}
await Promise.all(commandOnly ? [bundle()] : [bundle(), mirror()])
writeFileSync('dist/.built', '')
if (!quiet) console.log(`built in ${((performance.now() - started) / 1000).toFixed(1)} s`)
