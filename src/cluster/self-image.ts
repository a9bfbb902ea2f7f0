// What is on this machine, for images that need no registry: Node itself.
import { constants, copyFileSync, existsSync, mkdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The program interpreter that an ELF file asks for (elf(5), PT_INTERP); undefined for a static one. */
function interpreterOf(path: string): string | undefined {
  const file = readFileSync(path)
  const [start, size, count] = [Number(file.readBigUInt64LE(32)), file.readUInt16LE(54), file.readUInt16LE(56)]
  for (let i = 0; i < count; i++) {
    const header = start + i * size
    if (file.readUInt32LE(header) !== 3) continue
    const [offset, length] = [Number(file.readBigUInt64LE(header + 8)), Number(file.readBigUInt64LE(header + 32))]
    return file.toString('utf8', offset, offset + length - 1)
  }
  return undefined
}

function put(root: string, path: string, source = path): void {
  const target = join(root, path)
  mkdirSync(dirname(target), { recursive: true })
  copyFileSync(realpathSync(source), target, constants.COPYFILE_FICLONE)
}

/** Node with the libraries that it has loaded, in a root of its own: `/usr/bin/node`. */
export function writeNodeRoot(root: string): void {
  mkdirSync(join(root, 'usr/lib'), { recursive: true })
  for (const name of ['lib', 'lib64']) {
    mkdirSync(join(root, 'usr', name), { recursive: true })
    symlinkSync(`usr/${name}`, join(root, name))
  }
  put(root, '/usr/bin/node', process.execPath)
  const mapped = readFileSync('/proc/self/maps', 'utf8').matchAll(/(\/(?:usr\/)?lib\S*\.so[.\d]*)$/gm)
  for (const path of new Set([...mapped].map((match) => match[1] ?? ''))) {
    // maps shows the file itself (libstdc++.so.6.0.30); the loader looks for its soname (libstdc++.so.6).
    const soname = path.replace(/(\.so\.\d+)[.\d]*$/, '$1')
    put(root, soname.startsWith('/usr/') ? soname : `/usr${soname}`, path)
  }
  const interpreter = interpreterOf(process.execPath)
  if (interpreter) put(root, interpreter.startsWith('/usr/') ? interpreter : `/usr${interpreter}`, interpreter)
  for (const folder of ['tmp', 'etc', 'proc', 'sys', 'dev', 'run', 'var']) mkdirSync(join(root, folder), { recursive: true })
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n')
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\nnogroup:x:65534:\n')
}

/** The folder of the installation: where package.json is. */
export function installation(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); folder !== '/'; folder = dirname(folder)) {
    if (existsSync(join(folder, 'package.json')) && existsSync(join(folder, 'node_modules'))) return folder
  }
  throw new Error('cannot tell where knarr is installed')
}
