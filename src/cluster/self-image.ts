// Images made from what is on this machine: Node itself, and for the pod network this installation. No registry is needed.
import {
  constants,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ImageStore, ImportOptions } from '../image/index.js'
import { paths } from './paths.js'

/** What the pod network add-on asks for; every node makes it for itself. */
export const POD_NETWORK_IMAGE = 'knarr.local/pod-network:v0.1.0'

/** Packages that the pod network's process loads. */
const PACKAGES = ['koffi', 'pino', 'undici', 'yaml']

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

/** A package and all that it depends on. */
function closure(home: string, names: readonly string[]): Set<string> {
  const found = new Set<string>()
  const visit = (name: string): void => {
    const manifest = join(home, 'node_modules', name, 'package.json')
    if (found.has(name) || !existsSync(manifest)) return
    found.add(name)
    const { dependencies = {}, optionalDependencies = {} } = JSON.parse(readFileSync(manifest, 'utf8')) as {
      readonly dependencies?: Record<string, string>
      readonly optionalDependencies?: Record<string, string>
    }
    for (const each of [...Object.keys(dependencies), ...Object.keys(optionalDependencies)]) visit(each)
  }
  for (const name of names) visit(name)
  return found
}

function writeInstallation(root: string): void {
  const home = installation()
  const target = join(root, 'knarr')
  mkdirSync(join(target, 'node_modules'), { recursive: true })
  copyFileSync(join(home, 'package.json'), join(target, 'package.json'))
  cpSync(join(home, 'dist/knarr'), join(target, 'dist/knarr'), { recursive: true, filter: (source) => !source.endsWith('.map') })
  for (const name of closure(home, PACKAGES))
    cpSync(join(home, 'node_modules', name), join(target, 'node_modules', name), { recursive: true, dereference: true })
}

/** Makes an image of a root that `write` fills. */
export async function makeImage(
  images: ImageStore,
  name: string,
  config: NonNullable<ImportOptions['config']>,
  write: (root: string) => void,
): Promise<void> {
  const base = existsSync(paths.state) ? paths.state : tmpdir()
  const root = mkdtempSync(join(base, 'image-'))
  try {
    write(root)
    await images.import(root, { name, config, compression: 'none' })
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

/** Makes the pod network's image unless it is there. */
export async function ensurePodNetworkImage(images: ImageStore): Promise<void> {
  if (images.resolve(POD_NETWORK_IMAGE)) return
  const config = { Entrypoint: ['/usr/bin/node', '--max-semi-space-size=1', '/knarr/dist/knarr/main.js', 'pod-network'] }
  await makeImage(images, POD_NETWORK_IMAGE, config, (root) => {
    writeNodeRoot(root)
    writeInstallation(root)
  })
}
