// Fails when a file imports what its folder may not. The table is docs of the architecture and its check in one.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import ts from 'typescript'

/** Folder: the folders it may import. Everything else is forbidden, types included. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  api: ['lib'],
  sys: ['lib'],
  pki: ['lib'],
  store: ['lib'],
  client: ['lib', 'api'],
  image: ['lib', 'sys'],
  runtime: ['lib', 'sys'],
  cni: ['lib', 'sys'],
  cri: ['lib', 'image', 'runtime', 'cni'],
  kubelet: ['lib', 'api', 'client', 'cri'],
  proxy: ['lib', 'api', 'client', 'sys'],
  dns: ['lib', 'api', 'client'],
  'controlplane/apiserver': ['lib', 'api', 'store', 'pki'],
  'controlplane/scheduler': ['lib', 'api', 'client'],
  'controlplane/controllers': ['lib', 'api', 'client'],
  cluster: [
    'lib',
    'api',
    'sys',
    'pki',
    'store',
    'client',
    'image',
    'runtime',
    'cni',
    'cri',
    'kubelet',
    'proxy',
    'dns',
    'controlplane/apiserver',
    'controlplane/scheduler',
    'controlplane/controllers',
  ],
  cli: ['lib', 'api', 'client', 'runtime', 'cluster'],
}

/** Packages that belong to one folder. */
const owners: Readonly<Record<string, readonly string[]>> = {
  koffi: ['sys'],
  lmdb: ['store'],
}

/** Files of a folder that other folders may name: its index, and the command that the composition root loads late. */
const doors = /^(index|command|commands)\.ts$/

const root = normalize(join(import.meta.dirname, '../..'))
const source = join(root, 'src')

const folderOf = (path: string): string => {
  const [first = '', second = ''] = relative(source, path).split('/')
  return first === 'controlplane' ? `${first}/${second}` : first
}

function importsOf(path: string): readonly { readonly specifier: string; readonly line: number }[] {
  const text = readFileSync(path, 'utf8')
  const info = ts.preProcessFile(text, true, true)
  return info.importedFiles.map(({ fileName, pos }) => ({ specifier: fileName, line: text.slice(0, pos).split('\n').length }))
}

const problems: string[] = []
const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
for (const name of files) {
  const path = join(source, name)
  const folder = folderOf(path)
  const isTest = name.endsWith('.test.ts')
  const may = allowed[folder]
  if (!may) {
    problems.push(`src/${name}: the folder ${folder} is not in the table`)
    continue
  }
  for (const { specifier, line } of importsOf(path)) {
    const at = `src/${name}:${line}`
    const owner = owners[specifier]
    if (owner && !owner.includes(folder)) problems.push(`${at}: only ${owner.join(', ')} may import ${specifier}`)
    if (!specifier.startsWith('.')) continue
    const target = normalize(join(dirname(path), specifier.replace(/\.js$/, '.ts')))
    if (relative(source, target).startsWith('..')) {
      if (!isTest) problems.push(`${at}: ${specifier} is outside src`)
      continue
    }
    const other = folderOf(target)
    if (other === folder) continue
    if (!may.includes(other)) problems.push(`${at}: ${folder} may not import ${other}`)
    else if (!doors.test(relative(join(source, other), target)))
      problems.push(`${at}: enter ${other} through its index.ts, not ${specifier}`)
  }
}

for (const problem of problems) console.error(problem)
console.log(`${files.length} files, ${problems.length} forbidden imports`)
process.exitCode = problems.length > 0 ? 1 : 0
