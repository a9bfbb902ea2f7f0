// The plugins that come with us.
import type { Clock } from '../../lib/index.js'
import type { Plugin } from '../types.js'
import { bridge } from './bridge.js'
import { hostLocal } from './host-local.js'
import { loopback } from './loopback.js'
import { portmap } from './portmap.js'
import { ptp } from './ptp.js'

export const builtinPlugins = (clock: Clock): readonly Plugin[] => [bridge, hostLocal(clock), loopback, portmap, ptp]
