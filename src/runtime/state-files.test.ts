import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { StateFiles } from './state-files.js'

t.test('drafts of dead makers are removed, those of living ones and containers stay', async (t) => {
  const root = t.testdir()
  const dead = spawnSync('true').pid
  for (const name of [`#${dead}.abc`, `#${process.pid}.abc`, 'container']) mkdirSync(join(root, name, 'inside'), { recursive: true })
  new StateFiles(root).removeDrafts()
  t.strictSame(readdirSync(root).sort(), [`#${process.pid}.abc`, 'container'])
})

t.test('no folder, no drafts', async (t) => {
  new StateFiles(join(t.testdir(), 'none')).removeDrafts()
  t.pass('nothing is made or thrown')
})
