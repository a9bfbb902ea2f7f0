// `loopback`: sets the namespace's own interface up.
import { type Link, withNetwork } from '../../sys/index.js'
import { CNI_ERRORS, CniError, type CniResult, type Plugin, type PluginRequest } from '../types.js'

export const loopback: Plugin = {
  name: 'loopback',

  async add({ netns, config }) {
    const result = withNetwork(netns, (network): CniResult => {
      const lo = network.link('lo')
      network.setLink(lo.index, { up: true })
      const ips = network.addresses(lo.index).map(({ address }) => ({ address, interface: 0 }))
      return { cniVersion: '1.1.0', interfaces: [{ name: 'lo', mac: lo.mac, sandbox: netns }], ips }
    })
    // In a chain, what the plugins before us made is passed on.
    return config.prevResult ?? result
  },

  async del({ netns }) {
    if (netns === '') return
    withNetwork(netns, (network) => network.setLink(network.link('lo').index, { up: false }))
  },

  async check(request) {
    if (!loopbackOf(request).up) throw new CniError(CNI_ERRORS.internal, `loopback interface is down in ${request.netns}`)
  },

  async status() {},
  async gc() {},
}

const loopbackOf = ({ netns }: PluginRequest): Link => withNetwork(netns, (network) => network.link('lo'))
