import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { treeUsage } from './tree.js'

t.test('what goes while a tree is measured is left out, and nothing else is', async (t) => {
  const root = t.testdir()
  for (const folder of ['a', 'b', 'c', 'd', 'e']) {
    mkdirSync(join(root, folder))
    for (let i = 0; i < 300; i++) writeFileSync(join(root, folder, `${i}`), '')
  }
  const usage = treeUsage(Buffer.from(root))
  rmSync(join(root, readdirSync(root)[2] ?? ''), { recursive: true })
  t.equal((await usage).inodes, 4 * 301)
})
