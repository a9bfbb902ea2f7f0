// `knarr-oci`: the OCI runtime alone, in one file of its own, because those who call it wait for each of its starts.
import { oci } from '../runtime/command.js'
import { runCommand } from './run.js'

void runCommand('oci', async () => oci, process.argv.slice(2)).then((code) => {
  process.exitCode = code
})
