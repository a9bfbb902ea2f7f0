// Layers that try to get out of their folder, each with what is said of it. For unpacking alone, and for whole pulls.
import type { makeTar } from './fixture.js'

type Entries = Parameters<typeof makeTar>[0]

/** `victim` is a folder outside; `up` is the way to it from the layer's root. */
export function hostileTars(victim: string, up = '../../victim'): Readonly<Record<string, readonly [Entries, RegExp]>> {
  const outside: Entries[number] = { path: 'l', kind: '2', linkPath: victim }
  const above: Entries[number] = { path: 'l', kind: '2', linkPath: up }
  const leads = /leads out of the layer through the symbolic link "l"/
  const long = 'n'.repeat(120)
  return {
    'dot dot': [[{ path: `${up}/secret`, data: 'bad' }], /"[./]+\/victim\/secret" climbs out of the layer/],
    'dot dot inside': [[{ path: `a/../${up}/secret`, data: 'bad' }], /climbs out of the layer/],
    'dot dot at the end': [[{ path: 'a/..', kind: '5', mode: 0o777 }], /climbs out of the layer/],
    'dot dot in a pax header': [[{ path: `${up}/${long}`, data: 'bad' }], /climbs out of the layer/],
    absolute: [[{ path: `${victim}/secret`, data: 'bad' }], /is an absolute path/],
    'absolute in a pax header': [[{ path: `${victim}/${long}`, data: 'bad' }], /is an absolute path/],
    'file through an absolute link': [[outside, { path: 'l/secret', data: 'bad' }], leads],
    'folder through an absolute link': [[outside, { path: 'l/new/', kind: '5', mode: 0o755 }], leads],
    'device through an absolute link': [[outside, { path: 'l/null', kind: '3', major: 1, minor: 3 }], leads],
    'link through an absolute link': [[outside, { path: 'l/link', kind: '2', linkPath: '/' }], leads],
    'whiteout through an absolute link': [[outside, { path: 'l/.wh.secret' }], leads],
    'opaque through an absolute link': [[outside, { path: 'l/.wh..wh..opq' }], leads],
    'file through a link upwards': [[above, { path: 'l/secret', data: 'bad' }], /climbs out of the layer through a symbolic link/],
    'link over a folder that was there': [
      [{ path: 'l/', kind: '5', mode: 0o755 }, { path: 'l/x', data: 'x' }, outside, { path: 'l/secret', data: 'bad' }],
      leads,
    ],
    'link to a link': [[outside, { path: 'm', kind: '2', linkPath: 'l' }, { path: 'm/secret', data: 'bad' }], /leads out of the layer/],
    'link in circles': [
      [
        { path: 'l', kind: '2', linkPath: 'l' },
        { path: 'l/x', data: 'bad' },
      ],
      /too many symbolic links/,
    ],
    'hard link up': [[{ path: 'h', kind: '1', linkPath: `${up}/secret` }], /climbs out of the layer/],
    'hard link absolute': [[{ path: 'h', kind: '1', linkPath: `${victim}/secret` }], /is an absolute path/],
    'hard link through an absolute link': [[outside, { path: 'h', kind: '1', linkPath: 'l/secret' }], leads],
    'hard link through a link upwards': [[above, { path: 'h', kind: '1', linkPath: 'l/secret' }], /climbs out of the layer/],
    'whiteout upwards': [[{ path: `${up}/.wh.secret` }], /climbs out of the layer/],
    'whiteout of the parent': [[{ path: 'a/.wh...' }], /malformed whiteout/],
    'false whiteout': [[{ path: 'w', kind: '3', major: 0, minor: 0 }], /device 0:0/],
    'below a file': [
      [
        { path: 'f', data: 'x' },
        { path: 'f/g', data: 'x' },
      ],
      /which is not a folder/,
    ],
    'the root as a file': [[{ path: './', kind: '0', data: 'x' }], /replace the layer's root|EISDIR|EEXIST/],
  }
}
