// A server on port 53 of whatever network namespace it is started in: three names below `test`.
import { compose, serveDns, TYPES } from '../../src/dns/index.js'
import { silentLog, systemClock } from '../../src/lib/index.js'

await serveDns({
  addresses: ['127.0.0.1'],
  port: 53,
  clock: systemClock,
  log: silentLog,
  resolve: compose([
    async ({ question }) => {
      const count = { 'one.test': 1, 'many.test': 80 }[question.name.toLowerCase()]
      if (count === undefined) return { rcode: 'NXDOMAIN' }
      if (question.type !== TYPES.A) return { rcode: 'NOERROR' }
      return {
        rcode: 'NOERROR',
        answers: Array.from({ length: count }, (_, i) => ({
          name: question.name,
          ttl: 5,
          data: { type: 'A', address: `10.0.0.${i + 1}` },
        })),
      }
    },
  ]),
})
process.stdout.write('ready\n')
