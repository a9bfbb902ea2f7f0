// `knarr server`: the control plane in the foreground.
import { setMaxListeners } from 'node:events'
import { type Command, parseFlags, systemClock, systemRandom } from '../../lib/index.js'
import { runServer } from '../server.js'
import { logOf, serverFlags, serverOptions, usage } from './flags.js'

export const server: Command = {
  summary: 'Run the control plane in the foreground',
  async run(argv, { stdout, signal }) {
    const { flags } = parseFlags(serverFlags, argv)
    if (flags.help) {
      stdout.write(usage('server', server.summary, serverFlags))
      return 0
    }
    // Every watch and loop of the process listens for its end.
    setMaxListeners(0, signal)
    await runServer(serverOptions(flags), { clock: systemClock, random: systemRandom, log: logOf('server', flags['log-level']) }, signal)
    return 0
  },
}
