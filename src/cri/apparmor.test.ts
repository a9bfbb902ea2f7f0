// AppArmor: which profile, its text, and how it comes into the kernel. The kernel's part is played by files.

import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ensureAppArmor } from './apparmor.js'
import { appArmorProfile, DEFAULT_PROFILE, defaultProfile, loadedProfiles } from './spec/apparmor.js'
import type { SecurityProfile } from './types.js'

const loaded = loadedProfiles('mine (enforce)\n/usr/sbin/thing (complain)\nwith space (unconfined)\n')

t.test('which profile a container has', async (t) => {
  t.strictSame([...loaded], ['mine', '/usr/sbin/thing', 'with space'])
  const on = { enabled: true, privileged: false, loaded }
  const profile = (want: SecurityProfile | undefined, facts = on) => appArmorProfile(want, facts)
  t.equal(profile(undefined), DEFAULT_PROFILE, 'nothing said is the default')
  t.equal(profile({ profileType: 'RuntimeDefault' }), DEFAULT_PROFILE)
  t.equal(profile({ profileType: 'Unconfined' }), 'unconfined')
  t.equal(profile({ profileType: 'Localhost', localhostRef: 'mine' }), 'mine')
  t.equal(profile({ profileType: 'Localhost', localhostRef: 'localhost/mine' }), 'mine')
  t.throws(() => profile({ profileType: 'Localhost', localhostRef: 'other' }), {
    code: 'FAILED_PRECONDITION',
    message: /other is not loaded/,
  })
  t.throws(() => profile({ profileType: 'Localhost' }), { code: 'INVALID_ARGUMENT' })
  t.equal(profile(undefined, { ...on, privileged: true }), '', 'the privileged are not confined')
  const off = { ...on, enabled: false, loaded: new Set<string>() }
  t.equal(profile({ profileType: 'RuntimeDefault' }, off), '')
  t.equal(profile({ profileType: 'Unconfined' }, off), '')
  t.throws(() => profile({ profileType: 'Localhost', localhostRef: 'mine' }, off), /has no AppArmor/)
})

t.test('the default profile is loaded once, by the program of the AppArmor package', async (t) => {
  const folder = t.testdir({ profiles: 'mine (enforce)\n', tunables: { global: '' }, abstractions: { base: '' } })
  const profiles = join(folder, 'profiles')
  const parser = join(folder, 'parser')
  const script = (line: string): void => {
    writeFileSync(parser, `#!/bin/sh\n${line}\n`)
    chmodSync(parser, 0o755)
  }
  const files = { profiles, parser, folder }
  const said = join(folder, 'said')
  const without = { ...files, parser: undefined }
  t.equal(await ensureAppArmor({}, true, without), '', 'without that program there is no default profile')
  t.equal(await ensureAppArmor({ apparmor: { profileType: 'RuntimeDefault' } }, true, without), '')
  t.equal(await ensureAppArmor({ apparmor: { profileType: 'Localhost', localhostRef: 'mine' } }, true, without), 'mine')
  script('echo "syntax error in line 3" >&2; exit 1')
  await t.rejects(ensureAppArmor({}, true, files), /knarr-default cannot be loaded: syntax error in line 3/)
  script(`echo "$@" >> ${said}; cat >> ${said}; echo "${DEFAULT_PROFILE} (enforce)" >> ${profiles}`)
  t.strictSame(await Promise.all([ensureAppArmor({}, true, files), ensureAppArmor(undefined, true, files)]), [
    DEFAULT_PROFILE,
    DEFAULT_PROFILE,
  ])
  t.equal(await ensureAppArmor({}, true, files), DEFAULT_PROFILE)
  t.equal(readFileSync(said, 'utf8'), `--replace --skip-cache\n${defaultProfile({ tunables: true, base: true })}`, 'once')
  t.equal(await ensureAppArmor({ privileged: true }, true, { ...files, parser: '/none' }), '')
  t.equal(await ensureAppArmor({}, false, { ...files, parser: '/none' }), '')
})

const parser = ['/usr/sbin/apparmor_parser', '/sbin/apparmor_parser'].find((path) => existsSync(path))

t.test('the default profile can be compiled', { skip: parser ? false : 'no apparmor_parser' }, async (t) => {
  for (const tunables of [true, false]) {
    const { status, stderr } = spawnSync(parser ?? '', ['--skip-kernel-load', '--skip-cache', '--stdout'], {
      input: defaultProfile({ tunables, base: tunables }),
    })
    t.equal(status, 0, String(stderr))
  }
})
