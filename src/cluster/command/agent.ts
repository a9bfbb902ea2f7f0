// `knarr agent`: a node in the foreground.
import { setMaxListeners } from 'node:events'
import { type Command, parseFlags, systemClock, systemRandom } from '../../lib/index.js'
import { runAgent } from '../agent.js'
import { agentFlags, agentOptions, logOf, usage } from './flags.js'

export const agent: Command = {
  summary: 'Run a node in the foreground',
  async run(argv, { stdout, signal }) {
    const { flags } = parseFlags(agentFlags, argv)
    if (flags.help) {
      stdout.write(usage('agent', agent.summary, agentFlags))
      return 0
    }
    setMaxListeners(0, signal)
    await runAgent(agentOptions(flags), { clock: systemClock, random: systemRandom, log: logOf('agent', flags['log-level']) }, signal)
    return 0
  },
}
